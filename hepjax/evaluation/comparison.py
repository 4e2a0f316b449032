"""Is one tagger better than another on the same jets? Differences, in which the luck of the jets cancels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation._inputs import Checked, checked
from hepjax.evaluation.bootstrap import REPLICATES, Spectra, curve_of_sums, spectra, standard_error
from hepjax.evaluation.intervals import FEWEST
from hepjax.evaluation.metrics import costs
from hepjax.evaluation.roc import background_rejection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores

    Floats = NDArray[np.float64]

EFFICIENCY = 0.5
"""The signal efficiency at which background rejections are compared."""


class Difference(NamedTuple):
    """What a second tagger has more than a first one, on the same jets."""

    value: float
    """The difference; of rejections their ratio."""
    error: float
    """Its standard error."""
    p: float
    """How likely a difference as large, of either sign, is between equally good taggers."""


def compare(first: Scores, second: Scores, *, seed: int = 0) -> dict[str, Any]:
    """Compares two taggers on the same jets.

    The error of a difference of AUCs is DeLong's; accuracies differ by the jets that one tagger alone gets right
    (McNemar; its p-value is exact where jets have no weights); the losses' difference is a mean over jets. The ratio of
    rejections has its error from 200 samples of jets, drawn for both taggers together.

    Args:
      first: the tagger to compare with.
      second: scores, labels and weights of the same jets in the same order.
      seed: of the samples.

    Returns:
      accuracy, loss: a `Difference` each; classes: class to `auc` and `background_rejection_at_0.5`, a `Difference` or
      None where a class has too few jets: none for an AUC, ten that pass for a rejection.

    Raises:
      InputError: the jets are not the same, or scores are not sound.

    References: E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988) 837; Q. McNemar, Psychometrika 12 (1947)
    153.

    >>> from hepjax.types import Scores
    >>> p, y = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8]]), np.array([0, 0, 1, 1])
    >>> better, worse = Scores(p, y, None, ("q", "t")), Scores(p[::-1], y, None, ("q", "t"))
    >>> compare(worse, better)["accuracy"].value
    0.5
    """
    a, b = checked(first), checked(second)
    _check_same(a, b)
    w = np.ones(len(a.labels)) if a.weights is None else a.weights
    right_a, right_b = (np.argmax(some.p, axis=1) == some.labels for some in (a, b))
    accuracy = _mean(right_b.astype(np.float64) - right_a, w)
    if a.weights is None:
        accuracy = accuracy._replace(p=_mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())))
    rng = np.random.default_rng(seed)
    return {
        "accuracy": accuracy,
        "loss": _mean(costs(b) - costs(a), w),
        "classes": {
            name: {
                "auc": _delong(a.p[:, c], b.p[:, c], a.labels == c, w),
                f"background_rejection_at_{EFFICIENCY:g}": _rejections(a, b, c, rng),
            }
            for c, name in enumerate(a.classes)
        },
    }


def _check_same(a: Checked, b: Checked) -> None:
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


def _mean(values: Floats, w: Floats) -> Difference:
    """A weighted mean that is compared with 0."""
    mean, error = float(np.average(values, weights=w)), standard_error(values, w)
    return Difference(mean, error, two_sided(mean, error))


def two_sided(value: float, error: float) -> float:
    """Returns how likely a deviation as large as this one is, of either sign, under a Gaussian of this width.

    >>> round(two_sided(1.0, 1.0), 3), two_sided(0.0, 0.0)
    (0.317, 1.0)
    """
    if error > 0:
        return math.erfc(abs(value) / error / math.sqrt(2))
    return 1.0 if value == 0 else 0.0


def _mcnemar(first_alone: int, second_alone: int) -> float:
    """Of the jets that one tagger alone gets right, either has half, if they are equally good."""
    from scipy.special import bdtr

    fewer, both = min(first_alone, second_alone), first_alone + second_alone
    return min(1.0, 2 * float(bdtr(fewer, both, 0.5))) if both else 1.0


def _delong(a: NDArray[Any], b: NDArray[Any], signal: NDArray[np.bool_], w: Floats) -> Difference | None:
    signal_w, background_w = w[signal], w[~signal]
    if not signal_w.any() or not background_w.any():
        return None
    of_signal = _beaten(b, signal, background_w) - _beaten(a, signal, background_w)
    of_background = _beaten(-b, ~signal, signal_w) - _beaten(-a, ~signal, signal_w)
    value = float(np.average(of_signal, weights=signal_w))
    error = math.hypot(_scatter(of_signal, signal_w), _scatter(of_background, background_w))
    return Difference(value, error, two_sided(value, error))


def _beaten(s: NDArray[Any], which: NDArray[np.bool_], others_w: Floats) -> Floats:
    """Of each jet the share of the others that score below it, ties half: DeLong's structural component."""
    order = np.argsort(others := s[~which])
    below = np.concatenate([[0.0], np.cumsum(others_w[order])]) / others_w.sum()
    ranks = (np.searchsorted(others[order], s[which], side=side) for side in ("left", "right"))
    low, high = (below[rank] for rank in ranks)
    return np.asarray((low + high) / 2)


def _scatter(values: Floats, w: Floats) -> float:
    """The standard error of a weighted mean, with the n - 1 of DeLong."""
    used = int((w > 0).sum())
    return standard_error(values, w) * math.sqrt(used / max(used - 1, 1))


def _rejections(a: Checked, b: Checked, c: int, rng: np.random.Generator) -> Difference | None:
    """The second's rejection over the first's, from samples that take the same jets for both."""
    signal = a.labels == c
    jets = [spectra(some.p[:, c], signal, some.weights) for some in (a, b)]
    found = [(_rejection(some), some) for some in jets if some is not None]
    background = a.effective.sum() - a.effective[c]
    if len(found) < 2 or any(background / rejection < FEWEST for rejection, _ in found):
        return None
    drawn = [rng.poisson(1, len(signal)) for _ in range(REPLICATES)]
    rejections = np.array([[_rejection(some, times) for _, some in found] for times in drawn])
    if not np.isfinite(rejections).all():
        return None
    ratio, spread = found[1][0] / found[0][0], float(np.std(np.log(rejections[:, 1] / rejections[:, 0]), ddof=1))
    return Difference(ratio, ratio * spread, two_sided(math.log(ratio), spread))


def _rejection(jets: Spectra, times: NDArray[Any] | None = None) -> float:
    return background_rejection(curve_of_sums(*jets.sums(times=times)), EFFICIENCY)
