"""Confusion matrices and accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.evaluation._score_checks import checked_class_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hepjax.types import Scores


def confusion_matrix(scores: Scores) -> NDArray[np.float64]:
    """Computes weighted counts of jets by true and predicted class; the prediction is the most probable class.

    Args:
      scores: class probabilities, labels and weights; among equal probabilities the first class counts.

    Returns:
      (C, C) float64 sums of weights, [true, predicted].

    Raises:
      InputError: scores are not class probabilities, or labels or weights do not fit them.

    >>> from hepjax.types import Scores
    >>> p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    >>> confusion_matrix(Scores(p, np.array([0, 0, 1]), np.array([1.0, 2.0, 1.0]), ("q", "t"))).tolist()
    [[1.0, 2.0], [0.0, 1.0]]
    """
    p, labels, weights, classes = checked_class_scores(scores)
    n = len(classes)
    cells = labels * n + np.argmax(p, axis=1)
    counts = np.bincount(cells, weights=weights, minlength=n * n).astype(np.float64)
    return counts.reshape(n, n)


def normalize_rows(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides each row of a confusion matrix by its sum, which gives fractions of the true class.

    Args:
      matrix: (C, C) weighted counts, [true, predicted].

    Returns:
      (C, C) float64 whose rows add up to 1; NaN in the row of a class without jets.

    >>> normalize_rows(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [nan, nan]]
    """
    sums = matrix.sum(axis=1, keepdims=True)
    fractions = np.full(matrix.shape, np.nan)
    np.divide(matrix, sums, out=fractions, where=sums > 0)
    return fractions


def accuracy(matrix: NDArray[np.float64]) -> float:
    """Computes the weighted fraction of jets whose most probable class is the true one.

    Args:
      matrix: (C, C) weighted counts, [true, predicted].

    Returns:
      The trace over the sum.

    >>> accuracy(np.array([[1.0, 2.0], [0.0, 1.0]]))
    0.5
    """
    return float(np.trace(matrix) / matrix.sum())
