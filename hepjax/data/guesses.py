"""Guesses of what columns mean, by the names that they usually have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hepjax.choices import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

_OF_PARTICLES = {
    Role.PX: ("px",),
    Role.PY: ("py",),
    Role.PZ: ("pz",),
    Role.ENERGY: ("energy", "e", "en"),
    Role.PT: ("pt",),
    Role.ETA: ("eta",),
    Role.PHI: ("phi",),
    Role.MASS: ("mass", "m"),
    Role.ETA_REL: ("eta_rel", "etarel", "deta", "delta_eta"),
    Role.PHI_REL: ("phi_rel", "phirel", "dphi", "delta_phi"),
    Role.PT_REL: ("pt_rel", "ptrel"),
    Role.ENERGY_REL: ("energy_rel", "erel", "e_rel"),
    Role.DELTA_R: ("delta_r", "deltar", "dr"),
    Role.CHARGE: ("charge", "q"),
    Role.PDG_ID: ("pdg_id", "pdgid", "pid"),
    Role.D0: ("d0val",),
    Role.D0_ERROR: ("d0err",),
    Role.DZ: ("dzval",),
    Role.DZ_ERROR: ("dzerr",),
}
_OF_JETS = {
    Role.JET_PT: ("pt",),
    Role.JET_ETA: ("eta",),
    Role.JET_PHI: ("phi",),
    Role.JET_MASS: ("mass", "m"),
    Role.JET_ENERGY: ("energy", "e"),
    Role.JET_MULTIPLICITY: ("multiplicity", "nparticles", "n_particles", "nparts", "n_parts"),
}
_JET = re.compile(r"(jets?|fj|fatjets?|j|ak\d+|large_?r)[_:./]", re.IGNORECASE)
"""The beginnings of names of jet columns."""
_TRUTH = re.compile(r"(^|[_:./])(gen|truth|true|mc|sim|genpart|aux|parton)", re.IGNORECASE)
"""What stands in the names of columns of the truth, which have no role."""


def guess_roles(names: Iterable[str], *, of_jets: bool) -> dict[Role, str]:
    """Guesses the roles of columns by their names, such as pt, part_pt, Particle.PT or cand_pt.

    Args:
      names: of columns of particles, or of jets.
      of_jets: which of the two.

    Returns:
      Role → column; of several columns the one with the shortest name.

    >>> {role.name: name for role, name in guess_roles(["cand_pt", "cand_deta", "gen_phi"], of_jets=False).items()}
    {'PT': 'cand_pt', 'ETA_REL': 'cand_deta'}
    """
    words = {word: role for role, listed in (_OF_JETS if of_jets else _OF_PARTICLES).items() for word in listed}
    roles: dict[Role, str] = {}
    for name in sorted(names, key=len):
        if _TRUTH.search(name):
            continue
        parts = re.split(r"[_:./]", name.lower())
        ends = ("_".join(parts[start:]) for start in range(min(len(parts), 3)))
        role = next((words[end] for end in ends if end in words), None)
        if role is not None:
            roles.setdefault(role, name)
    return {role: roles[role] for role in Role if role in roles}


def is_jet_name(name: str) -> bool:
    """Returns whether a column of jets would be called so.

    >>> is_jet_name("jet_pt"), is_jet_name("part_pt")
    (True, False)
    """
    return _JET.match(name) is not None
