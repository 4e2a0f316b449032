"""Names of columns to their places, with help for misspelt ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hepjax.choices import Role
from hepjax.data.momenta import derivable_roles
from hepjax.data.standard_columns import STANDARD_COLUMNS, expand_sets, standard_sources
from hepjax.errors import InputError
from hepjax.registry import similar_names_hint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Dataset

_ROLES = {role.value: role for role in Role}


class Sources(NamedTuple):
    """The places of columns of particles, and what is to be derived."""

    places: list[int]
    """The place of each among the columns of the jets, with those that are derived behind them."""
    derived: tuple[str, ...]
    """The names of roles and standard columns to compute."""


def column_places(wanted: Sequence[str], names: Sequence[str], what: str) -> list[int]:
    """Finds the wanted columns.

    Args:
      wanted: one or more different names.
      names: those that there are.
      what: the argument that holds the wanted names, for messages.

    Returns:
      The place of each wanted name in `names`.

    Raises:
      InputError: for no name, an unknown one, or one named twice.

    >>> column_places(["j1_pt", "j1_e"], ("j1_e", "j1_eta", "j1_pt"), "columns")
    [2, 0]
    """
    _check_distinct_columns(wanted, what)
    return [_place_of_column(name, names, what) for name in wanted]


def observable_places(wanted: Sequence[str], dataset: Dataset, what: str) -> list[int]:
    """Finds jet columns, by their names or by those of their roles.

    Args:
      wanted: one or more different names.
      dataset: of the jets.
      what: the argument that holds the wanted names, for messages.

    Returns:
      The place of each in `dataset.jet_columns`.

    Raises:
      InputError: as `column_places`.

    >>> from hepjax.data import datasets
    >>> observable_places(["jet_mass", "j_pt"], datasets.get("hls4ml"), "features")
    [3, 1]
    """
    _check_distinct_columns(wanted, what)
    columns = dataset.jet_columns
    return [_place_of_column(_column_of_role(name, columns, dataset), columns, what) for name in wanted]


def particle_sources(wanted: Sequence[str], dataset: Dataset, what: str) -> Sources:
    """Finds columns of particles, by their names, by those of their roles, or as what follows from other columns.

    Args:
      wanted: one or more different names, also of the sets of `hepjax.data.standard_columns`.
      dataset: of the jets.
      what: the argument that holds the wanted names, for messages.

    Returns:
      Their places.

    Raises:
      InputError: as `column_places`, or a standard column needs a role that no column has.

    >>> from hepjax.data import datasets
    >>> particle_sources(["j1_e", "pt", "mass"], datasets.get("hls4ml"), "columns")
    Sources(places=[3, 5, 16], derived=('mass',))
    """
    _check_distinct_columns(wanted, what)
    columns, known = dataset.particle_columns, {role.value for role in derivable_roles(dataset)}
    expanded = expand_sets(wanted)
    _check_distinct_columns(expanded, what)
    names = [_column_of_role(name, columns, dataset) for name in expanded]
    derived = tuple(name for name in names if name not in columns and (name in known or name in STANDARD_COLUMNS))
    for name in derived:
        if name not in known:
            standard_sources(name, dataset, what)
    return Sources([_place_of_column(name, (*columns, *derived), what) for name in names], derived)


def _check_distinct_columns(wanted: Sequence[str], what: str) -> None:
    if isinstance(wanted, str):
        raise InputError(f"{what}: expected a list of names, found the text {wanted!r}; write [{wanted!r}]")
    if len(set(wanted)) < len(wanted) or not wanted:
        raise InputError(f"{what}: expected one or more different names, found {', '.join(wanted) or 'none'}")


def _place_of_column(name: str, names: Sequence[str], what: str) -> int:
    if name not in names:
        raise InputError(f"{what}: the jets have no {name}; {similar_names_hint(name, names)}")
    return names.index(name)


def _column_of_role(name: str, columns: Sequence[str], dataset: Dataset) -> str:
    """The column of a role, where a name is that of a role and of no column."""
    role = _ROLES.get(name)
    return name if name in columns or role is None else dataset.roles.get(role, name)
