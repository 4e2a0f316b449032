"""The top-tagging reference (arXiv:1902.09914), top quarks against QCD jets, as tables of pandas; Zenodo 2603256."""

from __future__ import annotations

from hepjax.choices import Role
from hepjax.data.datasets import register
from hepjax.types import Dataset, Index

_SLOTS = 200
MOMENTUM = ("E", "PX", "PY", "PZ")
TRUTH = tuple(f"truth{name}" for name in MOMENTUM)
_P4 = {Role.ENERGY: "E", Role.PX: "PX", Role.PY: "PY", Role.PZ: "PZ"}

TOP_TAGGING = register(
    "top-tagging",
    Dataset(
        name="top-tagging",
        particle_columns=MOMENTUM,
        classes=("qcd", "top"),
        labels=Index("is_signal_new"),
        roles=_P4,
        units=dict.fromkeys(MOMENTUM, "GeV"),
        background=("qcd",),
        observers=("index", "ttv", *TRUTH),
        arrays={
            "values_block_0": (
                *(f"{name}_{slot}" for slot in range(_SLOTS) for name in MOMENTUM),
                *TRUTH,
            ),
            "values_block_1": ("ttv", "is_signal_new"),
        },
    ),
)
