"""`Jets` → model input."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.inputs.batching.arrays import batches
from hepjax.inputs.graphs import azimuths, build_graph, coordinates, graphs
from hepjax.inputs.images import (
    amplitudes,
    check_masses_known,
    check_masses_there,
    draw,
    file_images,
    image_columns,
    images,
)
from hepjax.inputs.pairs import all_pair_features, further_pair_features, pair_features
from hepjax.inputs.scaling import apply_scaling, fit_scaling, moments, replace_far, scaling_of
from hepjax.inputs.sequences import sequences
from hepjax.inputs.tabular import tabular
from hepjax.registry import submodule

__all__ = [
    "all_pair_features",
    "amplitudes",
    "apply_scaling",
    "azimuths",
    "batches",
    "build_graph",
    "check_masses_known",
    "check_masses_there",
    "coordinates",
    "draw",
    "file_images",
    "fit_scaling",
    "further_pair_features",
    "graphs",
    "image_columns",
    "images",
    "moments",
    "pair_features",
    "replace_far",
    "scaling_of",
    "sequences",
    "tabular",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
