"""How classes and columns are written for people."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data import datasets

_CLASSES = {"w": "W", "z": "Z", "h": "H"}

_ROLES = {
    Role.PX: "$p_x$",
    Role.PY: "$p_y$",
    Role.PZ: "$p_z$",
    Role.ENERGY: "$E$",
    Role.PT: "$p_T$",
    Role.ETA: "η",
    Role.PHI: "φ [rad]",
    Role.MASS: "Mass",
    Role.ETA_REL: "Δη to the jet axis",
    Role.PHI_REL: "Δφ to the jet axis [rad]",
    Role.PT_REL: "$p_T$ / $p_T$(jet)",
    Role.ENERGY_REL: "$E$ / $E$(jet)",
    Role.DELTA_R: "ΔR to the jet axis",
    Role.CHARGE: "Charge",
    Role.PDG_ID: "PDG identity",
    Role.D0: "$d_0$ [mm]",
    Role.D0_ERROR: "Error of $d_0$ [mm]",
    Role.DZ: "$d_z$ [mm]",
    Role.DZ_ERROR: "Error of $d_z$ [mm]",
    Role.VALID: "Particle or padding",
    Role.JET_PT: "Jet $p_T$",
    Role.JET_ETA: "Jet η",
    Role.JET_PHI: "Jet φ [rad]",
    Role.JET_MASS: "Jet mass",
    Role.JET_ENERGY: "Jet energy",
    Role.JET_MULTIPLICITY: "Particles in the jet",
}
"""The titles of columns that are called by their role."""


def class_label(name: str) -> str:
    """Returns the field's symbol for a class: W, Z and H bosons are capital, any other name stays as it is.

    Args:
      name: a class name.

    Returns:
      The name as pictures and tables have it.

    >>> [class_label(name) for name in ("g", "q", "w", "z", "t")]
    ['g', 'q', 'W', 'Z', 't']
    """
    return _CLASSES.get(name, name)


def column_label(name: str) -> str:
    """Returns a column of particles or jets as the label of an axis, in the symbols of papers.

    Args:
      name: of a column of a known dataset, or of a role.

    Returns:
      The label, with its unit; a name that no dataset knows stays as it is.

    >>> column_label("j1_etarel"), column_label("j_mass"), column_label("eta_rel"), column_label("my_column")
    ('Δη to the jet axis', 'Jet mass [GeV]', 'Δη to the jet axis', 'my_column')
    """
    roles = {role.value: title for role, title in _ROLES.items()}
    return datasets.title_of(name) or roles.get(name, name)
