"""Files of `torch.save`, read without PyTorch and without executing anything they hold.

A pickle is a program, and Python's unpickler calls whatever function the program names. None runs here:
`_interpret_pickle`
walks the opcodes, which `pickletools` decodes, and knows how to build numbers, strings, tuples, lists and dicts, and
nothing else. It imports no name and calls no object of the file. The few names that a state dict needs stand for plain
values of this module (`_NAMES`); any other name, and any other opcode, ends the reading with an `InputError`.
"""

from __future__ import annotations

import enum
import io
import math
import pathlib
import pickletools
import struct
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError, file_problem

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_AXES = 32
_MAX_OPCODES = 1_000_000
"""Far beyond any state dict; bounds the memory that a small file can ask for."""


class _Rebuild(enum.Enum):
    """Stands for the functions that a state dict names."""

    DICT = "collections OrderedDict"
    TENSOR = "torch._utils _rebuild_tensor_v2"
    PARAMETER = "torch._utils _rebuild_parameter"


_NAMES: dict[str, _Rebuild | np.dtype[Any]] = {
    **{function.value: function for function in _Rebuild},
    "torch DoubleStorage": np.dtype("<f8"),
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    """A block of numbers that tensors share."""

    dtype: np.dtype[Any]
    key: str
    numel: int


class _Tensor(NamedTuple):
    """A view of a storage; all but the storage counts elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_DAMAGE = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
    struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What damaged files raise in the modules used here."""


class _BadFileError(Exception):
    """Says what is wrong with a file; `read_pytorch` adds its name."""


def read_pytorch(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch state dict, as `torch.save` wrote it, in today's or the older format.

    Nothing in the file is executed, so a file from a stranger is safe to open.

    Args:
      path: the file. It holds a state dict, or a dict with exactly one state dict among its values.

    Returns:
      Parameter name → read-only array of the file's shape and dtype.

    Raises:
      InputError: the file cannot be read, is damaged, or holds more than plain numbers.

    >>> read_pytorch("model.params")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: model.params: cannot be read (no such file); give a file of torch.save
    """
    if problem := file_problem(path):
        raise InputError(f"{path}: cannot be read ({problem}); give a file of torch.save")
    try:
        data = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return _read_torch_zip(data) if data.startswith(b"PK") else _read_legacy_torch_file(data)
    except _BadFileError as error:
        raise InputError(f"{path}: {error}") from error
    except _DAMAGE as error:
        kind = type(error).__name__
        raise InputError(f"{path}: damaged, or no file of torch.save ({kind}); download it again") from error


def _read_legacy_torch_file(data: bytes) -> dict[str, np.ndarray]:
    """Five pickles (magic number, protocol, system, object, keys), then each storage: its count and its bytes."""
    stream = io.BytesIO(data)
    if _interpret_pickle(stream)[0] != _MAGIC or _interpret_pickle(stream)[0] != _PROTOCOL:
        raise _BadFileError("no file of torch.save; give a state dict saved with PyTorch 0.4 or newer")
    if _interpret_pickle(stream)[0].get("little_endian") is not True:
        raise _BadFileError("written on a big-endian machine, which is not supported")
    found, storages = _interpret_pickle(stream)
    keys, _ = _interpret_pickle(stream)
    blocks: dict[str, memoryview] = {}
    position = stream.tell()
    for key in keys:
        (count,) = struct.unpack_from("<q", data, position)
        if count != storages[key].numel:
            raise _BadFileError("a storage has another size than its tensors say; download the file again")
        position += 8
        size = count * storages[key].dtype.itemsize
        blocks[key] = memoryview(data)[position : position + size]
        position += size
    return _arrays_of_storages(_find_state_dict(found), blocks)


def _read_torch_zip(data: bytes) -> dict[str, np.ndarray]:
    """An archive of data.pkl, byteorder and one file for each storage, all in one folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        # PyTorch does not compress; a file that does may unpack to any size.
        if sum(info.file_size for info in entries.values()) > len(data) or any(
            info.compress_type != zipfile.ZIP_STORED for info in entries.values()
        ):
            raise _BadFileError("a zip archive that torch.save did not write")
        if "data.pkl" not in entries:
            raise _BadFileError("a zip archive without data.pkl, so no file of torch.save")
        if "byteorder" in entries and archive.read(entries["byteorder"]) != b"little":
            raise _BadFileError("written on a big-endian machine, which is not supported")
        tensors = _find_state_dict(_interpret_pickle(io.BytesIO(archive.read(entries["data.pkl"])))[0])
        keys = {tensor.storage.key for tensor in tensors.values()}
        return _arrays_of_storages(tensors, {key: memoryview(archive.read(entries[f"data/{key}"])) for key in keys})


def _find_state_dict(found: Any) -> dict[str, _Tensor]:
    """The dict of tensors, or the one that is a value of the dict."""
    if isinstance(found, dict):
        inner = [value for value in found.values() if isinstance(value, dict)]
        whole = [value for value in [found, *inner] if value and all(map(_is_state_dict_entry, value.items()))]
        if len(whole) == 1:
            return whole[0]
    raise _BadFileError("expected one state dict, a dict of names and tensors; save model.state_dict()")


def _is_state_dict_entry(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], _Tensor)


def _arrays_of_storages(tensors: Mapping[str, _Tensor], blocks: Mapping[str, memoryview]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, (storage, offset, shape, strides) in tensors.items():
        block, size = blocks[storage.key], storage.dtype.itemsize
        if len(block) != storage.numel * size:
            raise _BadFileError(f"cut short: {len(block)} of {storage.numel * size} bytes of {name!r}")
        # A view whose elements repeat could stand for any amount of memory.
        if min((offset, *shape, *strides)) < 0 or math.prod(shape) > storage.numel:
            raise _BadFileError(f"the shape of {name!r} does not fit its numbers")
        # NumPy checks that the view stays inside the block.
        arrays[name] = np.ndarray(shape, storage.dtype, block, offset * size, [step * size for step in strides])
        arrays[name].flags.writeable = False
    return arrays


class _Machine:
    """The stack and memory that a pickle's opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def since_mark(self) -> list[Any]:
        """Takes what lies above the last mark off the stack."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def take(self, count: int) -> list[Any]:
        """Takes the topmost values off the stack."""
        return [self.stack.pop() for _ in range(count)][::-1]


def _interpret_pickle(stream: io.BytesIO) -> tuple[Any, dict[str, _Storage]]:
    """The value of the pickle at the stream's position, which is left behind it, and the storages that it names."""
    machine = _Machine()
    for _ in range(_MAX_OPCODES):
        opcode = _DECODERS.get(stream.read(1).decode("latin-1"))
        name = "unknown" if opcode is None else opcode.name
        if name == "STOP":
            return machine.stack.pop(), machine.storages
        if opcode is None or name not in _OPCODES:
            raise _BadFileError(f"no plain state dict of torch.save: opcode {name}, which is not followed")
        if name == "GLOBAL":  # pickletools would decode escapes, with a warning where they are wrong
            argument: Any = f"{_read_pickle_line(stream)} {_read_pickle_line(stream)}"
        else:
            argument = None if opcode.arg is None else opcode.arg.reader(stream)
        _OPCODES[name](machine, argument)
    raise _BadFileError(f"no plain state dict: more than {_MAX_OPCODES} opcodes")


def _read_pickle_line(stream: io.BytesIO) -> str:
    return stream.readline().decode().removesuffix("\n")


def _read_global_name(machine: _Machine, name: str) -> None:
    if name not in _NAMES:
        shown = name[:80].replace(" ", ".", 1)
        raise _BadFileError(
            f"no plain state dict: it names {shown!r}, which is not followed; "
            "save model.state_dict() in float16, float32 or float64"
        )
    machine.stack.append(_NAMES[name])


def _pickle_reduce(machine: _Machine, _: None) -> None:
    function, arguments = machine.take(2)
    match function, arguments:
        case _Rebuild.DICT, ():
            machine.stack.append({})
        case _Rebuild.TENSOR, (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            whole = all(isinstance(number, int) for number in (*shape, *strides))
            if not whole or not len(shape) == len(strides) <= _MAX_AXES:
                raise _BadFileError("a tensor whose shape is no short list of integers; download the file again")
            machine.stack.append(_Tensor(storage, offset, shape, strides))
        case _Rebuild.PARAMETER, (_Tensor() as tensor, *_):
            machine.stack.append(tensor)
        case _:
            raise _BadFileError("no plain state dict: it calls a function in an unknown way, which is not followed")


def _pickle_persistent_id(machine: _Machine, _: None) -> None:
    match machine.stack.pop():
        case ("storage", np.dtype() as dtype, str(key), str(), int(count), *rest) if count >= 0 and not any(rest):
            storage = _Storage(dtype, key, count)
            if machine.storages.setdefault(key, storage) != storage:
                raise _BadFileError("a storage has two sizes or types; download the file again")
            machine.stack.append(storage)
        case _:
            raise _BadFileError("no plain state dict: a persistent id that is no storage")


def _pickle_build(machine: _Machine, _: None) -> None:
    """State dicts carry `_metadata`, the versions of their modules, which nothing here needs."""
    target, _state = machine.take(2)
    if not isinstance(target, dict):
        raise _BadFileError("no plain state dict: it sets the state of an object, which is not followed")
    machine.stack.append(target)


def _pickle_set_items(machine: _Machine, items: list[Any]) -> None:
    target = machine.stack[-1]
    keys, values = items[::2], items[1::2]
    if not isinstance(target, dict) or not all(isinstance(key, str | int) for key in keys):
        raise _BadFileError("no plain state dict: an item with a key that is no text and no number")
    target.update(zip(keys, values, strict=True))


def _pickle_append(machine: _Machine, items: list[Any]) -> None:
    if not isinstance(machine.stack[-1], list):
        raise _BadFileError("no plain state dict: an item is appended to what is no list")
    machine.stack[-1].extend(items)


_PUSHED = ("BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1", "SHORT_BINSTRING", "SHORT_BINUNICODE")
_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHED, lambda machine, argument: machine.stack.append(argument)),
    **dict.fromkeys(("FRAME", "PROTO"), lambda *_: None),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, key: machine.stack.append(machine.memo[key])),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, key: machine.memo.update({key: machine.stack[-1]})),
    "MEMOIZE": lambda machine, _: machine.memo.update({len(machine.memo): machine.stack[-1]}),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.stack.append(tuple(machine.take(1))),
    "TUPLE2": lambda machine, _: machine.stack.append(tuple(machine.take(2))),
    "TUPLE3": lambda machine, _: machine.stack.append(tuple(machine.take(3))),
    "SETITEM": lambda machine, _: _pickle_set_items(machine, machine.take(2)),
    "SETITEMS": lambda machine, _: _pickle_set_items(machine, machine.since_mark()),
    "APPEND": lambda machine, _: _pickle_append(machine, machine.take(1)),
    "APPENDS": lambda machine, _: _pickle_append(machine, machine.since_mark()),
    "GLOBAL": _read_global_name,
    "STACK_GLOBAL": lambda machine, _: _read_global_name(machine, " ".join(machine.take(2))),
    "REDUCE": _pickle_reduce,
    "BINPERSID": _pickle_persistent_id,
    "BUILD": _pickle_build,
}
"""Opcode → what it does; these are all that are followed."""
_DECODERS = {opcode.code: opcode for opcode in pickletools.opcodes}
