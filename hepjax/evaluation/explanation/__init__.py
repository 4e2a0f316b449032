"""Explanations of a trained network: needed features, relevant parts of a jet, and hidden features."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hepjax.evaluation.explanation.gradients import by_particle, gradient_times_input
from hepjax.evaluation.explanation.hidden import hidden_features, pearson, spearman
from hepjax.evaluation.explanation.importance import Importance, log_likelihood, mean_auc, permutation_importance
from hepjax.evaluation.explanation.messages import Messages, message_relevance
from hepjax.registry import submodule

__all__ = [
    "Importance",
    "Messages",
    "by_particle",
    "gradient_times_input",
    "hidden_features",
    "log_likelihood",
    "mean_auc",
    "message_relevance",
    "pearson",
    "permutation_importance",
    "spearman",
]

if not TYPE_CHECKING:  # which knows what is exported
    __getattr__ = partial(submodule, __name__)
