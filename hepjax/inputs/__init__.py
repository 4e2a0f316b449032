"""`Jets` → model input."""

from hepjax.inputs.graphs import build_graph, coordinates, graphs, pair_features
from hepjax.inputs.images import check_masses_known, draw, file_images, image_columns, images
from hepjax.inputs.scaling import apply_scaling, fit_scaling, moments, scaling_of
from hepjax.inputs.sequences import sequences
from hepjax.inputs.tabular import tabular

__all__ = [
    "apply_scaling",
    "build_graph",
    "check_masses_known",
    "coordinates",
    "draw",
    "file_images",
    "fit_scaling",
    "graphs",
    "image_columns",
    "images",
    "moments",
    "pair_features",
    "scaling_of",
    "sequences",
    "tabular",
]
