"""JetNet (arXiv:2106.11535): gluon, light-quark, top, W and Z jets near 1 TeV; Zenodo records 6975118 and 6975117.

The class is that of the file: g.hdf5, q150.hdf5 and so on. Particles are relative to their jet.
"""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, FileName

CLASSES = ("g", "q", "t", "w", "z")

JETNET = register(
    "jetnet",
    Dataset(
        name="jetnet",
        particle_columns=("etarel", "phirel", "ptrel", "mask"),
        jet_columns=("pt", "eta", "mass", "num_particles"),
        classes=CLASSES,
        labels=FileName(CLASSES),
        roles={
            Role.ETA_REL: "etarel",
            Role.PHI_REL: "phirel",
            Role.PT_REL: "ptrel",
            Role.VALID: "mask",
            Role.JET_PT: "pt",
            Role.JET_ETA: "eta",
            Role.JET_MASS: "mass",
            Role.JET_MULTIPLICITY: "num_particles",
        },
        units={"pt": "GeV", "mass": "GeV", "phirel": "rad"},
        features=("pt", "mass", "num_particles"),
        particle_features=("etarel", "phirel", "ptrel"),
        background=("g", "q"),
        arrays={
            "particle_features": ("etarel", "phirel", "ptrel", "mask"),
            "jet_features": ("pt", "eta", "mass", "num_particles"),
        },
    ),
)
