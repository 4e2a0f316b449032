"""The MLP-Mixer against dense layers in NumPy."""

from __future__ import annotations

import jax
import numpy as np

from hepjax import models
from hepjax.choices import Norm
from hepjax.types import Sequences


def test_by_hand(rng):
    model = models.Mixer(width=4, hidden=(5,), norm=Norm.NONE, outputs=3)
    mask = np.arange(6) < np.array([6, 3, 0])[:, None]
    values = rng.normal(size=(3, 6, 2)).astype(np.float32)
    shapes = jax.eval_shape(lambda: models.initialize(model, jax.random.key(0), Sequences(values, mask))[0])
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)

    def dense(y, i):
        return y @ params[f"Dense_{i}"]["kernel"] + params[f"Dense_{i}"]["bias"]

    x = np.where(mask[..., None], values, 0)
    y = np.maximum(dense(np.maximum(dense(x, 0), 0), 1), 0)
    y = x + dense(y.transpose(0, 2, 1), 2).transpose(0, 2, 1)
    y = np.maximum(dense(np.maximum(dense(y, 3), 0), 4), 0)
    y = np.maximum(dense((y * params["sum"]).sum(1), 5), 0)
    expected = np.where(mask.any(1)[:, None], dense(y, 6), 0)
    np.testing.assert_allclose(model.apply({"params": params}, Sequences(values, mask)), expected, rtol=1e-4, atol=1e-4)


def test_size_of_the_published_network():
    """Of 64 particles and 16 features: dense layers with scale and shift of batch norms."""
    example = Sequences(np.zeros((1, 64, 16), np.float32), np.ones((1, 64), bool))
    shapes = jax.eval_shape(lambda: models.initialize(models.Mixer(outputs=5), jax.random.key(0), example)[0])
    of_features, of_particles, summed = 7 * (16 * 16 + 2 * 16), 64 * 64 + 2 * 64, 64
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == of_features + of_particles + summed + (16 * 5 + 5)
