"""Files → `Jets`. NumPy and h5py only."""

from hepjax.readers.hdf5 import read_jets
from hepjax.readers.summary import summarise

__all__ = ["read_jets", "summarise"]
