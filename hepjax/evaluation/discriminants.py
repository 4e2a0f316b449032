"""From the probabilities of all classes to one number that tells a signal from a chosen mixture of backgrounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import checked
from hepjax.evaluation.roc import curve_of
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
    """The log-likelihood ratio of a signal and a mixture of backgrounds, ln(Σ_s f_s p_s / Σ_b f_b p_b).

    It is the best discriminant (Neyman and Pearson) if the p are the true probabilities of a sample with as many jets
    of every class, and the f are how the classes share the signal, or the background, of an analysis. Flavour tagging
    writes the f of charm jets as f_c: `discriminant(p, ("b", "c", "u"), "b", {"c": f_c, "u": 1 - f_c})`.

    Args:
      probabilities: (N, C) class probabilities.
      classes: the C class names.
      signal: a class; or several with their fractions, which must add up to 1.
      background: the same; None is all other classes, each with the same fraction. One class gives the discriminant of
        a pair. A class that is in neither, or has the fraction 0, plays no part.

    Returns:
      (N,) float64, larger for signal and finite: sums below 1.2e-38, the smallest normal float32, are taken for that.

    Raises:
      InputError: for probabilities that are none; classes that there are not, or in both; fractions that are negative
        or do not add up to 1: they are never normalised silently, for then a forgotten class would go unnoticed.

    Reference: ATLAS, arXiv:2211.16345, for the fractions; J. Neyman, E. Pearson, Phil. Trans. R. Soc. A 231 (1933) 289.

    >>> p = np.array([[0.6, 0.3, 0.1]])
    >>> discriminant(p, ("b", "c", "u"), "b", {"c": 0.5, "u": 0.5}).round(4).tolist()
    [1.0986]
    >>> discriminant(p, ("b", "c", "u"), "b", "c").round(4).tolist()
    [0.6931]
    """
    found = checked(Scores(probabilities, np.zeros(np.shape(probabilities)[:1], np.int64), None, tuple(classes)))
    f_signal, f_background = fractions(found.classes, signal, background)
    return np.log(_mixed(found.p, f_signal)) - np.log(_mixed(found.p, f_background))


def discriminant_curve(scores: Scores, signal: Mixture, background: Mixture | None = None) -> RocCurve | None:
    """The ROC curve of a `discriminant`, from the jets of the classes that it tells apart.

    The fractions shape the discriminant; jets count with their weights alone.

    Args:
      scores: class probabilities, labels and weights.
      signal: as there.
      background: as there.

    Returns:
      The curve; None without jets of the signal, or of the background.

    Raises:
      InputError: as there, or for labels or weights that do not fit the scores.

    >>> p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    >>> discriminant_curve(Scores(p, np.array([0, 1, 2]), None, ("b", "c", "u")), "b", "c").thresholds.round(3).tolist()
    [inf, 0.693, -1.253]
    """
    found = checked(scores)
    f_signal, f_background = fractions(found.classes, signal, background)
    of_signal = f_signal[found.labels] > 0
    taken = of_signal | (f_background[found.labels] > 0)
    value = discriminant(found.p[taken], found.classes, signal, background) if taken.any() else np.empty(0)
    return curve_of(value, of_signal[taken], None if found.weights is None else found.weights[taken])


def fractions(classes: tuple[str, ...], signal: Mixture, background: Mixture | None = None) -> tuple[Floats, Floats]:
    """What share each class has of the signal and of the background, as `discriminant` understands them.

    Args:
      classes: the C class names.
      signal: as there.
      background: as there.

    Returns:
      Two (C,) float64, each with the sum 1.

    Raises:
      InputError: as there.

    >>> [share.tolist() for share in fractions(("b", "c", "u"), "b")]
    [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    of_signal = _shares(classes, signal, "signal")
    if background is None:
        others = of_signal == 0
        if not others.any():
            raise InputError("background: expected a class or more besides the signal, found none")
        return of_signal, others / others.sum()
    of_background = _shares(classes, background, "background")
    both = (of_signal > 0) & (of_background > 0)
    if both.any():
        raise InputError(
            f"background: expected classes other than the signal's, found {classes[int(np.argmax(both))]!r}"
        )
    return of_signal, of_background


def _shares(classes: tuple[str, ...], mixture: Mixture, name: str) -> Floats:
    given: Mapping[str, float] = mixture if isinstance(mixture, Mapping) else {mixture: 1.0}
    shares = np.zeros(len(classes))
    for one, share in given.items():
        if one not in classes:
            raise InputError(f"{name}: expected classes out of {', '.join(classes)}, found {one!r}")
        if not 0 <= share < math.inf:
            raise InputError(f"{name}: expected a fraction from 0 to 1 for {one!r}, found {share}")
        shares[classes.index(one)] = share
    total = float(shares.sum())
    if abs(total - 1) > _SUM_TOLERANCE:
        raise InputError(f"{name}: expected fractions that add up to 1, found {total:g}; divide them by their sum")
    return shares / total


def _mixed(p: NDArray[np.floating[Any]], shares: Floats) -> Floats:
    """Σ f p, with no copy of all columns."""
    total = np.zeros(len(p))
    for c in np.flatnonzero(shares):
        total += shares[c] * p[:, c]
    return np.maximum(total, _SMALLEST)
