"""JetClass (arXiv:2202.03772): ten kinds of large-radius jets with 500 < pT < 1000 GeV; Zenodo record 6619768."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, OneHot

CLASSES = ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl")

PARTICLE_COLUMNS = (
    "part_px", "part_py", "part_pz", "part_energy", "part_deta", "part_dphi", "part_d0val", "part_d0err",
    "part_dzval", "part_dzerr", "part_charge", "part_isChargedHadron", "part_isNeutralHadron", "part_isPhoton",
    "part_isElectron", "part_isMuon",
)  # fmt: skip
"""Momenta and energies in GeV, impact parameters in mm, angles in radians."""
JET_COLUMNS = (
    "jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_nparticles", "jet_sdmass", "jet_tau1", "jet_tau2", "jet_tau3",
    "jet_tau4",
)  # fmt: skip

ROLES = {
    Role.PX: "part_px",
    Role.PY: "part_py",
    Role.PZ: "part_pz",
    Role.ENERGY: "part_energy",
    Role.ETA_REL: "part_deta",
    Role.PHI_REL: "part_dphi",
    Role.CHARGE: "part_charge",
    Role.D0: "part_d0val",
    Role.D0_ERROR: "part_d0err",
    Role.DZ: "part_dzval",
    Role.DZ_ERROR: "part_dzerr",
    Role.JET_PT: "jet_pt",
    Role.JET_ETA: "jet_eta",
    Role.JET_PHI: "jet_phi",
    Role.JET_ENERGY: "jet_energy",
    Role.JET_MULTIPLICITY: "jet_nparticles",
}
UNITS = {
    **dict.fromkeys(("part_px", "part_py", "part_pz", "part_energy", "jet_pt", "jet_energy", "jet_sdmass"), "GeV"),
    **dict.fromkeys(("part_dphi", "jet_phi"), "rad"),
}
KINEMATICS = ("pt", "pt_rel", "energy", "energy_rel", "part_deta", "part_dphi", "delta_r")
"""The columns that say how hard a particle is, and where it lies in the jet."""
FEATURES = ("jet_pt", "jet_nparticles", "jet_sdmass", "jet_tau1", "jet_tau2", "jet_tau3", "jet_tau4")

_TRUTH = ("genpart_eta", "genpart_phi", "genpart_pid", "genpart_pt", "truth_match")

JETCLASS = register(
    "jetclass",
    Dataset(
        name="jetclass",
        particle_columns=PARTICLE_COLUMNS,
        jet_columns=JET_COLUMNS,
        classes=CLASSES,
        labels=OneHot(tuple(f"label_{name}" for name in CLASSES)),
        roles=ROLES,
        units=UNITS,
        features=FEATURES,
        particle_features=(*KINEMATICS, *PARTICLE_COLUMNS[6:]),
        background=("QCD",),
        observers=tuple(f"aux_{name}" for name in _TRUTH),
    ),
)
