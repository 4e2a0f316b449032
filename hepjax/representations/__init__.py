"""`Jets` → model input."""

from hepjax.representations.images import check_masses_known, draw, file_images, image_columns, images
from hepjax.representations.scaling import apply_scaling, fit_scaling
from hepjax.representations.sequences import sequences
from hepjax.representations.tabular import tabular

__all__ = [
    "apply_scaling",
    "check_masses_known",
    "draw",
    "file_images",
    "fit_scaling",
    "image_columns",
    "images",
    "sequences",
    "tabular",
]
