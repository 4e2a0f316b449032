"""The names of the public jet layout: datasets, columns in their order, and classes. Plain strings, no imports."""

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
