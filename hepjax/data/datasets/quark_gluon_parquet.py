"""Quark and gluon jets of EnergyFlow (arXiv:1810.05165) as Parquet files of weaver-core, which takes y for η."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.data.datasets.top_tagging_parquet import JET_COLUMNS, ROLES, UNITS
from hepjax.types import Dataset, Index

_PARTICLES = (
    "part_px", "part_py", "part_pz", "part_energy", "part_deta", "part_dphi", "part_pid", "part_isNeutralHadron",
    "part_isPhoton", "part_isChargedHadron", "part_isElectron", "part_isMuon", "part_charge",
)  # fmt: skip

QUARK_GLUON_PARQUET = register(
    "quark-gluon-parquet",
    Dataset(
        name="quark-gluon-parquet",
        particle_columns=_PARTICLES,
        jet_columns=JET_COLUMNS,
        classes=("gluon", "quark"),
        labels=Index("label"),
        roles={**ROLES, Role.CHARGE: "part_charge", Role.PDG_ID: "part_pid"},
        units=UNITS,
        features=("jet_pt", "jet_mass", "jet_nparticles"),
        background=("gluon",),
    ),
)
