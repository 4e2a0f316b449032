"""Azimuths that lie in −π to π, whatever files hold."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.choices import Role
from hepjax.errors import InputError
from hepjax.numerics import wrap_azimuth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Blocks = Callable[[], Iterable[np.ndarray]]

log = logging.getLogger("hepjax")

AZIMUTHS = (Role.PHI, Role.PHI_REL, Role.JET_PHI)
"""The roles of columns that are azimuths, in radians."""
ABSURD = 100.0
"""Beyond this, radians, no program means an azimuth: what is there is left as it is."""
FEW = 0.01
"""The part of the azimuths of a column that may be absurd; more are of another unit."""
LARGEST = float(np.pi) + 2.0**-8
"""The largest azimuth that counts as inside: files round, to half precision or ten bits."""


def azimuth_places(names: Sequence[str], roles: Mapping[Role, str], *, of_jets: bool) -> list[int]:
    """Finds the columns that are azimuths.

    Args:
      names: of columns of particles or of jets.
      roles: role → name of a column.
      of_jets: which of the two they are.

    Returns:
      Their places.

    >>> azimuth_places(["j1_eta", "j1_phi"], {Role.PHI: "j1_phi"}, of_jets=False)
    [1]
    """
    columns = [roles[role] for role in AZIMUTHS if role in roles and role.of_jets == of_jets]
    return [names.index(name) for name in columns if name in names]


def outside(values: np.ndarray) -> np.ndarray:
    """Tests which azimuths lie outside of −π to π and are to be wrapped.

    >>> outside(np.array([3.0, 6.0, -3.2, 1e11])).tolist()
    [False, True, True, False]
    """
    size = np.abs(values)
    return np.asarray((size > LARGEST) & (size <= ABSURD))


def wrap_columns(values: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Wraps azimuths that lie outside of −π to π; all others stay, bit by bit.

    Args:
      values: (..., F) columns.
      places: of the azimuths.

    Returns:
      The same array where nothing is outside, else a copy.

    >>> wrap_columns(np.array([[1.0, 2 * np.pi], [3.0, 0.5]]), [1]).tolist()
    [[1.0, 0.0], [3.0, 0.5]]
    """
    strange = [place for place in places if reaches_beyond(values[..., place]) and outside(values[..., place]).any()]
    values = values.copy() if strange else values
    for place in strange:
        column: Any = values[..., place]
        values[..., place] = np.where(outside(column), wrap_azimuth(column.astype(np.float64)), column)
    return values


def reaches_beyond(column: np.ndarray) -> bool:
    """Tests quickly whether any of the values lies outside of −π to π.

    >>> reaches_beyond(np.array([3.0, -3.0])), reaches_beyond(np.array([1e11]))
    (False, True)
    """
    return bool(column.size) and float(max(column.max(), -column.min())) > LARGEST


def wrap_in_memory(values: np.ndarray, names: Sequence[str], roles: Mapping[Role, str], *, of_jets: bool) -> np.ndarray:
    """Wraps the azimuths of jets that come from no file, and says how many; those of files are wrapped when read.

    Args:
      values: (..., F) columns of particles or of jets.
      names: the F names.
      roles: role → name of a column.
      of_jets: which of the two they are.

    Returns:
      The same array where nothing is outside, else a copy.
    """
    places = azimuth_places(names, roles, of_jets=of_jets)
    wrapped = wrap_columns(values, places)
    if wrapped is not values:
        counts = {names[place]: int(outside(values[..., place]).sum()) for place in places}
        warn_of_wrapped("", {name: f"{count:,}" for name, count in counts.items() if count})
    return wrapped


def check_once(warned: dict[str, object], key: str, file: str, places: Mapping[str, int], blocks: Blocks) -> None:
    """Counts the azimuths of a whole file that are wrapped, once: says how many, and refuses columns in another unit.

    Args:
      warned: what was counted before, to which the key is added; of several threads, one counts.
      key: of these columns.
      file: its name.
      places: column → its place in the blocks.
      blocks: gives (..., F) values, all of the file's in turn; padding is 0.

    Raises:
      InputError: more than a hundredth of the azimuths of a column lie beyond ±100.

    >>> check_once({}, "particles", "jets.h5", {"phi": 0}, lambda: [np.array([[1.0], [-3.0], [0.0]])])
    """
    mine = object()
    if warned.setdefault(key, mine) is not mine:
        return
    known, wrapped, absurd = 0, dict.fromkeys(places, 0), dict.fromkeys(places, 0)
    for block in blocks():
        known += int(np.count_nonzero(block.any(axis=-1)))
        for column, place in places.items():
            wrapped[column] += int(outside(block[..., place]).sum())
            absurd[column] += int((np.abs(block[..., place]) > ABSURD).sum())
    for column, count in absurd.items():
        if count > FEW * known:
            del warned[key]  # whoever reads again is refused again
            raise InputError(
                f"{file}: column {column}, an azimuth, is beyond ±{ABSURD:g} in {count:,} of {known:,} places; "
                "give radians, or describe the file by a Dataset in which the column has no such role"
            )
    warn_of_wrapped(f"{file}: ", {name: f"{count:,} of {known:,}" for name, count in wrapped.items() if count})


def warn_of_wrapped(file: str, counts: Mapping[str, str]) -> None:
    """Logs how many azimuths are wrapped, by column.

    Args:
      file: its name and a colon, or "".
      counts: column → how many, in words.
    """
    if counts:
        listed = ", ".join(f"{count} in {name}" for name, count in counts.items())
        log.warning("%sazimuths outside -π to π are wrapped: %s", file, listed)
