"""Columns that are computed by expressions when jets are read: what they need of a file, and their values."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.choices import Role
from hepjax.data.dataset import PARTICLE_ORDER, label_columns
from hepjax.data.expressions import evaluate, parse_expression
from hepjax.errors import InputError
from hepjax.registry import similar_names_hint

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hepjax.data.containers import Header
    from hepjax.data.expressions import Expression
    from hepjax.types import Dataset

_parsed = functools.lru_cache(maxsize=1000)(parse_expression)
_LARGEST = float(np.finfo(np.float32).max)


class Derivation(NamedTuple):
    """How columns follow from those of a file."""

    steps: tuple[tuple[str, Expression], ...]
    """The columns and their expressions, each one after those that it reads."""
    particles: Mapping[str, str]
    """Name in the expressions → column of particles in the file."""
    jets: Mapping[str, str]
    """Name in the expressions → column of jets in the file."""


class Needs(NamedTuple):
    """What is read of a file, so that fields of `Jets` can be computed."""

    dataset: Dataset
    """With columns that the file has."""
    fields: tuple[str, ...]
    derivation: Derivation
    columns: Mapping[str, tuple[str, ...]]
    """Field that is computed → its columns, in order."""


def cut_column(cut: str) -> str:
    """Returns the name of the column that a cut is computed as, which no other column has.

    >>> cut_column("pt > 1")
    'cut pt > 1'
    """
    return f"cut {cut}"


def with_derived(header: Header, derived: Mapping[str, str]) -> Header:
    """Adds columns that are computed to a header; they take the places of columns of the same name.

    Args:
      header: of a file.
      derived: column → expression.

    Returns:
      The header with their names.

    Raises:
      InputError: an expression reads a column that there is not, or itself.
    """
    if not derived:
        return header
    of_particles = _are_of_particles(derivation(derived, derived, header), header)
    particles = (name for name in header.particle_names if name not in derived)
    jets = (name for name in header.jet_names if name not in derived)
    return header._replace(
        particle_names=(*particles, *(name for name in derived if of_particles[name])),
        jet_names=(*jets, *(name for name in derived if not of_particles[name])),
    )


def derivation(wanted: Collection[str], derived: Mapping[str, str], header: Header) -> Derivation:
    """Finds out what columns follow from.

    Args:
      wanted: columns that are computed.
      derived: all such columns → their expressions.
      header: of a file.

    Raises:
      InputError: an expression reads a column that there is not, two columns of one name, or itself.
    """
    steps: dict[str, Expression] = {}
    particles: dict[str, str] = {}
    jets: dict[str, str] = {}

    def add(column: str, path: tuple[str, ...]) -> None:
        if column in path:
            raise InputError(f"{header.path}: derived columns go round in a circle: {' ← '.join((*path, column))}")
        if column in steps:
            return
        expression = _parsed(derived[column])
        title = expression.text if column == cut_column(expression.text) else f"{column} = {expression.text}"
        for name in expression.columns:
            if name in derived:
                add(name, (*path, column))
            else:
                is_particle, source = _source(name, header, derived, title)
                (particles if is_particle else jets)[name] = source
        steps[column] = expression

    for column in wanted:
        add(column, ())
    return Derivation(tuple(steps.items()), particles, jets)


def file_columns(wanted: Collection[str], dataset: Dataset, header: Header) -> set[str]:
    """Returns the jet columns of a file that columns which are computed follow from.

    Args:
      wanted: columns, of which those that are not computed are passed over.
      dataset: that computes them.
      header: of the file.
    """
    computed = [name for name in wanted if name in dataset.derived]
    return {*derivation(computed, dataset.derived, header).jets.values()}


def can_be_derived(column: str, dataset: Dataset, header: Header) -> bool:
    """Returns whether the file has all columns that a column follows from."""
    try:
        derivation([column], dataset.derived, header)
    except InputError:
        return False
    return True


def needs(dataset: Dataset, header: Header, fields: Sequence[str]) -> Needs:
    """Says what to read of a file for some fields of `Jets`.

    Args:
      dataset: with all columns, those that are computed too.
      header: of the file.
      fields: names of fields.

    Returns:
      What to read.
    """
    columns: dict[str, tuple[str, ...]] = {
        "constituents": dataset.particle_columns,
        "observables": dataset.jet_columns,
        "labels": label_columns(dataset),
        "weights": (dataset.weights,) if dataset.weights else (),
    }
    derived = dataset.derived
    computed = {
        field: names for field, names in columns.items() if field in fields and any(name in derived for name in names)
    }
    derived_from = derivation(
        [name for names in computed.values() for name in names if name in derived], derived, header
    )
    others = [name for field in ("labels", "weights") for name in computed.get(field, ()) if name not in derived]
    of_jets = dict.fromkeys(name for name in columns["observables"] if name not in derived and "observables" in fields)
    of_jets |= dict.fromkeys([*derived_from.jets.values(), *others])
    looks_at_particles = bool({"constituents", "mask"} & {*fields} or derived_from.particles)
    wanted = {*columns["constituents"], *derived_from.particles.values()} - {*derived}
    names = {role: name for role, name in dataset.roles.items() if name not in derived}
    if {Role.ENERGY, Role.PT, Role.PX} & {*names}:
        wanted |= {names[role] for role in PARTICLE_ORDER if role in names}
    else:
        wanted = {*header.particle_names}  # padding is where all columns are 0
    ordered = dict.fromkeys([*columns["constituents"], *header.particle_names])
    particles = tuple(name for name in ordered if name in wanted) if looks_at_particles else ()
    # What is read beside the columns of the jets is left out again.
    for field, held in (("constituents", particles), ("observables", tuple(of_jets))):
        if field in fields and held != columns[field]:
            computed[field] = columns[field]
    read = {field for field in fields if field not in computed}
    read |= {"observables"} if of_jets else set()
    read |= {"constituents", "mask"} if "constituents" in fields or derived_from.particles else set()
    narrow = dataclasses.replace(
        dataset,
        particle_columns=particles,
        jet_columns=tuple(of_jets),
        roles={role: name for role, name in names.items() if name in (of_jets if role.of_jets else particles)},
        weights=None if "weights" in computed else dataset.weights,
        derived={},
    )
    if {*label_columns(dataset)} & {*derived}:
        narrow = dataclasses.replace(narrow, labels=None, classes=(), background=())
    return Needs(narrow, tuple(read), derived_from, computed)


def derived_blocks(
    what: Needs, read: Mapping[str, np.ndarray], rows: slice
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Computes columns of some jets.

    Args:
      what: from `needs`.
      read: field → the values that were read, in GeV.
      rows: which of them.

    Returns:
      Field → (n, F) or (n, M, F) float64 values of its columns; those of padding have no meaning. And (n, M) bool,
      which are particles; all beyond the first M are padding.
    """
    dataset, count = what.dataset, len(range(*rows.indices(len(next(iter(read.values()))))))
    mask = read["mask"][rows] if "mask" in read else np.zeros((count, 0), bool)
    mask = mask[:, : int(np.flatnonzero(mask.any(0)).max(initial=-1)) + 1]  # no jet has more particles
    particles = read["constituents"][rows, : mask.shape[1]] if "constituents" in read else np.zeros((count, 0, 0))
    jets = read["observables"][rows] if "observables" in read else np.zeros((count, 0))
    of_particles = dict(zip(dataset.particle_columns, np.moveaxis(particles, -1, 0), strict=False))
    of_jets = dict(zip(dataset.jet_columns, np.moveaxis(jets, -1, 0), strict=False))
    derived = _values(what.derivation, of_particles, of_jets, mask)
    fields = {}
    for field, names in what.columns.items():
        plain, tail = (of_particles, mask.shape[1:]) if field == "constituents" else (of_jets, ())
        values = np.empty((count, *tail, len(names)))
        for place, name in enumerate(names):
            values[..., place] = derived[name] if name in derived else plain[name]
        fields[field] = values
    return fields, mask


def first_bad_value(values: np.ndarray, mask: np.ndarray | None) -> tuple[int, int] | None:
    """Finds NaN, infinity, and what float32 makes infinite.

    Args:
      values: (n, F), or (n, P, F) with the mask of particles, whose padding is set to 0.
      mask: (n, P) bool.

    Returns:
      The row and the column of the first; None where there is none.
    """
    if mask is not None:
        values[~mask] = 0
    if not values.size or (values.min() >= -_LARGEST and values.max() <= _LARGEST):
        return None
    place = np.argwhere(~(np.abs(values) <= _LARGEST))[0]
    return int(place[0]), int(place[-1])


def _values(
    found: Derivation, of_particles: Mapping[str, np.ndarray], of_jets: Mapping[str, np.ndarray], mask: np.ndarray
) -> dict[str, np.ndarray]:
    """Column that is computed → (n,) or (n, P) values."""
    values = {name: of_particles[column].astype(np.float64) for name, column in found.particles.items()}
    values |= {name: of_jets[column].astype(np.float64) for name, column in found.jets.items()}
    for name, expression in found.steps:
        values[name] = evaluate(expression, values, mask)
    return {name: values[name] for name, _ in found.steps}


def _are_of_particles(found: Derivation, header: Header) -> dict[str, bool]:
    """Column that is computed → whether it has a value for each particle."""
    particles = dict.fromkeys(header.particle_names, np.ones((1, 2)))
    jets = dict.fromkeys(header.jet_names, np.ones(1))
    try:
        values = _values(found, particles, jets, np.ones((1, 2), bool))
    except InputError as error:
        raise InputError(f"{header.path}: {error}") from error
    return {name: value.ndim == 2 for name, value in values.items()}


def _source(name: str, header: Header, derived: Mapping[str, str], where: str) -> tuple[bool, str]:
    """Whether a name in an expression means a column of particles, and the column.

    The name of the table before that of a column, as in jets:pt, may be left out.
    """
    kind, found, column = name.partition(".")
    places = {"particles": header.particle_names, "jets": header.jet_names}
    column, looked = (column, {kind: places[kind]}) if found else (name, places)
    exact = [(place, held) for place, names in looked.items() for held in names if held == column]
    ends = [(place, held) for place, names in looked.items() for held in names if re.split("[:/]", held)[-1] == column]
    match exact or ends:
        case [(place, held)]:
            return place == "particles", held
        case [_, *_] as several:
            listed = ", ".join(f"{held} of {place}" for place, held in several)
            raise InputError(
                f"{header.path}: {where}: {column} may be {listed}; write particles.{column} or jets.{column}"
            )
    columns = [held for names in looked.values() for held in names]
    computed = [each for each, text in derived.items() if each != cut_column(text) and not found]
    hint = similar_names_hint(column, [*columns, *computed])
    raise InputError(f"{header.path}: {where}: there is no column {name}; {hint}")
