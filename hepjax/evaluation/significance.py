"""The improvement of the significance S/√B of a search by a tagger."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.intervals import FEWEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve

    Floats = NDArray[np.float64]


class Improvement(NamedTuple):
    """The largest significance improvement."""

    value: float
    """The factor ε_S/√ε_B."""
    efficiency: float
    """The signal efficiency of this selection."""


def significance_improvement(curve: RocCurve, background: float | None = None) -> Floats:
    """Computes the factor ε_S/√ε_B by which a selection raises S/√B, at each point of a ROC curve.

    Args:
      curve: a RocCurve.
      background: effective number of background jets behind the curve; None quotes every factor, however few pass.

    Returns:
      (K,) float64; NaN where no background jet passes, or fewer than ten.

    Raises:
      InputError: if background is not positive.

    Reference: J. Gallicchio et al., arXiv:1010.3698.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> significance_improvement(roc_curve([0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0])).round(3).tolist()
    [nan, nan, 1.414, 1.0]
    """
    if background is not None and not 0 < background < np.inf:
        raise InputError(f"background: expected a positive number of jets, found {background}")
    fewest = 0.0 if background is None else FEWEST / background
    quoted = (curve.fpr > 0) & (curve.fpr >= fewest * (1 - 1e-9))
    factor = np.full(curve.fpr.size, np.nan)
    factor[quoted] = curve.tpr[quoted] / np.sqrt(curve.fpr[quoted])
    return factor


def max_significance_improvement(curve: RocCurve, background: float) -> Improvement | None:
    """Finds the largest ε_S/√ε_B of a ROC curve and its signal efficiency; 1 is no better than no selection.

    Args:
      curve: a RocCurve.
      background: effective number of background jets behind the curve. Points with fewer than ten passing jets are
        ignored, because statistical fluctuations dominate there.

    Returns:
      The factor and its signal efficiency; None for fewer than ten background jets.

    Raises:
      InputError: if background is not positive.

    >>> from hepjax.evaluation.roc import roc_curve
    >>> score = np.r_[np.full(30, 0.9), np.full(10, 0.9), np.full(90, 0.1)]
    >>> best = max_significance_improvement(roc_curve(score, np.arange(130) < 30), 100)
    >>> round(best.value, 3), best.efficiency
    (3.162, 1.0)
    """
    factor = significance_improvement(curve, background)
    if np.isnan(factor).all():
        return None
    best = int(np.nanargmax(factor))
    return Improvement(float(factor[best]), float(curve.tpr[best]))
