"""ATLAS top tagging (ATL-PHYS-PUB-2022-039), top quarks against QCD jets in MeV; CERN Open Data 15013."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, Index

_OBSERVABLES = (
    "fjet_C2", "fjet_D2", "fjet_ECF1", "fjet_ECF2", "fjet_ECF3", "fjet_L2", "fjet_L3", "fjet_Qw", "fjet_Split12",
    "fjet_Split23", "fjet_Tau1_wta", "fjet_Tau2_wta", "fjet_Tau3_wta", "fjet_Tau4_wta", "fjet_ThrustMaj",
)  # fmt: skip
"""The high-level observables."""

ATLAS_TOP = register(
    "atlas-top",
    Dataset(
        name="atlas-top",
        particle_columns=("fjet_clus_pt", "fjet_clus_eta", "fjet_clus_phi", "fjet_clus_E"),
        jet_columns=("fjet_pt", "fjet_eta", "fjet_phi", "fjet_m", *_OBSERVABLES),
        classes=("qcd", "top"),
        labels=Index("labels"),
        weights="weights",
        roles={
            Role.PT: "fjet_clus_pt",
            Role.ETA: "fjet_clus_eta",
            Role.PHI: "fjet_clus_phi",
            Role.ENERGY: "fjet_clus_E",
            Role.JET_PT: "fjet_pt",
            Role.JET_ETA: "fjet_eta",
            Role.JET_PHI: "fjet_phi",
            Role.JET_MASS: "fjet_m",
        },
        units={
            **dict.fromkeys(("fjet_clus_pt", "fjet_clus_E", "fjet_pt", "fjet_m", "fjet_Qw"), "MeV"),
            **dict.fromkeys(("fjet_Split12", "fjet_Split23"), "MeV"),
            **dict.fromkeys(("fjet_clus_phi", "fjet_phi"), "rad"),
        },
        features=("fjet_pt", "fjet_m", *_OBSERVABLES),
        background=("qcd",),
    ),
)
