"""`Jets` → model input."""

from hepjax.representations.scaling import apply_scaling, fit_scaling
from hepjax.representations.sequences import sequences
from hepjax.representations.tabular import tabular

__all__ = ["apply_scaling", "fit_scaling", "sequences", "tabular"]
