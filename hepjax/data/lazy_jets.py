"""HDF5 files of the public layout → lazy `Jets`: opening reads headers, indexing reads its rows, chunk by chunk."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.data.datasets import hls4ml
from hepjax.data.hdf5.blocks import read_in_parts
from hepjax.data.hdf5.chunks import in_threads
from hepjax.data.hdf5.header import ROWS, image_shape, read_header
from hepjax.data.hdf5.indexing import written_out
from hepjax.errors import InputError
from hepjax.types import Jets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hepjax.data.hdf5.header import Header

Rows = slice | np.ndarray


def read_jets(
    paths: str | Path | Sequence[str | Path] | None = None,
    *,
    particles: int | None = None,
    images: Sequence[str] = (),
) -> Jets:
    """Opens files of jets; rows are read when `jets[rows]` or a field asks for them.

    The layout is that of the public HLS4ML LHC jet dataset (arXiv:1908.05318), identified by column names.

    Args:
      paths: one file, a folder of `*.h5`, or several files, which follow each other; None is the sample of simulated
        jets that comes with hepjax.
      particles: how many of the hardest particles to keep per jet; None keeps all.
      images: datasets of jet images to read too, out of `hepjax.data.datasets.hls4ml.IMAGES`; `jets[rows]` then holds their rows.

    Returns:
      Lazy `Jets` with the files' jets in order.

    Raises:
      InputError: a file is missing, damaged or not of the layout; files differ in columns, particles or the size of
        images; a file keeps fewer particles than asked for, or lacks the images. When rows are read: a value is NaN,
        infinite or beyond float32, or labels are not one-hot.

    >>> jets = read_jets(particles=20)
    >>> jets[:3].constituents.shape
    (3, 20, 16)
    """
    headers = [read_header(path) for path in list_files(paths)]
    first = headers[0]
    for other in headers[1:]:
        _check_alike(first, other)
    sizes = {name: _image_size(headers, name) for name in _asked_images(images)}
    store = _Store(tuple(headers), _slots(headers, particles), sizes)
    return _LazyJets(
        constituents=_Lazy(store, "constituents"),
        mask=_Lazy(store, "mask"),
        observables=_Lazy(store, "observables"),
        labels=_Lazy(store, "labels") if first.labels.names else None,
        particle_names=first.particles.names,
        observable_names=first.observables.names,
        classes=hls4ml.CLASSES,
        images={name: _Lazy(store, name) for name in sizes},
        store=store,
    )


def list_files(paths: str | Path | Sequence[str | Path] | None) -> list[Path]:
    """The files that `read_jets` would read.

    Args:
      paths: as in `read_jets`.

    Returns:
      One path per file, in order.

    Raises:
      InputError: a folder holds no `*.h5`, or nothing is given.

    >>> [path.name for path in list_files(None)]
    ['jets_30p.h5']
    """
    if paths is None:
        return [Path(str(files("hepjax") / "data" / "jets_30p.h5"))]
    listed = [paths] if isinstance(paths, str | Path) else list(paths)
    found: list[Path] = []
    for path in map(Path, listed):
        inside = sorted(path.glob("*.h5")) if path.is_dir() else [path]
        if not inside:
            raise InputError(f"{path}: a folder without *.h5 files")
        found.extend(inside)
    if not found:
        raise InputError("paths: no file given; give at least one, or None for the sample that comes with hepjax")
    return found


def chunk_starts(jets: Jets) -> np.ndarray:
    """Where chunks of jets begin, for those who shuffle: a file gives all rows of a chunk as fast as one of them.

    Args:
      jets: the jets, lazy or in memory.

    Returns:
      (K,) integers, the ascending rows of `jets` with which the chunks of particles begin, the first 0. Jets in memory
      and files that are not chunked count as chunks of 1000 rows.

    >>> import hepjax
    >>> chunk_starts(hepjax.read_jets()[:2500]).tolist()
    [0, 1000, 2000]
    """
    headers = jets.store.headers if isinstance(jets, _LazyJets) else ()
    chunks = [(header.jets, header.chunk_rows[hls4ml.CONSTITUENTS]) for header in headers] or [(len(jets), ROWS)]
    ends = np.cumsum([count for count, _ in chunks])
    return np.concatenate([np.arange(0, n, size) + end - n for (n, size), end in zip(chunks, ends, strict=True)])


def _slots(headers: Sequence[Header], particles: int | None) -> int:
    """The particles to keep per jet, which every file has."""
    first, fewest = headers[0], min(headers, key=lambda header: header.slots)
    if particles is None:
        for other in headers:
            if other.slots != first.slots:
                raise InputError(
                    f"{other.path}: keeps {other.slots} particles per jet but {first.path} keeps {first.slots}; "
                    f"give particles={fewest.slots} or fewer"
                )
        return first.slots
    if not 1 <= particles <= fewest.slots:
        raise InputError(
            f"{fewest.path}: keeps {fewest.slots} particles per jet; asked for particles={particles}; "
            f"give 1 to {fewest.slots}"
        )
    return particles


def _asked_images(images: Sequence[str]) -> Sequence[str]:
    for name in [images] if isinstance(images, str) else images:
        if isinstance(images, str) or name not in hls4ml.IMAGES:
            raise InputError(f"images: expected a list of names out of {', '.join(hls4ml.IMAGES)}; found {name!r}")
    return images


def _image_size(headers: Sequence[Header], name: str) -> tuple[int, int]:
    """The height and width of these images, which every file shares."""
    first, *others = [image_shape(header, name) for header in headers]
    for header, other in zip(headers[1:], others, strict=True):
        if other != first:
            raise InputError(
                f"{header.path}: its {name} has {other[0]} x {other[1]} pixels, that of {headers[0].path} "
                f"{first[0]} x {first[1]}; read these files apart"
            )
    return first


def _check_alike(first: Header, other: Header) -> None:
    for what in ("particles", "observables", "labels"):
        a, b = getattr(first, what).names, getattr(other, what).names
        if a != b:
            differ = ", ".join(sorted(set(a) ^ set(b)))
            raise InputError(
                f"{other.path}: its {what} columns differ from those of {first.path}: {differ}; "
                "read these files apart, or make them again with the same columns"
            )


@dataclasses.dataclass(frozen=True)
class _Store:
    """Where the rows of a lazy `Jets` lie."""

    headers: tuple[Header, ...]
    slots: int
    image_sizes: dict[str, tuple[int, int]]

    def __len__(self) -> int:
        return sum(header.jets for header in self.headers)

    def shape(self, field: str) -> tuple[int, ...]:
        first = self.headers[0]
        tail = {
            "constituents": (self.slots, len(first.particles.names)),
            "mask": (self.slots,),
            "observables": (len(first.observables.names),),
            "labels": (),
            **self.image_sizes,
        }[field]
        return (len(self), *tail)

    def read(self, fields: Sequence[str], rows: Rows) -> dict[str, np.ndarray]:
        """Reads the fields' rows; each chunk is read once, several at a time."""
        wanted = np.arange(len(self))[rows]
        out = {f: np.empty((len(wanted), *self.shape(f)[1:]), _DTYPES[f]) for f in fields}
        order = np.argsort(wanted, kind="stable")
        tasks: list[Callable[[], None]] = []
        offset = 0
        for header in self.headers:
            low, high = np.searchsorted(wanted, (offset, offset + header.jets), sorter=order)
            if low < high:
                places = order[low:high]
                tasks += read_in_parts(header, self.slots, out, wanted[places] - offset, places)
            offset += header.jets
        in_threads(tasks)
        return out


class _Lazy:
    """One field of a lazy `Jets`: an array that stays on disk until it is indexed or turned into an array."""

    def __init__(self, store: _Store, field: str) -> None:
        self._store, self._field = store, field
        self.shape, self.dtype, self.ndim = store.shape(field), _DTYPES[field], len(store.shape(field))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        """What NumPy would give for this index; only the rows that it names are read."""
        rows, *rest = written_out(key, self.shape)
        if isinstance(rows, slice) or (np.ndim(rows) == 1 and all(isinstance(k, slice) for k in rest)):
            places: Any = slice(None)
        else:
            # Read the rows in a line, then index these with the places in the shape of the rows: as NumPy pairs them.
            places, rows = np.arange(np.size(rows)).reshape(np.shape(rows)), np.reshape(rows, -1)
            places = int(places) if places.ndim == 0 else places
        values: np.ndarray = self._store.read([self._field], rows)[self._field][(places, *rest)]
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows on disk cannot be viewed without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __repr__(self) -> str:
        return f"<lazy {self._field}, shape {self.shape}, {self.dtype}>"


_DTYPES = {
    "constituents": np.dtype(np.float32),
    "mask": np.dtype(bool),
    "observables": np.dtype(np.float32),
    "labels": np.dtype(np.int32),
    **dict.fromkeys(hls4ml.IMAGES, np.dtype(np.float32)),
}


@dataclasses.dataclass(frozen=True, repr=False)
class _LazyJets(Jets):
    """`Jets` on disk; a slice reads each dataset once for all its fields."""

    store: _Store = dataclasses.field(kw_only=True)

    def _take(self, rows: Rows) -> Jets:
        fields = ["constituents", "mask", "observables", *(["labels"] if self.labels is not None else [])]
        values: dict[str, Any] = {"labels": None, **self.store.read([*fields, *self.images], rows)}
        return Jets(
            images={name: values.pop(name) for name in self.images},
            **values,
            particle_names=self.particle_names,
            observable_names=self.observable_names,
            classes=self.classes,
        )

    def __repr__(self) -> str:
        return f"<{len(self)} lazy jets of {self.store.slots} particles in {len(self.store.headers)} file(s)>"
