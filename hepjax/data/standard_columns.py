"""The standard inputs of networks of particles, by the names of JetClass: what they follow from, how they are scaled.

Which they are, and their standardization, is that of the data descriptions of Particle Transformer (arXiv:2202.03772);
`hepjax.physics.standard_columns` computes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hepjax.choices import Role
from hepjax.data.momenta import FROM_MOMENTA, momentum_roles, roles_behind
from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hepjax.types import Dataset

SCALED = "_scaled"
"""The end of the names of columns that are standardized; so are those of the data YAML of weaver-core called, too."""


class Standardization(NamedTuple):
    """The numbers of clip((x - center) · factor, low, high)."""

    center: float
    factor: float
    low: float
    high: float


SOURCES: dict[str, tuple[Role | str, ...]] = {
    "part_pt_log": (Role.PT,),
    "part_e_log": (Role.ENERGY,),
    "part_logptrel": (Role.PT_REL,),
    "part_logerel": (Role.ENERGY_REL,),
    "part_deltaR": ("part_deta", "part_dphi"),
    "part_charge": (Role.CHARGE,),
    **dict.fromkeys(
        ("part_isChargedHadron", "part_isNeutralHadron", "part_isPhoton", "part_isElectron", "part_isMuon"),
        (Role.PDG_ID,),
    ),
    "part_d0": (Role.D0,),
    "part_d0err": (Role.D0_ERROR,),
    "part_dz": (Role.DZ,),
    "part_dzerr": (Role.DZ_ERROR,),
    "part_deta": (Role.ETA_REL,),
    "part_dphi": (Role.PHI_REL,),
}
"""Column → the roles and standard columns that it is computed from."""
STANDARDIZATIONS = {
    "part_pt_log": Standardization(1.7, 0.7, -5.0, 5.0),
    "part_e_log": Standardization(2.0, 0.7, -5.0, 5.0),
    "part_logptrel": Standardization(-4.7, 0.7, -5.0, 5.0),
    "part_logerel": Standardization(-4.7, 0.7, -5.0, 5.0),
    "part_deltaR": Standardization(0.2, 4.0, -5.0, 5.0),
    "part_d0err": Standardization(0.0, 1.0, 0.0, 1.0),
    "part_dzerr": Standardization(0.0, 1.0, 0.0, 1.0),
}
"""Column → how networks with published weights take it; all others they take as they are."""

_PLACES = ("part_deta", "part_dphi")
_KINEMATICS = tuple(SOURCES)[:5]
_TYPES = tuple(SOURCES)[5:11]
_IMPACT = tuple(SOURCES)[11:15]


def _standardized(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{name}{SCALED}" if name in STANDARDIZATIONS else name for name in names)


SETS = {
    "jetclass_kin": _standardized((*_KINEMATICS, *_PLACES)),
    "jetclass_kinpid": _standardized((*_KINEMATICS, *_TYPES, *_PLACES)),
    "jetclass_full": _standardized((*_KINEMATICS, *_TYPES, *_IMPACT, *_PLACES)),
}
"""Name → the 7, 13 or 17 columns of a standard input, in its order."""
STANDARD_COLUMNS = frozenset({*SOURCES, *(f"{name}{SCALED}" for name in STANDARDIZATIONS)})


def expand_sets(names: Iterable[str]) -> tuple[str, ...]:
    """Replaces the names of standard inputs by those of their columns.

    >>> expand_sets(["pt", "jetclass_kin"])[:3], len(expand_sets(["jetclass_full"]))
    (('pt', 'part_pt_log_scaled', 'part_e_log_scaled'), 17)
    """
    return tuple(column for name in names for column in SETS.get(name, (name,)))


def can_be_computed(name: str, dataset: Dataset) -> bool:
    """Tells whether a name is that of a standard column which follows from what a dataset has.

    >>> from hepjax.data import datasets
    >>> can_be_computed("part_pt_log", datasets.get("hls4ml")), can_be_computed("part_d0", datasets.get("hls4ml"))
    (True, False)
    """
    if name not in STANDARD_COLUMNS:
        return False
    try:
        standard_sources(name, dataset)
    except InputError:
        return False
    return True


def standard_sources(name: str, dataset: Dataset, what: str = "columns") -> tuple[frozenset[Role], frozenset[str]]:
    """Finds out what a standard column is computed from.

    Args:
      name: one of `STANDARD_COLUMNS`.
      dataset: of the jets; a column of it that has the name of a standard one is taken for what it says.
      what: the argument that holds the name, for messages.

    Returns:
      The roles that columns of the dataset have, and its columns that have the names of standard ones.

    Raises:
      InputError: a role is missing; says which.

    >>> from hepjax.data import datasets
    >>> roles, columns = standard_sources("part_deltaR", datasets.get("jetclass"))
    >>> sorted(roles), sorted(columns)
    ([], ['part_deta', 'part_dphi'])
    """
    if name in dataset.particle_columns:
        return frozenset(), frozenset({name})
    plain = name.removesuffix(SCALED)
    if plain != name and plain in dataset.particle_columns:
        return frozenset(), frozenset({plain})
    roles: set[Role] = set()
    columns: set[str] = set()
    for source in SOURCES[plain]:
        if isinstance(source, Role):
            roles |= _roles_of_source(source, name, dataset, what)
        else:
            more, own = standard_sources(source, dataset, what)
            roles |= more
            columns |= own
    return frozenset(roles), frozenset(columns)


def _roles_of_source(role: Role, name: str, dataset: Dataset, what: str) -> set[Role]:
    """The roles of columns of the dataset that a role follows from; places and shares only from momenta."""
    behind = momentum_roles(dataset) if role in FROM_MOMENTA else roles_behind(role, dataset)
    if behind:
        return {*behind}
    needed = {Role.CHARGE: "with the role charge or pdg_id"}.get(role, f"with the role {role.value}")
    needed = "of four-momenta, or of pt, eta and phi" if role in FROM_MOMENTA else needed
    raise InputError(
        f"{what}: {name} follows from columns of particles {needed}, which the jets of the dataset {dataset.name} "
        f"lack; name them in a description of the dataset, or leave {name} out"
    )
