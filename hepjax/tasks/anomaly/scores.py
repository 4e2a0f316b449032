"""Background samples for anomaly detection, pure or contaminated, and anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

_FEWEST, _MOST = 0.001, 0.1
_SMALLEST = 1e-6
"""The width of the tail of a score that is 0 for all jets."""
_DEAD = 1e-9  # a variance below this share of the largest one counts as 0


class Tail(NamedTuple):
    """The rarity of a score among the background: -ln p, linear between T + 1 values."""

    thresholds: np.ndarray
    """(T,) float, rising: where each line begins."""
    widths: np.ndarray
    """(T,) float, more than 0: how far it goes."""
    rises: np.ndarray
    """(T,) float, by how much -ln p rises over it."""


class Codes(NamedTuple):
    """The distribution of the codes of the background."""

    mean: np.ndarray
    """(L,) float64 mean of the codes."""
    whitening: np.ndarray
    """(L, L') float64 matrix that gives codes of the background unit variance; directions without variance are gone."""


def is_anomaly_share_valid(share: float) -> bool:
    """Tells whether a share of anomalies is 0 or between 0.1 % and 10 %.

    Args:
      share: share of anomalies in the training sample.

    >>> is_anomaly_share_valid(0.01), is_anomaly_share_valid(0.5)
    (True, False)
    """
    return share == 0 or _FEWEST <= share <= _MOST


def background_rows(labels: np.ndarray, background: int, *, share: float = 0.0, seed: int = 0) -> np.ndarray:
    """Selects the jets to learn from: all of the background, and a share of unmarked anomalies.

    Args:
      labels: (N,) numbers of classes: those of the background come first, then the anomalies; -1 is neither.
      background: the number of background classes.
      share: share of anomalies in the selection, 0 or from 0.001 to 0.1; they are drawn at random.
      seed: seed of the draw.

    Returns:
      Row numbers in rising order.

    Raises:
      InputError: there are too few anomalies.

    >>> background_rows(np.array([0, 1, 2, 0, 1, 0, 2, 1, -1, 1]), 2).tolist()
    [0, 1, 3, 4, 5, 7, 9]
    >>> len(background_rows(np.repeat([0, 1], [90, 30]), 1, share=0.1))
    100
    """
    rows = np.flatnonzero((labels >= 0) & (labels < background))
    candidates = np.flatnonzero(labels >= background)
    count = round(len(rows) * share / (1 - share))
    if count > len(candidates):
        raise InputError(
            f"--contamination: {share:g} of {len(rows)} background jets are {count} anomalies, of {len(candidates)} "
            "that there are; give more jets, or another share"
        )
    contamination = np.random.default_rng(seed).choice(candidates, count, replace=False)
    return np.sort(np.concatenate([rows, contamination]))


def fit_codes(codes: Any, weights: np.ndarray | None = None) -> Codes:
    """Fits the mean and covariance of the codes of background jets.

    Args:
      codes: (N, L) codes of the training jets.
      weights: (N,) of the jets; None is 1.

    Returns:
      The distribution of the codes, for `latent_distance`.

    Raises:
      InputError: there are fewer than two jets, or a code is not finite.

    >>> fit_codes(np.array([[0.0, 5.0], [2.0, 5.0]])).whitening.round(3).tolist()
    [[1.0], [0.0]]
    """
    x = np.asarray(codes, np.float64)
    if len(x) < 2 or not np.isfinite(x).all():
        raise InputError(f"codes: expected two or more finite ones, found {np.isfinite(x).all(axis=-1).sum()}")
    covariance = np.cov(x, rowvar=False, bias=True, aweights=weights)
    values, vectors = np.linalg.eigh(covariance.reshape(x.shape[1], x.shape[1]))
    alive = values > _DEAD * max(values.max(), np.finfo(np.float64).tiny)
    return Codes(np.average(x, axis=0, weights=weights), vectors[:, alive] / np.sqrt(values[alive]))


def latent_distance(fitted: Codes, codes: Any) -> Any:
    """Computes the squared Mahalanobis distance of codes from those of the background.

    Args:
      fitted: distribution of the codes of the background.
      codes: (N, L) codes, a NumPy or JAX array; for a variational autoencoder their means.

    Returns:
      (N,) not negative; the mean over the fitted jets is L'.

    Reference: P. Mahalanobis, Proc. Natl. Inst. Sci. India 2 (1936) 49; for anomalies in a network's features
    K. Lee et al., arXiv:1807.03888, eq. 2.

    >>> latent_distance(Codes(np.zeros(2), np.eye(2)), np.array([[3.0, 4.0]])).tolist()
    [25.0]
    """
    return (((codes - fitted.mean) @ fitted.whitening) ** 2).sum(axis=-1)


def fit_score_tail(values: Any, weights: np.ndarray | None = None, most: int = 1024) -> Tail:
    """Fits how rare a score is among background jets: p is (1 + the jets at or above it) / (1 + all jets).

    Between the scores of jets -ln p is a line, so that rounding does not matter; the last one ends above all jets.

    Args:
      values: (M,) scores of background jets that were not learned from.
      weights: (M,) of the jets; None is 1.
      most: lines at most; of more jets those are taken that lie evenly in rank, and evenly in ln p.

    Returns:
      The tail, for `score_rarity`.

    Raises:
      InputError: there is no jet, or a score is not finite.

    >>> fit_score_tail([3.0, 1.0, 2.0]).rises.round(3).tolist()
    [0.288, 0.405, 0.693]
    """
    x = np.asarray(values, np.float64)
    if not len(x) or not np.isfinite(x).all():
        raise InputError(f"scores: expected finite ones of validation jets, found {np.isfinite(x).sum()} of {len(x)}")
    counts = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)
    counts = counts * (len(x) / counts.sum()) if counts.sum() > 0 else np.ones(len(x))
    distinct, place = np.unique(x, return_inverse=True)
    above = np.append(np.cumsum(np.bincount(place, counts)[::-1])[::-1], 0.0)
    logs = -np.log((above + 1) / (len(x) + 1))
    gap = distinct[-1] - distinct[-2] if len(distinct) > 1 else 1e-3 * abs(distinct[-1]) + _SMALLEST
    ends = np.append(distinct, distinct[-1] + gap)
    if len(distinct) > most:
        even = np.linspace(0, len(distinct), most // 2).astype(int)
        chosen = np.union1d(even, np.searchsorted(logs, np.linspace(logs[0], logs[-1], most // 2)))
        ends, logs = ends[chosen], logs[chosen]
    return Tail(ends[:-1], np.diff(ends), np.diff(logs))


def score_rarity(tail: Tail, values: Any) -> Any:
    """Computes -ln p of scores under the background hypothesis.

    Args:
      tail: of the background's scores.
      values: (N,) scores, a NumPy or JAX array.

    Returns:
      (N,) from 0 to the logarithm of the number of background jets and one more.

    >>> score_rarity(fit_score_tail([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0])).round(3).tolist()
    [0.0, 0.288, 1.386]
    """
    xp = values.__array_namespace__()
    along = (values[:, None] - tail.thresholds) / tail.widths
    return xp.clip(along, 0, 1) @ tail.rises


def combine_anomaly_scores(tails: Sequence[Tail], scores: Sequence[Any]) -> Any:
    """Combines several scores into one with Fisher's method, from their p-values under the background hypothesis.

    Args:
      tails: of each score.
      scores: (N,) arrays, NumPy or JAX, larger for anomalies.

    Returns:
      (N,) sums of -ln p over the scores, as for independent scores.

    Reference: R. Fisher, Statistical Methods for Research Workers (1932), section 21.1.

    >>> combine_anomaly_scores([fit_score_tail([1.0, 2.0, 3.0])], [np.array([0.0, 9.0])]).round(3).tolist()
    [0.0, 1.386]
    """
    return sum(score_rarity(tail, values) for tail, values in zip(tails, scores, strict=True))


def as_classifier_scores(
    scores: Any,
    labels: np.ndarray,
    classes: Sequence[str],
    anomalies: Sequence[str],
    background: Sequence[str],
    weights: np.ndarray | None = None,
) -> Scores:
    """Converts an anomaly score to the scores of a two-class classifier, as `hepjax.evaluation` needs them.

    Args:
      scores: (N,) finite scores, larger for anomalies.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      anomalies: names of the anomalous classes; jets of all other classes are left out.
      background: names of the background classes.
      weights: (N,) of the jets; None is 1.

    Returns:
      For the jets of these classes: "probabilities" of background and anomaly, which are ranks of the score from 0 to
      1, so that ROC curves are those of the score; labels 0 and 1; the classes "background" and the names of the
      anomalies.

    Raises:
      InputError: a class does not exist or is both, or scores are not finite.

    >>> labels, classes = np.array([0, 2, 1]), ("g", "q", "t")
    >>> as_classifier_scores([0.3, 7.0, 0.1], labels, classes, ["t"], ["g", "q"]).scores[:, 1].tolist()
    [0.5, 1.0, 0.0]
    """
    background_indices = _anomaly_class_indices(labels, classes, background, "background")
    anomaly_indices = _anomaly_class_indices(labels, classes, anomalies, "anomalies")
    _check_disjoint_classes(background, anomalies)
    rows = np.flatnonzero(np.isin(labels, background_indices + anomaly_indices))
    values = np.asarray(scores, np.float64)[rows]
    if not np.isfinite(values).all():
        raise InputError(
            f"scores: expected finite numbers, found {np.sum(~np.isfinite(values))} that are not; "
            "was a training stopped that diverged?"
        )
    distinct, order = np.unique(values, return_inverse=True)
    rank = order / max(len(distinct) - 1, 1)
    truth = np.isin(labels[rows], anomaly_indices).astype(np.int32)
    chosen = None if weights is None else weights[rows]
    return Scores(np.stack([1 - rank, rank], axis=1), truth, chosen, ("background", "+".join(anomalies)))


def _anomaly_class_indices(
    labels: np.ndarray, classes: Sequence[str], names: Sequence[str], argument: str
) -> list[int]:
    """Returns the indices of classes, and checks that each class has jets."""
    present = [name for i, name in enumerate(classes) if np.any(labels == i)]
    missing = [name for name in names if name not in present]
    if missing or not names:
        raise InputError(
            f"{argument}: expected classes of which there are jets ({', '.join(present)}), found "
            f"{', '.join(missing) or 'none'}; name others, or give other files"
        )
    return [list(classes).index(name) for name in names]


def _check_disjoint_classes(background: Sequence[str], anomalies: Sequence[str]) -> None:
    if {*background} & {*anomalies}:
        raise InputError(
            f"anomalies: expected classes other than the background's, found {', '.join(anomalies)} beside "
            f"{', '.join(background)}; name others"
        )
