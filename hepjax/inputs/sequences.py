"""Jets as padded lists of named particle columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.choices import Role
from hepjax.data import with_columns
from hepjax.data.angles import wrap_in_memory
from hepjax.data.dataset import particle_mask
from hepjax.data.momenta import roles_behind
from hepjax.data.standard_columns import STANDARD_COLUMNS, standard_sources
from hepjax.data.validation import check_jets, check_values
from hepjax.errors import InputError
from hepjax.inputs.column_names import particle_sources
from hepjax.physics.standard_columns import standard_columns
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hepjax.types import Dataset, Jets


def sequences(
    jets: Jets,
    columns: Sequence[str] | None = None,
    *,
    particles: int | None = None,
    order_by: str | None = None,
    rows: slice | np.ndarray = slice(None),
) -> Sequences:
    """Picks particle columns by name, and the particles that come first.

    The particles are put in order first, and cut to `particles` then: those kept of `order_by="j1_e"` are the ones of
    highest energy, not the ones of highest pT.

    Args:
      jets: the jets; of lazy ones the particles of these rows are read, once.
      columns: F names of `jets.particle_names`, of roles, such as "eta_rel", or of the standard columns of
        `hepjax.data.standard_columns`, such as "part_pt_log"; one of its sets, such as "jetclass_kin", stands for all
        its columns. None is all columns of the jets. Where no column has a role, it is derived from the momenta, as
        `hepjax.physics.derivation` says.
      particles: how many particles P to keep per jet; None keeps all slots.
      order_by: a column name, for particles by its falling value, equal ones as they were; None keeps the order of the
        jets, which is falling pT.
      rows: which N jets; the default is all. A part of lazy jets costs the memory of that part.

    Returns:
      (N, P, F) float32 values, in the order of `columns` and in the columns' own units (GeV, radians), exactly 0 in the
      padding, which comes last; and their (N, P) mask.

    Raises:
      InputError: the jets lack a column, one is named twice, or `particles` is not from 1 to the slots there are; or
        jets in memory are not valid.

    >>> import hepjax
    >>> hardest = sequences(hepjax.read_jets(), ["j1_ptrel", "j1_deltaR"], particles=8, rows=slice(3))
    >>> hardest.values.shape, hardest.lengths.tolist()
    ((3, 8, 2), [8, 8, 8])
    """
    check_jets(jets)
    slots = int(jets.constituents.shape[1])
    derived: tuple[str, ...] = ()
    columns = jets.particle_names if columns is None else columns
    jets = _with_needed_columns(jets, columns, [] if order_by is None else [order_by])
    wanted = particle_sources(columns, jets.dataset, "columns")
    chosen, key = wanted.places, None
    if order_by is not None:
        ranked = particle_sources([order_by], jets.dataset, "order_by")
        key = ranked.places[0] + (len(wanted.derived) if ranked.derived else 0)
        derived = ranked.derived
    kept = slots if particles is None else particles
    if not 1 <= kept <= slots:
        raise InputError(f"particles: the jets have {slots} slots, found particles={particles}; give 1 to {slots}")
    constituents = np.asarray(jets.constituents[rows])
    constituents = wrap_in_memory(constituents, jets.particle_names, jets.dataset.roles, of_jets=False)
    mask = _particle_mask_of_rows(jets, constituents, rows)
    check_values(jets, "constituents", constituents, mask)
    if names := [*wanted.derived, *derived]:
        constituents = np.concatenate(
            [constituents, _derived_particle_columns(jets, constituents, mask, names, rows)], axis=-1
        )
    if key is not None or (mask[:, 1:] & ~mask[:, :-1]).any():
        values = np.zeros_like(mask, np.float32) if key is None else -constituents[..., key]
        order = np.argsort(np.where(mask, values, np.inf), axis=1, kind="stable")[:, :kept]
        mask = np.take_along_axis(mask, order, axis=1)
        picked = np.take_along_axis(constituents[..., chosen], order[..., None], axis=1)
    else:
        mask, picked = mask[:, :kept], constituents[:, :kept, chosen]
    return Sequences(np.where(mask[..., None], picked, np.float32(0)), np.ascontiguousarray(mask))


def _with_needed_columns(jets: Jets, columns: Sequence[str], order_by: Sequence[str]) -> Jets:
    """The jets with these columns of particles, and all of momenta where one of these has to be derived."""
    sources = [particle_sources(columns, jets.dataset, "columns")]
    sources += [particle_sources(order_by, jets.dataset, "order_by")] if order_by else []
    names = jets.particle_names
    needed = {names[place] for source in sources for place in source.places if place < len(names)}
    roles, own = _sources_of([name for source in sources for name in source.derived], jets.dataset)
    needed |= own | {jets.dataset.roles[role] for role in roles if not role.of_jets}
    return with_columns(jets, needed, {jets.dataset.roles[role] for role in roles if role.of_jets})


def _sources_of(derived: Sequence[str], dataset: Dataset) -> tuple[set[Role], set[str]]:
    """The roles of the dataset's columns, and its standard columns, that derived columns are computed from."""
    roles: set[Role] = set()
    own: set[str] = set()
    for name in derived:
        found = standard_sources(name, dataset) if name in STANDARD_COLUMNS else (roles_behind(Role(name), dataset), ())
        roles.update(found[0])
        own.update(found[1])
    return roles, own


def _derived_particle_columns(
    jets: Jets, constituents: np.ndarray, mask: np.ndarray, names: Sequence[str], rows: slice | np.ndarray
) -> np.ndarray:
    """Columns that the jets lack, from those that they have; what the jets' own columns say of a jet is taken."""
    dataset = jets.dataset
    roles, own = _sources_of(names, dataset)
    places: dict[Role | str, str] = {role: dataset.roles[role] for role in roles if not role.of_jets}
    places |= {name: name for name in own}
    known = {key: constituents[..., dataset.particle_columns.index(name)] for key, name in places.items()}
    of_jet = [role for role in roles if role.of_jets]
    observables = np.asarray(jets.observables[rows]) if of_jet else np.empty((len(mask), 0), np.float32)
    jet = {role: observables[:, dataset.jet_columns.index(dataset.roles[role])] for role in of_jet}
    return standard_columns(names, known, mask, jet)


def _particle_mask_of_rows(jets: Jets, constituents: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """The mask of these rows; one still on disk would read the particles once more."""
    if hasattr(jets.mask, "__array_namespace__"):
        return np.asarray(jets.mask[rows])
    return particle_mask(constituents, jets.particle_names, jets.dataset.roles)
