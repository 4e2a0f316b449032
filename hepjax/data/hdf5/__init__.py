"""Files → `Jets`. NumPy and h5py only."""

from hepjax.readers.hdf5 import chunk_starts, list_files, read_jets
from hepjax.readers.header import read_header
from hepjax.readers.summary import summarise

__all__ = ["chunk_starts", "list_files", "read_header", "read_jets", "summarise"]
