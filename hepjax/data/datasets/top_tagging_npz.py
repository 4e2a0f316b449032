"""The top-tagging reference (arXiv:1902.09914) as NumPy archives of three parts: `toptagging_full.npz:train`."""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.top_tagging import MOMENTUM, TOP_TAGGING
from hepjax.types import Index

TOP_TAGGING_NPZ = register(
    "top-tagging-npz",
    dataclasses.replace(
        TOP_TAGGING, name="top-tagging-npz", labels=Index("labels"), observers=(), arrays={"kinematics": MOMENTUM}
    ),
)
