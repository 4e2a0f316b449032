"""Discriminants between a signal and a chosen mixture of backgrounds, from the probabilities of all classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import checked_class_scores
from hepjax.evaluation.roc import roc_curve_of_arrays
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hepjax.evaluation.roc import RocCurve

    Floats = NDArray[np.float64]
    Mixture = str | Mapping[str, float]

_SMALLEST = float(np.finfo(np.float32).tiny)
_SUM_TOLERANCE = 1e-6


def discriminant(
    probabilities: Any, classes: Sequence[str], signal: Mixture, background: Mixture | None = None
) -> Floats:
    """Computes the log-likelihood ratio of a signal and a mixture of backgrounds, ln(Σ_s f_s p_s / Σ_b f_b p_b).

    It is the best discriminant (Neyman and Pearson) if the p are the true probabilities of a sample with equally many
    jets of every class, and the f are the fractions of the classes in the signal, or the background, of an analysis.
    Flavor tagging calls the fraction of charm jets f_c:
    `discriminant(p, ("b", "c", "u"), "b", {"c": f_c, "u": 1 - f_c})`.

    Args:
      probabilities: (N, C) class probabilities.
      classes: the C class names.
      signal: a class, or a mapping from classes to fractions that add up to 1.
      background: a class or mapping as for `signal`; None means all other classes with equal fractions. A single class
        gives the discriminant of a pair. A class that is in neither, or has the fraction 0, is ignored.

    Returns:
      (N,) finite float64, larger for signal; sums below 1.2e-38, the smallest normal float32, are replaced by it.

    Raises:
      InputError: probabilities are not valid; a class does not exist or is in both; fractions are negative or do not
        add up to 1. They are never normalized silently, because that would hide a forgotten class.

    Reference: ATLAS, arXiv:2211.16345, for the fractions; J. Neyman, E. Pearson, Phil. Trans. R. Soc. A 231 (1933) 289.

    >>> p = np.array([[0.6, 0.3, 0.1]])
    >>> discriminant(p, ("b", "c", "u"), "b", {"c": 0.5, "u": 0.5}).round(4).tolist()
    [1.0986]
    >>> discriminant(p, ("b", "c", "u"), "b", "c").round(4).tolist()
    [0.6931]
    """
    labels = np.zeros(np.shape(probabilities)[:1], np.int64)
    checked = checked_class_scores(Scores(probabilities, labels, None, tuple(classes)))
    f_signal, f_background = class_fractions(checked.classes, signal, background)
    return np.log(_sum_of_class_probabilities(checked.p, f_signal)) - np.log(
        _sum_of_class_probabilities(checked.p, f_background)
    )


def discriminant_curve(scores: Scores, signal: Mixture, background: Mixture | None = None) -> RocCurve | None:
    """Computes the ROC curve of a `discriminant` from the jets of its signal and background classes.

    The fractions only enter the discriminant; jets count with their weights.

    Args:
      scores: class probabilities, labels and weights.
      signal: class or fractions as in `discriminant`.
      background: class or fractions as in `discriminant`.

    Returns:
      The curve; None without jets of the signal, or of the background.

    Raises:
      InputError: for the reasons of `discriminant`, or because labels or weights do not fit the scores.

    >>> p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    >>> discriminant_curve(Scores(p, np.array([0, 1, 2]), None, ("b", "c", "u")), "b", "c").thresholds.round(3).tolist()
    [inf, 0.693, -1.253]
    """
    checked = checked_class_scores(scores)
    f_signal, f_background = class_fractions(checked.classes, signal, background)
    of_signal = f_signal[checked.labels] > 0
    taken = of_signal | (f_background[checked.labels] > 0)
    value = discriminant(checked.p[taken], checked.classes, signal, background) if taken.any() else np.empty(0)
    return roc_curve_of_arrays(value, of_signal[taken], None if checked.weights is None else checked.weights[taken])


def class_fractions(
    classes: tuple[str, ...], signal: Mixture, background: Mixture | None = None
) -> tuple[Floats, Floats]:
    """Returns the fraction of each class in the signal and in the background of a `discriminant`.

    Args:
      classes: the C class names.
      signal: class or fractions as in `discriminant`.
      background: class or fractions as in `discriminant`.

    Returns:
      Two (C,) float64 arrays, each with the sum 1.

    Raises:
      InputError: for the reasons of `discriminant`.

    >>> [share.tolist() for share in class_fractions(("b", "c", "u"), "b")]
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    of_signal = _checked_class_fractions(classes, signal, "signal")
    if background is None:
        is_background = of_signal == 0
        if not is_background.any():
            raise InputError("background: expected a class or more besides the signal, found none")
        return of_signal, is_background / is_background.sum()
    of_background = _checked_class_fractions(classes, background, "background")
    both = (of_signal > 0) & (of_background > 0)
    if both.any():
        raise InputError(
            f"background: expected classes other than the signal's, found {classes[int(np.argmax(both))]!r}"
        )
    return of_signal, of_background


def _checked_class_fractions(classes: tuple[str, ...], mixture: Mixture, name: str) -> Floats:
    fractions: Mapping[str, float] = mixture if isinstance(mixture, Mapping) else {mixture: 1.0}
    shares = np.zeros(len(classes))
    for label, share in fractions.items():
        if label not in classes:
            raise InputError(f"{name}: expected classes out of {', '.join(classes)}, found {label!r}")
        if not 0 <= share < math.inf:
            raise InputError(f"{name}: expected a fraction from 0 to 1 for {label!r}, found {share}")
        shares[classes.index(label)] = share
    total = float(shares.sum())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise InputError(f"{name}: expected fractions that add up to 1, found {total:g}; divide them by their sum")
    return shares / total


def _sum_of_class_probabilities(p: NDArray[np.floating[Any]], shares: Floats) -> Floats:
    """Computes Σ f p without a copy of all columns."""
    total = np.zeros(len(p))
    for c in np.flatnonzero(shares):
        total += shares[c] * p[:, c]
    return np.maximum(total, _SMALLEST)
