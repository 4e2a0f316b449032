"""Explanations of a trained network: needed features, relevant parts of a jet, and hidden features."""

from hepjax.evaluation.explanation.gradients import by_particle, gradient_times_input
from hepjax.evaluation.explanation.hidden import hidden_features, pearson, spearman
from hepjax.evaluation.explanation.importance import Importance, log_likelihood, mean_auc, permutation_importance
from hepjax.evaluation.explanation.messages import Messages, message_relevance

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
