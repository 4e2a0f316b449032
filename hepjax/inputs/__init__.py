"""`Jets` → model input."""

from hepjax.representations.graphs import build_graph, coordinates, graphs, pair_features
from hepjax.representations.images import check_masses_known, draw, file_images, image_columns, images
from hepjax.representations.scaling import apply_scaling, fit_scaling, moments, scaling_of
from hepjax.representations.sequences import sequences
from hepjax.representations.tabular import tabular

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
