"""The public HLS4ML LHC jet dataset (arXiv:1908.05318): gluons, light quarks, W, Z and top near 1 TeV.

Zenodo records 3601436, 3602254 and 3602260, with 30, 100 and 150 particles a jet; `hepjax simulate` writes the same
layout.
"""

from __future__ import annotations

import re

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, OneHot

CLASSES = ("g", "q", "w", "z", "t")
"""Gluon, light quark, W, Z, top: the class order everywhere, and the order of the label columns."""

CONSTITUENTS = "jetConstituentList"
PARTICLE_NAMES = "particleFeatureNames"
JETS = "jets"
JET_NAMES = "jetFeatureNames"
IMAGES = ("jetImage", "jetImageECAL", "jetImageHCAL")
PARTICLE_TYPE, PARTICLE_CHARGE = "particleType", "particleCharge"
JET_PARTON, JET_DECAYS = "jetParton", "jetPartonDecays"
"""What simulated jets stem from, where that is kept; readers pass it over."""

# fmt: off
PARTICLE_COLUMNS = (
    "j1_px", "j1_py", "j1_pz", "j1_e", "j1_erel", "j1_pt", "j1_ptrel", "j1_eta", "j1_etarel", "j1_etarot",
    "j1_phi", "j1_phirel", "j1_phirot", "j1_deltaR", "j1_costheta", "j1_costhetarel",
)
"""Momenta and energy in GeV; angles in radians; `rel` is relative to the jet, `rot` in the rotated frame."""

PARTICLE_FEATURES = ("j1_pt", "j1_ptrel", "j1_e", "j1_erel", "j1_etarel", "j1_phirel", "j1_deltaR")
"""What networks of particles see by default: how hard a particle is, and where it lies in the jet.

Absolute directions, which say nothing of the jet's kind, are left out: with few jets to learn from they only do harm.
"""

PARTICLE_ID = "j1_pdgid"
"""The public files' seventeenth particle name, which has no column."""

_SHAPES = (
    "j_tau1_b1", "j_tau2_b1", "j_tau3_b1", "j_tau1_b2", "j_tau2_b2", "j_tau3_b2", "j_tau32_b1", "j_tau32_b2",
)
_CORRELATORS = (
    "j_c1_b0", "j_c1_b1", "j_c1_b2", "j_c2_b1", "j_c2_b2", "j_d2_b1", "j_d2_b2", "j_d2_a1_b1", "j_d2_a1_b2",
    "j_m2_b1", "j_m2_b2", "j_n2_b1", "j_n2_b2",
)
SUBSTRUCTURE = _SHAPES + _CORRELATORS
"""The observables that exist for the jet and, with the suffix `_mmdt`, for the groomed jet."""

OBSERVABLE_COLUMNS = (
    "j_ptfrac", "j_pt", "j_eta", "j_mass", *_SHAPES, "j_zlogz", *_CORRELATORS,
    *(f"{name}_mmdt" for name in SUBSTRUCTURE),
    "j_mass_trim", "j_mass_mmdt", "j_mass_prun", "j_mass_sdb2", "j_mass_sdm1", "j_multiplicity",
)
"""The 53 jet observables; pt, masses and N-subjettiness in GeV."""

IN_GEV = (
    "j1_px", "j1_py", "j1_pz", "j1_e", "j1_pt", "j_pt",
    *(name for name in OBSERVABLE_COLUMNS if name.startswith("j_mass")),
    *(f"j_tau{n}_b{b}{groomed}" for groomed in ("", "_mmdt") for b in (1, 2) for n in (1, 2, 3)),
    *IMAGES,
)
"""All columns and images that grow with the energy of a jet; the others stay as they are."""

BINNED = ("j_pt", "j_eta", "j_mass", "j_multiplicity")
"""The observables that efficiencies are binned in; a run keeps those of its test jets."""

LABEL_COLUMNS = tuple(f"j_{name}" for name in CLASSES)
UNDEFINED = "j_undef"
JET_COLUMNS = (*OBSERVABLE_COLUMNS, *LABEL_COLUMNS, UNDEFINED)

STANDARD_FEATURES = (
    "j_zlogz", "j_c1_b0_mmdt", "j_c1_b1_mmdt", "j_c1_b2_mmdt", "j_c2_b1_mmdt", "j_c2_b2_mmdt", "j_d2_b1_mmdt",
    "j_d2_b2_mmdt", "j_d2_a1_b1_mmdt", "j_d2_a1_b2_mmdt", "j_m2_b1_mmdt", "j_m2_b2_mmdt", "j_n2_b1_mmdt",
    "j_n2_b2_mmdt", "j_mass_mmdt", "j_multiplicity",
)
"""The 16 inputs of the published dense taggers (arXiv:1804.06913)."""
# fmt: on

ROLES = {
    Role.PX: "j1_px",
    Role.PY: "j1_py",
    Role.PZ: "j1_pz",
    Role.ENERGY: "j1_e",
    Role.PT: "j1_pt",
    Role.ETA: "j1_eta",
    Role.PHI: "j1_phi",
    Role.ETA_REL: "j1_etarel",
    Role.PHI_REL: "j1_phirel",
    Role.PT_REL: "j1_ptrel",
    Role.ENERGY_REL: "j1_erel",
    Role.DELTA_R: "j1_deltaR",
    Role.JET_PT: "j_pt",
    Role.JET_ETA: "j_eta",
    Role.JET_MASS: "j_mass",
    Role.JET_MULTIPLICITY: "j_multiplicity",
}
_IN_RAD = ("j1_phi", "j1_phirel", "j1_phirot")

_TITLES = {
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
    "j_ptfrac": "Jet $p_T$ / $p_T$(reference)",
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


def _hls4ml_column_title(column: str) -> str:
    r"""A column in the symbols of papers.

    >>> _hls4ml_column_title("j_d2_a1_b2_mmdt"), _hls4ml_column_title("j_tau3_b1")
    ('$D_2$ (α = 1, β = 2, mMDT)', '$\\tau_3$ (β = 1) [GeV]')
    """
    if parts := re.fullmatch(r"j_([cdmn])(\d)(?:_a(\d))?_b(\d)(_mmdt)?", column):
        letter, number, alpha, beta, groomed = parts.groups()
        powers = [f"α = {alpha}"] * (alpha is not None) + [f"β = {beta}"] + ["mMDT"] * (groomed is not None)  # noqa: RUF001
        return f"${letter.upper()}_{number}$ ({', '.join(powers)})"
    if parts := re.fullmatch(r"j_tau(\d)(\d?)_b(\d)(_mmdt)?", column):
        over, under, beta, groomed = parts.groups()
        symbol = rf"$\tau_{over}$ / $\tau_{under}$" if under else rf"$\tau_{over}$"
        return f"{symbol} (β = {beta}{', mMDT' * (groomed is not None)}){'' if under else ' [GeV]'}"
    return _TITLES[column]


HLS4ML = register(
    "hls4ml",
    Dataset(
        name="hls4ml",
        particle_columns=PARTICLE_COLUMNS,
        jet_columns=OBSERVABLE_COLUMNS,
        classes=CLASSES,
        labels=OneHot(LABEL_COLUMNS, UNDEFINED),
        roles=ROLES,
        units={**dict.fromkeys(IN_GEV, "GeV"), **dict.fromkeys(_IN_RAD, "rad")},
        features=STANDARD_FEATURES,
        particle_features=PARTICLE_FEATURES,
        images=IMAGES,
        background=("g", "q"),
        titles={column: _hls4ml_column_title(column) for column in (*PARTICLE_COLUMNS, *OBSERVABLE_COLUMNS)},
    ),
)
