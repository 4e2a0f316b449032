"""Quark and gluon jets of EnergyFlow (arXiv:1810.05165), 500 < pT < 550 GeV, as NumPy archives; Zenodo 3164691."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, Index

QUARK_GLUON = register(
    "quark-gluon",
    Dataset(
        name="quark-gluon",
        particle_columns=("pt", "rapidity", "phi", "pdg_id"),
        classes=("gluon", "quark"),
        labels=Index("y"),
        # Without masses, as all published networks take them, the rapidity is the pseudorapidity.
        roles={Role.PT: "pt", Role.ETA: "rapidity", Role.PHI: "phi", Role.PDG_ID: "pdg_id"},
        units={"pt": "GeV", "phi": "rad"},
        background=("gluon",),
        arrays={"X": ("pt", "rapidity", "phi", "pdg_id")},
    ),
)
