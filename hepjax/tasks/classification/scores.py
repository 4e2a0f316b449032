"""The predictions of a classifier as scores that `hepjax.evaluation` takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hepjax.errors import InputError
from hepjax.types import Scores

if TYPE_CHECKING:
    from hepjax.tasks.task_types import Predictions


def scores_of(predictions: Predictions) -> Scores:
    """Returns class probabilities in the structure that `hepjax.evaluation` takes.

    Args:
      predictions: of a classification.

    Raises:
      InputError: the labels are not known.
    """
    if predictions.targets is None:
        raise InputError("scores: no labels, so nothing can be measured; give scores of labeled jets")
    return Scores(predictions.values, predictions.targets, predictions.weights, predictions.columns)
