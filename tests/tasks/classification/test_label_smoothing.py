"""Labels are smoothed in training alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.data import datasets
from hepjax.tasks.classification import Classification
from hepjax.training.losses import categorical_cross_entropy
from hepjax.types import Epoch


def test_training_labels_are_smoothed_and_validation_labels_are_not(rng):
    logits, labels, weights = jnp.asarray(rng.normal(size=(9, 5))), jnp.arange(9) % 5, jnp.ones(9)

    def apply(*inputs):
        return inputs

    plain, smooth = (
        Classification(label_smoothing=share).objective(apply, datasets.get("hls4ml"), np.arange(5))
        for share in (0.0, 0.1)
    )
    expected = categorical_cross_entropy(logits, labels, weights)
    for loss in (plain.loss, plain.val_loss, smooth.val_loss):
        np.testing.assert_allclose(loss(logits, labels, weights), expected, rtol=1e-6)
    uniform = -jnp.mean(jax.nn.log_softmax(logits))
    np.testing.assert_allclose(smooth.loss(logits, labels, weights), 0.9 * expected + 0.1 * uniform, rtol=1e-5)


def test_the_verdict_says_so():
    rows = [Epoch(i, 1.0, 0.9, 0.5, 1e-3, 1.0, 1e5) for i in range(1, 7)]
    words = [Classification(label_smoothing=share).verdict(rows, ("a", "b"))["words"] for share in (0.0, 0.1)]
    assert words[1] == f"{words[0]} The training loss is that of smoothed labels."
