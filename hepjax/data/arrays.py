"""Jets from arrays and tables in memory."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Role
from hepjax.data.columnar import columnar_container
from hepjax.data.columns import PARTICLE
from hepjax.data.containers import Array, Contents, Ragged
from hepjax.data.dataset import P4
from hepjax.data.descriptions import dataset_of
from hepjax.data.lazy_jets import join_lazy_jets
from hepjax.data.recognition import default_particle_features
from hepjax.errors import InputError, import_extra
from hepjax.types import Dataset, Index, Jets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from hepjax.data.kept import Kept

_LARGEST = float(np.finfo(np.float32).max)
_CHUNK = 4096
"""The jets of a table that become arrays of one length at a time."""
_LABEL = "label"
_TABLE = Path("table")
"""The name of a table in messages."""


def from_arrays(
    p4: Any,
    *,
    mask: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    classes: Sequence[str] = (),
    weights: ArrayLike | None = None,
    particles: Mapping[str, Any] | None = None,
    observables: Mapping[str, ArrayLike] | None = None,
    name: str = "arrays",
) -> Jets:
    """Makes jets of arrays in memory.

    Args:
      p4: (N, P, 4) momenta px, py, pz and energies of particles, in GeV; or, for jets with lists of their own length, N
        arrays of (n, 4) or an awkward array. The particles may be in any order.
      mask: (N, P) bool, True for a particle; None takes particles of positive energy. Not for lists.
      labels: (N,) integers from 0, Booleans, or names of classes; None where there are none.
      classes: names of the classes, in the order of the labels; () names them 0, 1 and so on, or as the labels do.
      weights: (N,) event weights of any sign.
      particles: name → (N, P) further values of particles, or lists; names of roles, such as "charge", are recognized.
      observables: name → (N,) values of jets; likewise, such as "jet_mass".
      name: of the dataset, for messages and records.

    Returns:
      Jets in memory, whose particles are ordered by falling pT; padding is 0.

    Raises:
      InputError: an array has a wrong shape, or values that are NaN, infinite or beyond float32; labels that are no
        class; names the argument.

    >>> jets = from_arrays(np.ones((3, 2, 4)), labels=[0, 1, 1], classes=("background", "signal"))
    >>> jets.constituents.shape, jets.labels.tolist(), jets.dataset.classes
    ((3, 2, 4), [0, 1, 1], ('background', 'signal'))
    """
    momenta, held = _padded("p4", p4, 4)
    count, slots = momenta.shape[:2]
    columns = [momenta]
    for key, values in (particles or {}).items():
        column, _ = _padded(f"particles[{key!r}]", values, 1)
        if column.shape[:2] != (count, slots):
            raise _wrong_shape(f"particles[{key!r}]", column.shape[:2], (count, slots))
        columns.append(column)
    constituents = np.concatenate(columns, axis=-1)
    if mask is not None:
        held = _array("mask", mask, (count, slots)).astype(bool)
    held = held & (momenta[..., 3] > 0)
    constituents = np.where(held[..., None], constituents, np.float32(0))
    order = np.argsort(np.where(held, -np.hypot(constituents[..., 0], constituents[..., 1]), np.inf), 1, kind="stable")
    values = {key: _array(f"observables[{key!r}]", x, (count,)) for key, x in (observables or {}).items()}
    index, classes = (None, ()) if labels is None else _labels(labels, tuple(classes), count)
    roles = {role: role.value for role in P4}
    roles |= {role: role.value for role in Role if role.value in {*(particles or {}), *values}}
    units = {role.value: "GeV" for role in (*P4, Role.JET_PT, Role.JET_MASS) if role in roles}
    dataset = Dataset(
        name,
        particle_columns=(*(role.value for role in P4), *(particles or {})),
        jet_columns=tuple(values),
        classes=classes,
        labels=None if index is None else Index(_LABEL),
        weights=None if weights is None else "weights",
        roles=roles,
        units=units,
        features=tuple(values),
    )
    seen = dict.fromkeys((*default_particle_features(dataset), *(particles or {})))
    return Jets(
        constituents=np.take_along_axis(constituents, order[..., None], axis=1),
        mask=np.take_along_axis(held, order, axis=1),
        observables=np.stack(list(values.values()), axis=1) if values else np.zeros((count, 0), np.float32),
        labels=index,
        dataset=dataclasses.replace(dataset, particle_features=tuple(seen)),
        weights=None if weights is None else _array("weights", weights, (count,)),
    )


def from_table(table: Any, *, dataset: Dataset | str | None = None, particles: int | None = None) -> Jets:
    """Makes jets of a table in memory: one row a jet.

    Args:
      table: a pandas DataFrame, an Arrow table, an awkward array of records, or a dict of columns. Columns of lists,
        of rows of fixed length, and numbered ones such as E_0, PX_0, E_1, … are of particles.
      dataset: as in `hepjax.read_jets`: what the columns mean; None recognizes it.
      particles: how many of the hardest particles to keep per jet; None keeps all.

    Returns:
      Jets in memory.

    Raises:
      InputError: as `hepjax.read_jets`.

    >>> jets = from_table({"pt": [[3.0, 4.0], [5.0]], "eta": [[0.1, 0.2], [0.3]], "phi": [[0.0, 0.1], [0.2]]})
    >>> jets.constituents.shape, jets.constituents[0, 0].round(2).tolist()
    ((2, 2, 3), [4.0, 0.20000000298023224, 0.10000000149011612])
    """
    columns = {str(name): _column(str(name), values) for name, values in _columns_of_table(table)}
    counts = {len(x.counts) if isinstance(x, Ragged) else len(x) for x in columns.values()}
    if len(counts) != 1:
        raise InputError(f"table: its columns have {', '.join(map(str, sorted(counts)))} rows; give one row a jet")
    shapes = {name: (None,) if isinstance(x, Ragged) else x.shape[1:] for name, x in columns.items()}
    contents = Contents(counts.pop(), {name: Array(shape) for name, shape in shapes.items()}, _CHUNK)
    container = columnar_container(
        "table",
        (),
        contents=lambda *_: contents,
        read=functools.partial(_rows_of_columns, columns),
        attributes=lambda _: {},
    )
    given = dataset_of(dataset)
    header = container.read_header(_TABLE, False, {} if given is None else given.arrays)
    if particles is None and header.slots is None:
        lists = [
            columns[array] for name in header.particle_names for array in header.sources[f"{PARTICLE}{name}"].arrays
        ]
        particles = max(int(x.counts.max(initial=1)) for x in lists if isinstance(x, Ragged))
    return join_lazy_jets([(header, container)], dataset=given, particles=particles)[:]


def _columns_of_table(table: Any) -> list[tuple[str, Any]]:
    """The columns of a table of any kind, by name."""
    if hasattr(table, "column_names"):  # Arrow
        return [(name, table.column(name).to_pylist()) for name in table.column_names]
    if hasattr(table, "fields") and hasattr(table, "layout"):  # awkward
        return [(name, table[name]) for name in table.fields]
    if hasattr(table, "items"):  # pandas, or a dict
        return list(table.items())
    raise InputError(f"table: expected a pandas, Arrow or awkward table or a dict, found {type(table).__name__}")


def _column(name: str, values: Any) -> np.ndarray | Ragged:
    """A column as an array, or as lists."""
    if getattr(values, "ndim", 0) == 1 and hasattr(values, "layout"):
        values = np.asarray(values)
    if not hasattr(values, "layout"):
        array = np.asarray(values) if not isinstance(values, list) or np.ndim(values[0]) == 0 else None
        if array is not None and array.dtype.kind in "biuf":
            return array
        values = [np.asarray(row) for row in values]
        lengths = {np.shape(row) for row in values}
        if len(lengths) == 1 and len(next(iter(lengths))) == 2:
            return np.stack(values)
    flat, counts = _flat(name, values)
    return Ragged(flat, counts)


def _rows_of_columns(
    columns: Mapping[str, np.ndarray | Ragged],
    _: Path,
    names: Sequence[str],
    first: int,
    last: int,
    kept: Kept,  # noqa: ARG001 - there is nothing to open
) -> dict[str, np.ndarray | Ragged]:
    def rows(values: np.ndarray | Ragged) -> np.ndarray | Ragged:
        if not isinstance(values, Ragged):
            return values[first:last]
        start, stop = int(values.counts[:first].sum()), int(values.counts[:last].sum())
        return Ragged(values.values[start:stop], values.counts[first:last])

    return {name: rows(columns[name]) for name in names}


def _flat(what: str, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of lists, one after the other, and how many are of each."""
    if hasattr(values, "layout"):
        awkward = import_extra("awkward", "root")
        counts = np.asarray(awkward.num(values, axis=1))
        return np.asarray(awkward.to_numpy(awkward.flatten(values, axis=1))), counts.astype(np.int64)
    try:
        rows = [np.asarray(row, np.float64) for row in values]
        counts = np.array([len(row) for row in rows], np.int64)
        return np.concatenate(rows) if rows else np.zeros(0), counts
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: expected numbers, or a list of numbers for each jet ({error})") from error


def _padded(what: str, values: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, P, width) float32 values, and (N, P) bool, which of them are given."""
    tail = () if width == 1 else (width,)
    ragged = hasattr(values, "layout") or (
        isinstance(values, list | tuple) and len({np.shape(row)[:1] for row in values}) > 1
    )
    if not ragged:
        array = np.asarray(values)
        if array.ndim != 2 + len(tail) or array.shape[2:] != tail:
            raise _wrong_shape(what, array.shape, ("N", "P", *tail))
        return _numbers(what, array).reshape(*array.shape[:2], width), np.ones(array.shape[:2], bool)
    flat, counts = _flat(what, values)
    if flat.shape[1:] != tail:
        raise _wrong_shape(what, ("N", "n", *flat.shape[1:]), ("N", "n", *tail))
    mask = np.arange(max(int(counts.max(initial=1)), 1)) < counts[:, None]
    padded = np.zeros((*mask.shape, width), np.float32)
    padded[mask] = _numbers(what, flat).reshape(-1, width)
    return padded, mask


def _array(what: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values)
    if array.shape != shape:
        raise _wrong_shape(what, array.shape, shape)
    return _numbers(what, array)


def _numbers(what: str, values: np.ndarray) -> np.ndarray:
    """The values as float32; NaN, infinity and what float32 makes infinite are refused."""
    if values.dtype.kind not in "biuf":
        raise InputError(f"{what}: expected numbers, found the type {values.dtype}")
    bad = ~(np.abs(values.astype(np.float64)) <= _LARGEST)
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        raise InputError(f"{what}: {int(bad.sum())} values are NaN, infinite or beyond float32, the first in row {row}")
    return values.astype(np.float32)


def _labels(labels: Any, classes: tuple[str, ...], count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N,) int32, and the names of the classes."""
    values = np.asarray(labels)
    if values.shape != (count,):
        raise _wrong_shape("labels", values.shape, (count,))
    if values.dtype.kind in "US":
        names = classes or tuple(sorted({str(value) for value in values}))
        if unknown := sorted({str(value) for value in values} - {*names}):
            raise InputError(f"labels: {', '.join(unknown[:5])} is none of the classes {', '.join(names)}")
        return np.array([names.index(str(value)) for value in values], np.int32), names
    if values.dtype.kind not in "biuf" or not (values == np.floor(values)).all() or values.min(initial=0) < 0:
        raise InputError("labels: expected whole numbers from 0, Booleans, or names of classes")
    most = int(values.max(initial=0))
    names = classes or tuple(map(str, range(max(most, 1) + 1)))
    if most >= len(names):
        raise InputError(f"labels: found the label {most}, but there are only {len(names)} classes: {', '.join(names)}")
    return values.astype(np.int32), names


def _wrong_shape(what: str, found: tuple[Any, ...], expected: tuple[Any, ...]) -> InputError:
    def text(shape: tuple[Any, ...]) -> str:
        return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"

    return InputError(f"{what}: expected the shape {text(expected)}, found {text(found)}")
