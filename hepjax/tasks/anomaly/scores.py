"""Background samples for anomaly detection, pure or contaminated, and anomaly scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

QCD = ("g", "q")
"""The default background classes."""

_FEWEST, _MOST = 0.001, 0.1
_DEAD = 1e-9  # a variance below this share of the largest one counts as 0


class Codes(NamedTuple):
    """The distribution of the codes of the background."""

    mean: np.ndarray
    """(L,) float64 mean of the codes."""
    whitening: np.ndarray
    """(L, L') float64 matrix that gives codes of the background unit variance; directions without variance are gone."""


def check_share(share: float) -> None:
    """Checks that a share of anomalies is 0 or between 0.1 % and 10 %.

    Args:
      share: share of anomalies in the training sample.

    Raises:
      InputError: the share is outside of this range.

    >>> check_share(0.01)
    """
    if not (share == 0 or _FEWEST <= share <= _MOST):
        raise InputError(
            f"contamination: expected 0 or a share from {_FEWEST:g} to {_MOST:g}, found {share:g}; change it"
        )


def background_rows(
    labels: np.ndarray,
    classes: Sequence[str],
    background: Sequence[str] = QCD,
    anomalies: Sequence[str] = (),
    *,
    share: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Selects the jets to train on: all jets of the background classes, and a share of unlabeled anomalies.

    Args:
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      background: names of the background classes.
      anomalies: names of the anomalous classes; empty means all other classes.
      share: share of anomalies in the selection, 0 or from 0.001 to 0.1; they are drawn at random.
      seed: seed of the draw.

    Returns:
      Row numbers in rising order.

    Raises:
      InputError: a class does not exist or is both, the share is out of range, or there are too few anomalies.

    >>> labels = np.array([0, 1, 2, 0, 1, 0, 2, 1, 0, 1])
    >>> background_rows(labels, ("g", "q", "t")).tolist()
    [0, 1, 3, 4, 5, 7, 8, 9]
    >>> len(background_rows(np.repeat([0, 1], [90, 30]), ("g", "t"), ("g",), share=0.1))
    100
    """
    check_share(share)
    remaining = [name for i, name in enumerate(classes) if name not in background and np.any(labels == i)]
    rows = np.flatnonzero(np.isin(labels, _class_indices(labels, classes, background, "background")))
    if share == 0:
        return rows
    indices = _class_indices(labels, classes, anomalies or remaining, "anomalies")
    _check_disjoint(background, anomalies or remaining)
    candidates = np.flatnonzero(np.isin(labels, indices))
    count = round(len(rows) * share / (1 - share))
    if not 0 < count <= len(candidates):
        raise InputError(
            f"contamination: {share:g} of {len(rows)} background jets are {count} anomalies, of {len(candidates)} that "
            "are there; expected one or more; give more jets, or another share"
        )
    contamination = np.random.default_rng(seed).choice(candidates, count, replace=False)
    return np.sort(np.concatenate([rows, contamination]))


def amplitudes(images: np.ndarray) -> np.ndarray:
    """Converts images to square roots of pT shares, so that all images have the same norm.

    The squared distance of two such images is the squared Hellinger distance of two pT distributions. It avoids the
    complexity bias, a poor reconstruction of jets just because they have many particles (arXiv:2104.09051).

    Args:
      images: (N, H, W, channels) non-negative pT.

    Returns:
      (N, H, W, channels) float32 images; the mean square over pixels and channels is 1, or 0 for an empty image.

    >>> amplitudes(np.array([[[[9.0], [16.0]]]]))[0, 0, :, 0].astype(float).round(3).tolist()
    [0.849, 1.131]
    """
    axes = tuple(range(1, images.ndim))
    total = images.sum(axes, keepdims=True, dtype=np.float64)
    share = np.divide(images, total, out=np.zeros(images.shape), where=total > 0)
    pixels: np.ndarray = np.sqrt(share * np.prod(images.shape[1:])).astype(np.float32)
    return pixels


def fit_codes(codes: Any) -> Codes:
    """Fits the mean and covariance of the codes of background jets.

    Args:
      codes: (N, L) codes of the training jets.

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
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False, bias=True).reshape(x.shape[1], x.shape[1]))
    alive = values > _DEAD * max(values.max(), np.finfo(np.float64).tiny)
    return Codes(x.mean(axis=0), vectors[:, alive] / np.sqrt(values[alive]))


def latent_distance(fitted: Codes, codes: Any) -> np.ndarray:
    """Computes the squared Mahalanobis distance of codes from those of the background.

    Args:
      fitted: distribution of the codes of the background.
      codes: (N, L) codes; for a variational autoencoder their means.

    Returns:
      (N,) non-negative float64; the mean over the fitted jets is L'.

    Reference: P. Mahalanobis, Proc. Natl. Inst. Sci. India 2 (1936) 49; for anomalies in a network's features
    K. Lee et al., arXiv:1807.03888, eq. 2.

    >>> latent_distance(Codes(np.zeros(2), np.eye(2)), np.array([[3.0, 4.0]])).tolist()
    [25.0]
    """
    distance: np.ndarray = np.sum(((codes - fitted.mean) @ fitted.whitening) ** 2, axis=-1)
    return distance


def combine_scores(scores: Sequence[Any], background: Sequence[Any]) -> np.ndarray:
    """Combines several scores into one with Fisher's method, from their p-values under the background hypothesis.

    Args:
      scores: (N,) arrays, one for each score, larger for anomalies.
      background: (M,) arrays, the scores of background jets not used in training.

    Returns:
      (N,) float64 sums of -ln p over the scores, as for independent scores.

    Reference: R. Fisher, Statistical Methods for Research Workers (1932), section 21.1.

    >>> combine_scores([[0.0, 9.0]], [[1.0, 2.0, 3.0]]).round(3).tolist()
    [0.0, 1.386]
    """
    total = np.zeros(len(scores[0]))
    for values, reference in zip(scores, background, strict=True):
        above = len(reference) - np.searchsorted(np.sort(reference), values)
        total -= np.log((above + 1) / (len(reference) + 1))
    return total


def as_classifier_scores(
    scores: Any, labels: np.ndarray, classes: Sequence[str], anomalies: Sequence[str], background: Sequence[str] = QCD
) -> Scores:
    """Converts an anomaly score to the scores of a two-class classifier, as `hepjax.evaluation` needs them.

    Args:
      scores: (N,) finite scores, larger for anomalies.
      labels: (N,) indices into `classes`.
      classes: names of the C classes.
      anomalies: names of the anomalous classes; jets of all other classes are left out.
      background: names of the background classes.

    Returns:
      For the jets of these classes: "probabilities" of background and anomaly, which are ranks of the score from 0 to
      1, so that ROC curves are those of the score; labels 0 and 1; the classes "background" and the names of the
      anomalies.

    Raises:
      InputError: a class does not exist or is both, or scores are not finite.

    >>> as_classifier_scores([0.3, 7.0, 0.1], np.array([0, 2, 1]), ("g", "q", "t"), ["t"]).scores[:, 1].tolist()
    [0.5, 1.0, 0.0]
    """
    background_indices = _class_indices(labels, classes, background, "background")
    anomaly_indices = _class_indices(labels, classes, anomalies, "anomalies")
    _check_disjoint(background, anomalies)
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
    return Scores(np.stack([1 - rank, rank], axis=1), truth, None, ("background", "+".join(anomalies)))


def _class_indices(labels: np.ndarray, classes: Sequence[str], names: Sequence[str], argument: str) -> list[int]:
    """Returns the indices of classes, and checks that each class has jets."""
    present = [name for i, name in enumerate(classes) if np.any(labels == i)]
    missing = [name for name in names if name not in present]
    if missing or not names:
        raise InputError(
            f"{argument}: expected classes of which there are jets ({', '.join(present)}), found "
            f"{', '.join(missing) or 'none'}; name others, or give other files"
        )
    return [list(classes).index(name) for name in names]


def _check_disjoint(background: Sequence[str], anomalies: Sequence[str]) -> None:
    if {*background} & {*anomalies}:
        raise InputError(
            f"anomalies: expected classes other than the background's, found {', '.join(anomalies)} beside "
            f"{', '.join(background)}; name others"
        )
