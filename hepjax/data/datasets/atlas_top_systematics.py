"""ATLAS top tagging with systematic variations, in MeV; CERN Open Data 80030."""

from __future__ import annotations

import dataclasses

from hepjax.data.datasets import register
from hepjax.data.datasets.atlas_top import ATLAS_TOP

ATLAS_TOP_SYSTEMATICS = register(
    "atlas-top-systematics", dataclasses.replace(ATLAS_TOP, name="atlas-top-systematics", weights="training_weights")
)
