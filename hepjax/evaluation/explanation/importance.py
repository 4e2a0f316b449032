"""Permutation importance: the loss in performance of a tagger when a feature is shuffled among jets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hepjax.errors import InputError
from hepjax.evaluation.explanation._ranks import ranks
from hepjax.types import Sequences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Metric = Callable[[np.ndarray, np.ndarray], float]
"""A function of (N, C) class probabilities and (N,) labels that is larger for a better tagger."""


class Importance(NamedTuple):
    """The drop in performance of a tagger when features are shuffled."""

    score: float
    """The metric of the unshuffled jets."""
    drops: NDArray[np.float64]
    """(G, R) drops of the metric when each of G groups of columns is shuffled, R times."""

    @property
    def mean(self) -> NDArray[np.float64]:
        """Returns the (G,) mean drops over the repeats."""
        return np.asarray(self.drops.mean(axis=1))

    @property
    def std(self) -> NDArray[np.float64]:
        """Returns the (G,) standard deviations of one repeat."""
        return np.asarray(self.drops.std(axis=1))


def mean_auc(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Computes the mean over classes of the AUC of one class against all others.

    Args:
      probabilities: (N, C) scores, larger for the class.
      labels: (N,) class indices.

    Returns:
      The mean over the classes that have jets inside and outside.

    Raises:
      InputError: all jets are of one class.

    >>> mean_auc(np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]), np.array([0, 1, 1]))
    1.0
    """
    aucs = []
    for c, column in enumerate(np.asarray(probabilities).T):
        signal = np.asarray(labels) == c
        pairs = float(signal.sum()) * float((~signal).sum())
        if pairs:
            aucs.append((ranks(column)[signal].sum() - signal.sum() * (signal.sum() + 1) / 2) / pairs)
    if not aucs:
        raise InputError("labels: expected jets of two classes or more for an AUC, found one; add jets")
    return float(np.mean(aucs))


def log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Computes the mean logarithm of the true class's probability, whose drop is the rise of the loss.

    Args:
      probabilities: (N, C) class probabilities.
      labels: (N,) class indices.

    Returns:
      The mean; a probability of 0 is replaced by the smallest number of its type.

    >>> round(log_likelihood(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])), 4)
    -0.3466
    """
    p = np.asarray(probabilities)
    true = np.maximum(p[np.arange(len(p)), labels], np.finfo(p.dtype).tiny)
    return float(np.mean(np.log(true, dtype=np.float64)))


def permutation_importance(
    score: Callable[[Any], Any],
    inputs: np.ndarray | Sequences,
    labels: np.ndarray,
    metric: Metric = mean_auc,
    *,
    groups: Sequence[Sequence[int]] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> Importance:
    """Shuffles each feature among jets and measures the drop in a tagger's performance (Breiman 2001, section 10).

    A shuffled feature keeps its distribution but carries no information about its jet. Redundant features each show
    little importance, because the others remain: pass them as a group, whose columns are shuffled together. A column
    of particles is shuffled among the particles of all jets; padding does not move.

    Args:
      score: a function from inputs to (N, C) class probabilities; shapes are equal in every call.
      inputs: (N, F) features, or `Sequences` with (N, P, F) values, in the units that `score` takes.
      labels: (N,) class indices, of jets that the tagger was not trained on.
      metric: function of probabilities and labels, larger for a better tagger; `log_likelihood` gives the rise of the
        loss.
      groups: G groups of column indices; None puts each column in a group of its own.
      repeats: R, the number of shuffles of each group.
      seed: seed of the shuffles, which are the same for a group regardless of the other groups.

    Returns:
      The drops of the metric. Reference: L. Breiman, Machine Learning 45 (2001) 5.

    Raises:
      InputError: the inputs are of another type, a group is empty or has columns that do not exist, labels do not fit,
        or repeats is below 1.

    >>> x, y = np.array([[0.0, 7.0], [0.1, 8.0], [0.9, 7.0], [1.0, 8.0]]), np.array([0, 0, 1, 1])
    >>> importance = permutation_importance(lambda x: np.stack([1 - x[:, 0], x[:, 0]], axis=1), x, y)
    >>> importance.score, bool(importance.mean[0] > 0), float(importance.mean[1])
    (1.0, True, 0.0)
    """
    values, mask = _importance_inputs(inputs)
    labels = np.asarray(labels)
    if labels.shape != (len(values),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"labels: expected {len(values)} class indices, found {labels.dtype} of shape {labels.shape}")
    if repeats < 1:
        raise InputError(f"repeats: expected 1 or more, found {repeats}")
    columns = _feature_groups(groups, values.shape[-1])

    def metric_of(shuffled: np.ndarray) -> float:
        shuffled_inputs = inputs._replace(values=shuffled) if isinstance(inputs, Sequences) else shuffled
        return metric(np.asarray(score(shuffled_inputs)), labels)

    start = metric_of(values)
    drops = np.empty((len(columns), repeats))
    for g, group in enumerate(columns):
        rng = np.random.default_rng([seed, *group])
        for r in range(repeats):
            shuffled = values.copy()
            rows = values[mask][:, group]
            particles = np.zeros_like(values, dtype=bool)
            particles[..., group] = mask[..., None]
            shuffled[particles] = rows[rng.permutation(len(rows))].reshape(-1)
            drops[g, r] = start - metric_of(shuffled)
    return Importance(start, drops)


def _importance_inputs(inputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values, (N, F) or (N, P, F), and the mask of valid rows, (N,) or (N, P)."""
    values = np.asarray(inputs.values if isinstance(inputs, Sequences) else inputs)
    axes = 3 if isinstance(inputs, Sequences) else 2
    if values.ndim != axes or len(values) == 0:
        raise InputError(
            f"inputs: expected (N, F) features or Sequences of (N, P, F) particles, found shape {values.shape}; "
            "of images, look at gradient_times_input"
        )
    mask = np.asarray(inputs.mask) if isinstance(inputs, Sequences) else np.ones(len(values), bool)
    return values, mask


def _feature_groups(groups: Sequence[Sequence[int]] | None, count: int) -> list[list[int]]:
    if groups is None:
        return [[column] for column in range(count)]
    columns = [sorted(group) for group in groups]
    for group in columns:
        if not group or group[0] < 0 or group[-1] >= count or len(set(group)) < len(group):
            raise InputError(f"groups: expected different columns from 0 to {count - 1} in each, found {group}")
    return columns
