"""How classes and columns are written for people."""

import re

_SYMBOLS = {"w": "W", "z": "Z", "h": "H"}

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

_PARTICLES = {
    "j1_px": "$p_x$ [GeV]",
    "j1_py": "$p_y$ [GeV]",
    "j1_pz": "$p_z$ [GeV]",
    "j1_e": "$E$ [GeV]",
    "j1_erel": "$E$ / $E$(jet)",
    "j1_pt": "$p_T$ [GeV]",
    "j1_ptrel": "$p_T$ / $p_T$(jet)",
    "j1_eta": "η",
    "j1_etarel": "Δη to the jet axis",
    "j1_etarot": "η, rotated frame",
    "j1_phi": "φ [rad]",
    "j1_phirel": "Δφ to the jet axis [rad]",
    "j1_phirot": "φ, rotated frame [rad]",
    "j1_deltaR": "ΔR to the jet axis",
    "j1_costheta": "cos θ",
    "j1_costhetarel": "cos θ, rotated frame",
}


def class_label(name: str) -> str:
    """The field's symbol for a class: W, Z and H bosons are capital, any other name stays as it is.

    Args:
      name: a class name, such as those of `hepjax.data.datasets.hls4ml.CLASSES`.

    Returns:
      The name as it is drawn in pictures and tables.

    >>> [class_label(name) for name in ("g", "q", "w", "z", "t")]
    ['g', 'q', 'W', 'Z', 't']
    """
    return _SYMBOLS.get(name, name)


def axis_label(name: str) -> str:
    """An observable as the label of an axis, with its unit; a name without one of its own stays as it is.

    Args:
      name: such as those of `hepjax.data.datasets.hls4ml.OBSERVABLE_COLUMNS`.

    Returns:
      The label.

    >>> axis_label("j_mass"), axis_label("j_d2_b1")
    ('Jet mass [GeV]', 'j_d2_b1')
    """
    return _AXES.get(name, name)


def column_label(name: str) -> str:
    """A particle column or any observable as the label of an axis, in the symbols of papers.

    Args:
      name: such as those of `hepjax.data.datasets.hls4ml.PARTICLE_COLUMNS` and `OBSERVABLE_COLUMNS`.

    Returns:
      The label.

    >>> column_label("j1_etarel"), column_label("j_mass")
    ('Δη to the jet axis', 'Jet mass [GeV]')
    """
    if found := re.fullmatch(r"j_([cdmn])(\d)(?:_a(\d))?_b(\d)(_mmdt)?", name):
        letter, number, alpha, beta, groomed = found.groups()
        powers = [f"α = {alpha}"] * (alpha is not None) + [f"β = {beta}"] + ["mMDT"] * (groomed is not None)  # noqa: RUF001
        return f"${letter.upper()}_{number}$ ({', '.join(powers)})"
    if found := re.fullmatch(r"j_tau(\d)(\d?)_b(\d)(_mmdt)?", name):
        over, under, beta, groomed = found.groups()
        symbol = rf"$\tau_{over}$ / $\tau_{under}$" if under else rf"$\tau_{over}$"
        return f"{symbol} (β = {beta}{', mMDT' * (groomed is not None)}){'' if under else ' [GeV]'}"
    return _PARTICLES.get(name, axis_label(name))
