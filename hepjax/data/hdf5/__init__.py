"""HDF5 files of the public layout, in any columns. NumPy and h5py only."""

from hepjax.data.containers import Container
from hepjax.data.hdf5.blocks import read_in_parts
from hepjax.data.hdf5.header import attributes, image_shape, read_header, sample

CONTAINER = Container("HDF5", (".h5", ".hdf5", ".hdf"), read_header, sample, image_shape, attributes, read_in_parts)

__all__ = ["CONTAINER"]
