"""Anomalies: jets to learn the background from, pure or not; scores of how little a jet is like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.types import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

QCD = ("g", "q")
"""The classes that are usually the background."""

_FEWEST, _MOST = 0.001, 0.1
_DEAD = 1e-9  # of the largest variance


class Codes(NamedTuple):
    """Where the codes of the background lie."""

    mean: np.ndarray
    """(L,) float64."""
    whitening: np.ndarray
    """(L, L') float64; after it the background's codes have variance 1 in each of L' directions. Dead ones are gone."""


def check_share(share: float) -> None:
    """Refuses a share of anomalies that is neither none nor between 0.1 % and 10 %.

    Args:
      share: of the training part.

    Raises:
      InputError: it is not.

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
    """The jets to learn the background from: all of its classes, and a share of others that are not known as such.

    Args:
      labels: (N,) indices into `classes`.
      classes: C names.
      background: names of the classes that are learnt.
      anomalies: names of the classes of the others; none is all that are not background.
      share: of anomalies in what is learnt from, 0 or from 0.001 to 0.1; so many are drawn and added.
      seed: of the draw.

    Returns:
      Row numbers, rising.

    Raises:
      InputError: a class is not there, a class is both, the share is out of range, or there are too few anomalies.

    >>> labels = np.array([0, 1, 2, 0, 1, 0, 2, 1, 0, 1])
    >>> background_rows(labels, ("g", "q", "t")).tolist()
    [0, 1, 3, 4, 5, 7, 8, 9]
    >>> len(background_rows(np.repeat([0, 1], [90, 30]), ("g", "t"), ("g",), share=0.1))
    100
    """
    check_share(share)
    others = [name for i, name in enumerate(classes) if name not in background and np.any(labels == i)]
    own = _places(labels, classes, background, "background")
    rows = np.flatnonzero(np.isin(labels, own))
    if share == 0:
        return rows
    strange = _places(labels, classes, anomalies or others, "anomalies")
    _check_apart(background, anomalies or others)
    there = np.flatnonzero(np.isin(labels, strange))
    count = round(len(rows) * share / (1 - share))
    if not 0 < count <= len(there):
        raise InputError(
            f"contamination: {share:g} of {len(rows)} background jets are {count} anomalies, of {len(there)} that are "
            "there; expected one or more; give more jets, or another share"
        )
    drawn = np.random.default_rng(seed).choice(there, count, replace=False)
    return np.sort(np.concatenate([rows, drawn]))


def amplitudes(images: np.ndarray) -> np.ndarray:
    """Images whose pixels are square roots of shares of the jet's pT, so that all have the same norm.

    The squared distance of two such images is that of Hellinger between two distributions of pT. A jet of many
    particles does not come back badly just for having many, as it does else (complexity bias, arXiv:2104.09051).

    Args:
      images: (N, H, W, channels) pT, not negative.

    Returns:
      The same shape, float32; the mean square over all pixels and channels is 1, or 0 for an empty image.

    >>> amplitudes(np.array([[[[9.0], [16.0]]]]))[0, 0, :, 0].astype(float).round(3).tolist()
    [0.849, 1.131]
    """
    axes = tuple(range(1, images.ndim))
    total = images.sum(axes, keepdims=True, dtype=np.float64)
    share = np.divide(images, total, out=np.zeros(images.shape), where=total > 0)
    pixels: np.ndarray = np.sqrt(share * np.prod(images.shape[1:])).astype(np.float32)
    return pixels


def fit_codes(codes: Any) -> Codes:
    """Mean and spread of the codes that an autoencoder gives to the background.

    Args:
      codes: (N, L), of the jets that were learnt from.

    Returns:
      What `latent_distance` needs.

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
    """How far a code lies from the background's: the squared distance of Mahalanobis.

    Args:
      fitted: where the background's codes lie.
      codes: (N, L); for a variational autoencoder their means.

    Returns:
      (N,) float64, not negative; L' on average over the jets that were fitted.

    Reference: P. Mahalanobis, Proc. Natl. Inst. Sci. India 2 (1936) 49; for anomalies in a network's features
    K. Lee et al., arXiv:1807.03888, eq. 2.

    >>> latent_distance(Codes(np.zeros(2), np.eye(2)), np.array([[3.0, 4.0]])).tolist()
    [25.0]
    """
    distance: np.ndarray = np.sum(((codes - fitted.mean) @ fitted.whitening) ** 2, axis=-1)
    return distance


def combined(scores: Sequence[Any], background: Sequence[Any]) -> np.ndarray:
    """Several scores as one: minus the logarithm of the chance that a background jet has larger ones (R. Fisher).

    Args:
      scores: (N,) each, larger for anomalies.
      background: (M,) each, the same scores of background jets that were not learnt from.

    Returns:
      (N,) float64, Σ -ln p over the scores, as if they were independent.

    Reference: R. Fisher, Statistical Methods for Research Workers (1932), section 21.1.

    >>> combined([[0.0, 9.0]], [[1.0, 2.0, 3.0]]).round(3).tolist()
    [0.0, 1.386]
    """
    total = np.zeros(len(scores[0]))
    for values, reference in zip(scores, background, strict=True):
        above = len(reference) - np.searchsorted(np.sort(reference), values)
        total -= np.log((above + 1) / (len(reference) + 1))
    return total


def told_from(
    scores: Any, labels: np.ndarray, classes: Sequence[str], anomalies: Sequence[str], background: Sequence[str] = QCD
) -> Scores:
    """An anomaly score as the answers of a classifier, for all that `hepjax.evaluation` measures and compares.

    Args:
      scores: (N,) finite, larger for anomalies.
      labels: (N,) indices into `classes`.
      classes: C names.
      anomalies: names of the classes to be found; other jets are left out.
      background: names of the classes to be found among.

    Returns:
      Of the jets of these classes: "probabilities" of background and anomaly, which are ranks of the score from 0 to 1,
      so that ROC curves are those of the score; labels 0 and 1; the classes "background" and the anomalies' names.

    Raises:
      InputError: a class is not there, or is both, or scores are not finite.

    >>> told_from([0.3, 7.0, 0.1], np.array([0, 2, 1]), ("g", "q", "t"), ["t"]).scores[:, 1].tolist()
    [0.5, 1.0, 0.0]
    """
    own = _places(labels, classes, background, "background")
    strange = _places(labels, classes, anomalies, "anomalies")
    _check_apart(background, anomalies)
    rows = np.flatnonzero(np.isin(labels, own + strange))
    values = np.asarray(scores, np.float64)[rows]
    if not np.isfinite(values).all():
        raise InputError(
            f"scores: expected finite numbers, found {np.sum(~np.isfinite(values))} that are not; "
            "was a training stopped that diverged?"
        )
    found, place = np.unique(values, return_inverse=True)
    rank = place / max(len(found) - 1, 1)
    truth = np.isin(labels[rows], strange).astype(np.int32)
    return Scores(np.stack([1 - rank, rank], axis=1), truth, None, ("background", "+".join(anomalies)))


def _places(labels: np.ndarray, classes: Sequence[str], names: Sequence[str], argument: str) -> list[int]:
    """The indices of classes of which there are jets."""
    there = [name for i, name in enumerate(classes) if np.any(labels == i)]
    missing = [name for name in names if name not in there]
    if missing or not names:
        raise InputError(
            f"{argument}: expected classes of which there are jets ({', '.join(there)}), found "
            f"{', '.join(missing) or 'none'}; name others, or give other files"
        )
    return [list(classes).index(name) for name in names]


def _check_apart(background: Sequence[str], anomalies: Sequence[str]) -> None:
    if {*background} & {*anomalies}:
        raise InputError(
            f"anomalies: expected classes other than the background's, found {', '.join(anomalies)} beside "
            f"{', '.join(background)}; name others"
        )
