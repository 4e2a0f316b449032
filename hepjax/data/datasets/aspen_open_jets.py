"""AspenOpenJets (arXiv:2412.10504): unlabeled large-radius jets of CMS open data."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset

_PARTICLES = ("px", "py", "pz", "E", "d0", "d0Err", "dz", "dzErr", "charge", "pdgId", "puppiWeight")
_JETS = ("pt", "eta", "phi", "msoftdrop")
_TAGGING = (
    "nConstituents", "tau1", "tau2", "tau3", "tau4", "particleNet_H4qvsQCD", "particleNet_HbbvsQCD",
    "particleNet_HccvsQCD", "particleNet_QCD", "particleNet_TvsQCD", "particleNet_WvsQCD", "particleNet_ZvsQCD",
    "particleNet_mass",
)  # fmt: skip

ASPEN_OPEN_JETS = register(
    "aspen-open-jets",
    Dataset(
        name="aspen-open-jets",
        particle_columns=_PARTICLES,
        jet_columns=(*_JETS, *_TAGGING),
        roles={
            Role.PX: "px",
            Role.PY: "py",
            Role.PZ: "pz",
            Role.ENERGY: "E",
            Role.CHARGE: "charge",
            Role.PDG_ID: "pdgId",
            Role.JET_PT: "pt",
            Role.JET_ETA: "eta",
            Role.JET_PHI: "phi",
            Role.JET_MULTIPLICITY: "nConstituents",
        },
        units={
            **dict.fromkeys((*_PARTICLES[:4], "pt", "msoftdrop", "particleNet_mass"), "GeV"),
            "phi": "rad",
        },
        features=("pt", "msoftdrop", "nConstituents", "tau1", "tau2", "tau3", "tau4"),
        arrays={"PFCands": _PARTICLES, "jet_kinematics": _JETS, "jet_tagging": _TAGGING},
    ),
)
