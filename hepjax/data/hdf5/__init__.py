"""Files → `Jets`. NumPy and h5py only."""

from hepjax.data.hdf5.header import read_header
from hepjax.data.hdf5.lazy_jets import chunk_starts, list_files, read_jets
from hepjax.data.hdf5.summary import summarise

__all__ = ["chunk_starts", "list_files", "read_header", "read_jets", "summarise"]
