"""Checks of `Jets` that were made by hand; those of files are checked by their readers."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Role
from hepjax.data.dataset import check_dataset, particle_mask
from hepjax.data.lazy_jets import LazyJets
from hepjax.errors import InputError
from hepjax.types import Dataset, Index, Jets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_KINDS = {"f": "floating-point numbers", "b": "True and False", "iu": "whole numbers", "fiu": "numbers"}
_TELL_PADDING = (Role.ENERGY, Role.PT)


def check_jets(jets: Jets) -> None:
    """Refuses jets in memory whose arrays do not fit each other or their dataset, and labels that name no class.

    Values of particles and observables are checked by `check_values`, when they are read.

    Args:
      jets: any; those of files are taken as they are.

    Raises:
      InputError: names the array, what was expected, and what was found.

    >>> one = np.ones((1, 1, 2))
    >>> check_jets(Jets(one, one[..., 0] > 0, np.zeros((1, 0)), None, Dataset("toy", ("pt",))))
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: jets: constituents has 2 columns, and the dataset toy names 1: pt; name each column
    """
    if isinstance(jets, LazyJets):
        return
    if not isinstance(jets, Jets):
        raise InputError(f"jets: expected hepjax.Jets, such as hepjax.read_jets gives, found {type(jets).__name__}")
    if not isinstance(jets.dataset, Dataset):
        raise InputError(f"jets: expected a hepjax.types.Dataset, found {type(jets.dataset).__name__}")
    dataset = jets.dataset
    if dataset.classes and dataset.labels is None:  # classes need no column where there are no files
        dataset = dataclasses.replace(dataset, labels=Index(""))
    check_dataset(dataset, "jets")
    for problem in itertools.chain(_array_problems(jets), _column_problems(jets), _number_problems(jets)):
        raise InputError(f"jets: {problem}")


def check_values(jets: Jets, name: str, values: np.ndarray, mask: np.ndarray | None = None) -> None:
    """Refuses values of jets in memory that are NaN or infinite, and particles that are none.

    Args:
      jets: that the values are of; those of files are taken as they are.
      name: of the field, `constituents` or `observables`.
      values: (n, …, F) some of its rows.
      mask: (n, P) bool, of particles; padding is not looked at.

    Raises:
      InputError: names the row, counted among these, and the column.

    >>> check_values(Jets(*[None] * 4, Dataset("toy")), "observables", np.ones((2, 1)))
    """
    if isinstance(jets, LazyJets) or not values.size:
        return
    columns = jets.particle_names if mask is not None else jets.observable_names
    # The sum of finite numbers is finite, or overflows: only then each is looked at.
    if not np.isfinite(values.sum(dtype=np.float64)):
        bad = ~np.isfinite(values) if mask is None else ~np.isfinite(values) & mask[..., None]
        if bad.any():
            place = np.argwhere(bad)[0]
            raise InputError(
                f"jets: {name} has {int(bad.sum())} NaN or infinite values, the first in row {place[0]}, column "
                f"{columns[place[-1]]}; remove those jets"
            )
    roles = jets.dataset.roles
    if mask is None or not ({*_TELL_PADDING} & {*roles} or {Role.PX, Role.PY} <= {*roles}):
        return
    empty = mask & ~particle_mask(values, columns, roles)
    if empty.any():
        row, slot = np.argwhere(empty)[0]
        raise InputError(
            f"jets: mask has a particle in row {row}, slot {slot}, which has no energy or momentum; mark padding by "
            "False"
        )


def _array_problems(jets: Jets) -> Iterator[str]:
    """Yields what is wrong with the shapes and types of the arrays."""
    shape = np.shape(jets.constituents)
    if len(shape) != 3:
        yield f"constituents: expected the shape (N, P, F), found {shape}"
        return
    fields: dict[str, tuple[Any, tuple[int, ...], int, str]] = {
        "constituents": (jets.constituents, shape, 3, "f"),
        "mask": (jets.mask, shape[:2], 2, "b"),
        "observables": (jets.observables, shape[:1], 2, "f"),
        "labels": (jets.labels, shape[:1], 1, "iu"),
        "weights": (jets.weights, shape[:1], 1, "fiu"),
        **{name: (image, shape[:1], 3, "f") for name, image in jets.images.items()},
    }
    for name, (array, start, rank, kinds) in fields.items():
        if array is None and name in {"labels", "weights"}:
            continue
        found = np.shape(array)
        if len(found) != rank or found[: len(start)] != start:
            rest = ", …" * (rank - len(start)) + ("," if rank == 1 else "")
            yield f"{name}: expected the shape ({', '.join(map(str, start))}{rest}), as constituents, found {found}"
        elif not hasattr(array, "dtype") or np.dtype(array.dtype).kind not in kinds:
            yield f"{name}: expected an array of {_KINDS[kinds]}, found {getattr(array, 'dtype', type(array).__name__)}"


def _column_problems(jets: Jets) -> Iterator[str]:
    """Yields what is wrong with the names of columns."""
    dataset = jets.dataset
    for name, array, columns in (
        ("constituents", jets.constituents, dataset.particle_columns),
        ("observables", jets.observables, dataset.jet_columns),
    ):
        if array.shape[-1] != len(columns):
            yield (
                f"{name} has {array.shape[-1]} columns, and the dataset {dataset.name} names {len(columns)}: "
                f"{_listed(columns)}; name each column"
            )
    for role, column in dataset.roles.items():
        columns = dataset.jet_columns if role.of_jets else dataset.particle_columns
        if column not in columns:
            yield (
                f"the dataset {dataset.name} gives the role {role.value} to {column}, which is no column; the columns "
                f"are {_listed(columns)}"
            )


def _number_problems(jets: Jets) -> Iterator[str]:
    """Yields what is wrong with labels and weights."""
    classes = len(jets.classes)
    if jets.labels is not None and not classes:
        yield f"there are labels, but the dataset {jets.dataset.name} names no classes; name them"
    if jets.labels is not None and len(jets):
        labels = np.asarray(jets.labels)
        bad = (labels < 0) | (labels >= classes)
        if bad.any():
            yield (
                f"labels: expected 0 to {classes - 1}, the classes {', '.join(jets.classes)}, found "
                f"{labels[bad][0]} in row {np.argmax(bad)}"
            )
    if jets.weights is not None:
        bad = ~np.isfinite(np.asarray(jets.weights))
        if bad.any():
            yield f"weights: expected finite numbers, found {np.asarray(jets.weights)[bad][0]} in row {np.argmax(bad)}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", …" if len(names) > 20 else "") or "none"
