"""Comparison of two taggers on the same jets, in which statistical fluctuations of the jets largely cancel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._score_checks import CheckedScores, checked_class_scores
from hepjax.evaluation.intervals import FEWEST, REPLICATES, standard_error
from hepjax.evaluation.metrics import cross_entropy_per_jet
from hepjax.evaluation.roc import background_rejection
from hepjax.evaluation.spectra import Spectra, curve_of_sums, spectra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

EFFICIENCY = 0.5
"""The signal efficiency at which background rejections are compared."""


class Difference(NamedTuple):
    """The difference of a figure of merit between a second and a first tagger on the same jets."""

    value: float
    """The difference, second minus first; for rejections the ratio, second over first."""
    error: float
    """The standard error of the value."""
    p: float
    """The two-sided p-value under the hypothesis of equally good taggers."""


def compare_scores(first: Scores, second: Scores, *, seed: int = 0) -> dict[str, Any]:
    """Compares two taggers on the same jets.

    The error of a difference of AUCs is DeLong's. The difference of accuracies comes from the jets that exactly one
    tagger classifies correctly (McNemar; its p-value is exact for unweighted jets). The difference of losses is a mean
    over jets. The error of the ratio of rejections comes from 200 samples of jets, common to both taggers.

    Args:
      first: scores, labels and weights of the reference tagger.
      second: scores, labels and weights of the same jets in the same order.
      seed: seed of the samples.

    Returns:
      `accuracy` and `loss`, a `Difference` each; `classes`: class to `auc` and `background_rejection_at_0.5`, each a
      `Difference`, or None where a class has no jets, or fewer than ten background jets pass for a rejection.

    Raises:
      InputError: the jets differ, or scores are not valid.

    References: E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988) 837; Q. McNemar, Psychometrika 12 (1947)
    153.

    >>> from hepjax.types import Scores
    >>> p, y = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]), np.array([0, 0, 1, 1])
    >>> better, worse = Scores(p, y, None, ("q", "t")), Scores(p[::-1], y, None, ("q", "t"))
    >>> compare_scores(worse, better)["accuracy"].value
    0.5
    """
    a, b = checked_class_scores(first), checked_class_scores(second)
    _check_scores_of_same_jets(a, b)
    w = np.ones(len(a.labels)) if a.weights is None else a.weights
    right_a, right_b = (np.argmax(tagger.p, axis=1) == tagger.labels for tagger in (a, b))
    accuracy = mean_difference(right_b.astype(np.float64) - right_a, w)
    if a.weights is None:
        accuracy = accuracy._replace(
            p=_mcnemar_p_value(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))
        )
    rng = np.random.default_rng(seed)
    return {
        "accuracy": accuracy,
        "loss": mean_difference(cross_entropy_per_jet(b) - cross_entropy_per_jet(a), w),
        "classes": {
            name: {
                "auc": _delong_difference(a.p[:, c], b.p[:, c], a.labels == c, w),
                f"background_rejection_at_{EFFICIENCY:g}": _rejection_ratio(a, b, c, rng),
            }
            for c, name in enumerate(a.classes)
        },
    }


def _check_scores_of_same_jets(a: CheckedScores, b: CheckedScores) -> None:
    if a.classes != b.classes:
        raise InputError(
            f"classes: expected those of the first tagger, {', '.join(a.classes)}, found {', '.join(b.classes)}"
        )
    same = (a.weights is None) == (b.weights is None) and len(a.labels) == len(b.labels)
    if not same or (a.labels != b.labels).any() or (a.weights is not None and (a.weights != b.weights).any()):
        raise InputError(
            f"scores: expected the same jets for both taggers, found {len(a.labels)} and {len(b.labels)} with other "
            "labels or weights; score one set of jets with both"
        )


def mean_difference(values: Any, weights: Any) -> Difference:
    """Compares a weighted mean with 0, such as that of what the second of two models has more for each jet.

    Args:
      values: (N,).
      weights: (N,) of any sign, with a positive sum.

    >>> mean_difference([1.0, 1.0, 1.0], np.ones(3))
    Difference(value=1.0, error=0.0, p=0.0)
    """
    x, w = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    mean, error = float(np.average(x, weights=w)), standard_error(x, w)
    return Difference(mean, error, two_sided(mean, error))


def two_sided(value: float, error: float) -> float:
    """Returns how likely a deviation as large as this one is, of either sign, under a Gaussian of this width.

    >>> round(two_sided(1.0, 1.0), 3), two_sided(0.0, 0.0)
    (0.317, 1.0)
    """
    if error > 0:
        return math.erfc(abs(value) / error / math.sqrt(2))
    return 1.0 if value == 0 else 0.0


def _mcnemar_p_value(first_alone: int, second_alone: int) -> float:
    """Returns McNemar's exact p-value: equally good taggers share evenly the jets that only one gets right."""
    from scipy.special import bdtr

    fewer, both = min(first_alone, second_alone), first_alone + second_alone
    return min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0


def _delong_difference(a: NDArray[Any], b: NDArray[Any], signal: NDArray[np.bool_], w: Floats) -> Difference | None:
    signal_w, background_w = w[signal], w[~signal]
    if not signal_w.any() or not background_w.any():
        return None
    of_signal = _structural_components(b, signal, background_w) - _structural_components(a, signal, background_w)
    of_background = _structural_components(-b, ~signal, signal_w) - _structural_components(-a, ~signal, signal_w)
    value = float(np.average(of_signal, weights=signal_w))
    error = math.hypot(_delong_error(of_signal, signal_w), _delong_error(of_background, background_w))
    return Difference(value, error, two_sided(value, error))


def _structural_components(s: NDArray[Any], selected: NDArray[np.bool_], rest_weights: Floats) -> Floats:
    """Returns the share of the remaining jets below each selected jet, ties half: DeLong's structural components."""
    order = np.argsort(rest := s[~selected])
    below = np.concatenate([[0.0], np.cumsum(rest_weights[order])]) / rest_weights.sum()
    ranks = (np.searchsorted(rest[order], s[selected], side=side) for side in ("left", "right"))
    low, high = (below[rank] for rank in ranks)
    return np.asarray((low + high) / 2)


def _delong_error(values: Floats, w: Floats) -> float:
    """Returns the standard error of a weighted mean, with DeLong's factor n - 1."""
    used = int((w != 0).sum())
    return standard_error(values, w) * math.sqrt(used / max(used - 1, 1))


def _rejection_ratio(a: CheckedScores, b: CheckedScores, c: int, rng: np.random.Generator) -> Difference | None:
    """Returns the ratio of the taggers' rejections, second over first, from samples common to both."""
    signal = a.labels == c
    jets = [spectra(tagger.p[:, c], signal, tagger.weights) for tagger in (a, b)]
    pairs = [(_rejection_of_sample(spectrum), spectrum) for spectrum in jets if spectrum is not None]
    background = a.effective.sum() - a.effective[c]
    if len(pairs) < 2 or any(background / rejection < FEWEST for rejection, _ in pairs):
        return None
    samples = [rng.poisson(1, len(signal)) for _ in range(REPLICATES)]
    rejections = np.array([[_rejection_of_sample(spectrum, times) for _, spectrum in pairs] for times in samples])
    if not np.isfinite(rejections).all():
        return None
    ratio, spread = pairs[1][0] / pairs[0][0], float(np.std(np.log(rejections[:, 1] / rejections[:, 0]), ddof=1))
    return Difference(ratio, ratio * spread, two_sided(math.log(ratio), spread))


def _rejection_of_sample(jets: Spectra, times: NDArray[Any] | None = None) -> float:
    return background_rejection(curve_of_sums(*jets.sums(times=times)), EFFICIENCY)
