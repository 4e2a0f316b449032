"""The datasets that are known by name: one file each here, those of installed packages and of a user's own files."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from hepjax.choices import Role
from hepjax.data.dataset import label_columns
from hepjax.errors import InputError
from hepjax.registry import Registry, submodule
from hepjax.types import Dataset

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["DATASETS", "get", "known_datasets", "recognize", "register", "role_of", "title_of"]

DATASETS: Registry[Dataset] = Registry("dataset", package="hepjax.data.datasets", entry_points="hepjax.datasets")

register = DATASETS.register
"""Registers a `Dataset` under a name: `register("my-data", Dataset("my-data", …))`."""

_ROLE_NAMES = {role.value for role in Role}
"""Names that anybody may give to columns, such as jet_pt, so that they tell no dataset."""

log = logging.getLogger("hepjax")


def get(name: str) -> Dataset:
    """Returns the dataset of a name.

    Args:
      name: one of `DATASETS.names()`.

    Raises:
      InputError: there is no such dataset, or what is registered is no `Dataset` of that name.

    >>> get("hls4ml").classes
    ('g', 'q', 'w', 'z', 't')
    """
    dataset = DATASETS.get(name)
    if not isinstance(dataset, Dataset):
        raise InputError(f"dataset {name}: expected a hepjax.types.Dataset, found {type(dataset).__name__}")
    if dataset.name != name:
        raise InputError(
            f"dataset {name}: is registered under this name, but its own is {dataset.name}; give it one name"
        )
    return dataset


def recognize(particle_columns: Collection[str], jet_columns: Collection[str]) -> Dataset | None:
    """Returns the known dataset that gives a meaning to most of the columns of a file.

    Args:
      particle_columns: the names of the file's columns of particles.
      jet_columns: the names of those of jets, labels included.

    Returns:
      The dataset; None where no known dataset whose files name their columns has a role for any. Of those that know as
      many columns it is the one that lacks the fewest, and of equals the first by name.

    >>> recognize(["j1_pt", "j1_etarel"], []).name
    'hls4ml'
    """
    best, most = None, (0, 0)
    for dataset in known_datasets():
        known = [
            name for role, name in dataset.roles.items() if name in (jet_columns if role.of_jets else particle_columns)
        ]
        apart = sum(name in jet_columns for name in (*label_columns(dataset), dataset.weights))
        fits = (len(known) + apart, len(known) - len(dataset.roles))
        if {*known} - _ROLE_NAMES and not dataset.arrays and fits > most:
            best, most = dataset, fits
    return best


def title_of(column: str) -> str | None:
    """Returns how a known dataset writes a column on an axis, unit included.

    Args:
      column: any name.

    Returns:
      The words; None where no known dataset has such a column.

    >>> title_of("j_mass")
    'Jet mass [GeV]'
    """
    return next((dataset.titles[column] for dataset in known_datasets() if column in dataset.titles), None)


def role_of(column: str) -> Role | None:
    """Returns the role that a column has in a known dataset.

    Args:
      column: any name.

    Returns:
      The role; None where no known dataset has such a column, or it has no role there.

    >>> role_of("j1_etarel").name
    'ETA_REL'
    """
    roles = (role for dataset in known_datasets() for role, name in dataset.roles.items() if name == column)
    return next(roles, None)


def known_datasets() -> Iterator[Dataset]:
    """Lists all known datasets; a package that fails to import is passed over with a warning."""
    for name in DATASETS.names():
        try:
            yield get(name)
        except InputError as error:
            log.warning("%s", error)


if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
