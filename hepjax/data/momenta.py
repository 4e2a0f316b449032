"""The roles of particles that follow from the columns of a dataset: four-momenta, and all that follows from these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.choices import Role
from hepjax.data.dataset import P4

if TYPE_CHECKING:
    from hepjax.types import Dataset

FROM_MOMENTA = frozenset(
    {*P4, Role.PT, Role.ETA, Role.PHI, Role.MASS}
    | {Role.ETA_REL, Role.PHI_REL, Role.PT_REL, Role.ENERGY_REL, Role.DELTA_R}
)
"""The roles of particles that follow from four-momenta."""
_CARTESIAN, _POLAR = (Role.PX, Role.PY, Role.PZ), (Role.PT, Role.ETA, Role.PHI)
_TO_JET = (Role.PT_REL, Role.ETA_REL, Role.PHI_REL)
_OF_JET = (Role.JET_PT, Role.JET_ETA, Role.JET_PHI, Role.JET_MASS, Role.JET_ENERGY)


def derivable_roles(dataset: Dataset) -> frozenset[Role]:
    """Returns the roles of particles that a column has, or that follow from those that columns have.

    All but charges, which follow from PDG ids, follows from four-momenta, and these from the columns of
    `momentum_roles`.

    >>> from hepjax.types import Dataset
    >>> toy = Dataset("toy", tuple("abc"), roles={Role.PT: "a", Role.ETA: "b", Role.PHI: "c"})
    >>> Role.ETA_REL in derivable_roles(toy)
    True
    """
    return frozenset(role for role in Role if not role.of_jets and roles_behind(role, dataset))


def roles_behind(role: Role, dataset: Dataset) -> tuple[Role, ...]:
    """Returns the roles of columns of a dataset that a role of particles follows from; () where it does not.

    >>> from hepjax.types import Dataset
    >>> roles_behind(Role.CHARGE, Dataset("toy", ("id",), roles={Role.PDG_ID: "id"}))
    (<Role.PDG_ID: 'pdg_id'>,)
    """
    if role in dataset.roles:
        return (role,)
    if role in FROM_MOMENTA:
        return momentum_roles(dataset)
    return (Role.PDG_ID,) if role is Role.CHARGE and Role.PDG_ID in dataset.roles else ()


def momentum_roles(dataset: Dataset) -> tuple[Role, ...]:
    """Returns the roles of the columns of particles and jets that four-momenta are computed from.

    They are px, py and pz with an energy or a mass; or pt, eta and phi; or, with the pT and η of the jet, what is
    relative to it: pt_rel, eta_rel and phi_rel. Without an energy or a mass, particles count as massless.

    Args:
      dataset: of the jets.

    Returns:
      Those that the dataset has, columns of jets last; () where no momenta follow.

    >>> from hepjax.types import Dataset
    >>> toy = Dataset("toy", tuple("abc"), roles={Role.PT: "a", Role.ETA: "b", Role.PHI: "c", Role.JET_PT: "d"})
    >>> [role.value for role in momentum_roles(toy)]
    ['pt', 'eta', 'phi', 'jet_pt']
    """
    known = {*dataset.roles}
    of_jet = [role for role in _OF_JET if role in known]
    if ({*_CARTESIAN} <= known and {Role.ENERGY, Role.MASS} & known) or {*_POLAR} <= known:
        return (*(role for role in (*_CARTESIAN, Role.ENERGY, *_POLAR, Role.MASS) if role in known), *of_jet)
    return (*_TO_JET, *of_jet) if {*_TO_JET, Role.JET_PT, Role.JET_ETA} <= known else ()
