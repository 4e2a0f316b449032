"""How classes and observables are written for people."""

_DRAWN = {"w": "W", "z": "Z", "h": "H"}

_AXES = {
    "j_pt": "Jet $p_T$ [GeV]",
    "j_eta": "Jet η",
    "j_mass": "Jet mass [GeV]",
    "j_mass_mmdt": "Groomed mass (mMDT) [GeV]",
    "j_mass_trim": "Trimmed mass [GeV]",
    "j_mass_prun": "Pruned mass [GeV]",
    "j_mass_sdb2": "Soft-drop mass (β = 2) [GeV]",
    "j_mass_sdm1": "Soft-drop mass (β = -1) [GeV]",
    "j_multiplicity": "Particles in the jet",
    "j_zlogz": "Σ z ln z",
}


def drawn(name: str) -> str:
    """The field's symbol for a class: W, Z and H bosons are capital, any other name stays as it is.

    Args:
      name: a class name, such as those of `hepjax.schema.CLASSES`.

    Returns:
      The name as it is drawn in pictures and tables.

    >>> [drawn(name) for name in ("g", "q", "w", "z", "t")]
    ['g', 'q', 'W', 'Z', 't']
    """
    return _DRAWN.get(name, name)


def axis_label(name: str) -> str:
    """An observable as the label of an axis, with its unit; a name without one of its own stays as it is.

    Args:
      name: such as those of `hepjax.schema.OBSERVABLE_COLUMNS`.

    Returns:
      The label.

    >>> axis_label("j_mass"), axis_label("j_d2_b1")
    ('Jet mass [GeV]', 'j_d2_b1')
    """
    return _AXES.get(name, name)
