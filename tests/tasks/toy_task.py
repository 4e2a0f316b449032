"""A task of somebody else's, in one file: how many particles a jet has, counted on a logarithmic scale."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from hepjax.tasks import Task, register
from hepjax.training import losses


@register("toy-count")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyCount(Task):
    """Predicts the logarithm of the number of particles."""

    offset: float = 1.0
    """Added to the number before its logarithm is taken."""

    def outputs(self, dataset):
        return 1

    def columns(self, dataset):
        return ("log_particles",)

    def read(self, jets, rows):
        mask = np.asarray(jets.mask[rows])
        return np.log(mask.sum(axis=1, keepdims=True) + self.offset).astype(np.float32)

    def mean_loss(self, outputs, targets, weights, statistics):
        return losses.mean_squared_error(outputs, targets, weights)

    def predict(self, outputs, statistics):
        return jnp.maximum(outputs, 0)

    def evaluate(self, predictions):
        squares = (predictions.values.astype(np.float64) - predictions.targets) ** 2
        loss, error = float(squares.mean()), float(squares.std() / np.sqrt(len(squares)))
        return {"loss": loss, "intervals": {"loss": [loss - error, loss + error]}}
