"""The top-tagging reference (arXiv:1902.09914) as Parquet files of weaver-core."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, Index

_P4 = {Role.PX: "part_px", Role.PY: "part_py", Role.PZ: "part_pz", Role.ENERGY: "part_energy"}
ROLES = {
    **_P4,
    Role.ETA_REL: "part_deta",
    Role.PHI_REL: "part_dphi",
    Role.JET_PT: "jet_pt",
    Role.JET_ETA: "jet_eta",
    Role.JET_PHI: "jet_phi",
    Role.JET_MASS: "jet_mass",
    Role.JET_ENERGY: "jet_energy",
    Role.JET_MULTIPLICITY: "jet_nparticles",
}
"""The roles of the columns that weaver-core's converter writes."""
UNITS = {
    **dict.fromkeys((*_P4.values(), "jet_pt", "jet_energy", "jet_mass"), "GeV"),
    **dict.fromkeys(("part_dphi", "jet_phi"), "rad"),
}
JET_COLUMNS = ("jet_pt", "jet_eta", "jet_phi", "jet_energy", "jet_mass", "jet_nparticles")

TOP_TAGGING_PARQUET = register(
    "top-tagging-parquet",
    Dataset(
        name="top-tagging-parquet",
        particle_columns=(*_P4.values(), "part_deta", "part_dphi"),
        jet_columns=JET_COLUMNS,
        classes=("qcd", "top"),
        labels=Index("label"),
        roles=ROLES,
        units=UNITS,
        features=("jet_pt", "jet_mass", "jet_nparticles"),
        background=("qcd",),
    ),
)
