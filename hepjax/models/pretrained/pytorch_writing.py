"""State dicts in the file format of `torch.save`, written without PyTorch."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

_STORAGES = {np.dtype("<f4"): b"FloatStorage", np.dtype("<f8"): b"DoubleStorage", np.dtype("<i8"): b"LongStorage"}
_FOLDER = "archive"
_NO_HOOKS = b"ccollections\nOrderedDict\n)R"


def to_pytorch(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Makes the content of a file that `torch.load(…, weights_only=True)` reads as a state dict.

    Args:
      arrays: name → array of float32, float64 or int64, of any shape.

    Returns:
      A zip archive: a pickle of the names and shapes, and the numbers of each array in an entry of its own. The same
      arrays give the same bytes.

    >>> to_pytorch({"weight": np.zeros(2, np.float32)})[:2]
    b'PK'
    """
    entries = {"data.pkl": _pickle_of_tensors(arrays), "byteorder": b"little"}
    for number, array in enumerate(arrays.values()):
        entries[f"data/{number}"] = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {**entries, "version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}"), content)  # which has no time of its own
    return file.getvalue()


def _pickle_of_tensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The program that rebuilds an ordered dict of tensors, opcode by opcode of pickle's protocol 2."""
    items = b"".join(_text(name) + _tensor(number, array) for number, (name, array) in enumerate(arrays.items()))
    return b"\x80\x02" + _NO_HOOKS + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def _tensor(number: int, array: np.ndarray) -> bytes:
    """A call of PyTorch's function for a view of a storage: storage, offset, shape, strides, gradients, hooks."""
    steps = [stride // array.itemsize for stride in np.empty(array.shape, array.dtype).strides]
    kind = pickle.GLOBAL + b"torch\n" + _STORAGES[array.dtype.newbyteorder("<")] + b"\n"
    storage = _tuple(_text("storage"), kind, _text(str(number)), _text("cpu"), _number(array.size)) + pickle.BINPERSID
    arguments = (storage, _number(0), _numbers(array.shape), _numbers(steps), pickle.NEWFALSE, _NO_HOOKS)
    return pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n" + _tuple(*arguments) + pickle.REDUCE


def _tuple(*parts: bytes) -> bytes:
    return pickle.MARK + b"".join(parts) + pickle.TUPLE


def _numbers(values: tuple[int, ...] | list[int]) -> bytes:
    return _tuple(*map(_number, values))


def _number(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _text(words: str) -> bytes:
    encoded = words.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(encoded)) + encoded
