"""The top-tagging reference (arXiv:1902.09914) as HDF5 files of LGN, PELICAN and LorentzNet."""

from __future__ import annotations

import dataclasses

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.data.datasets.top_tagging import MOMENTUM, TOP_TAGGING, TRUTH
from hepjax.types import Index

TOP_TAGGING_LGN = register(
    "top-tagging-lgn",
    dataclasses.replace(
        TOP_TAGGING,
        name="top-tagging-lgn",
        labels=Index("is_signal"),
        roles={**TOP_TAGGING.roles, Role.VALID: "label", Role.JET_PT: "jet_pt"},
        units={**TOP_TAGGING.units, "jet_pt": "GeV"},
        observers=(*TRUTH, "Nobj"),
        arrays={"Pmu": MOMENTUM, "truth_Pmu": TRUTH},
    ),
)
