"""What clouds are measured with, and trainings that diverge; `generate_particles` trains a generator in its test."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import evaluation
from hepjax.tasks import generation
from hepjax.tasks.generation import fit_clouds
from hepjax.types import Batch, Sequences

CLASSES = ("q", "t")


def draw(count, rng, spread=0.1):
    """Clouds of 2 to 5 particles, wider in the second class."""
    labels = np.arange(count) % 2
    mask = np.arange(5) < rng.integers(2, 6, (count, 1))
    share = -np.sort(-rng.dirichlet(np.full(5, 4.0), count), axis=1)
    angles = rng.normal(0, spread, (count, 5, 2)) * (1 + labels[:, None, None])
    values = np.where(mask[..., None], np.concatenate([angles, share[..., None]], axis=-1), 0)
    return generation.Clouds(values, mask, rng.uniform(900, 1100, count), labels)


def test_a_classifier_tells_narrower_jets_and_not_the_same(rng):
    short = fit_clouds.Fitting(4, 5e-3)
    samples = [draw(1200, rng, spread) for spread in (0.1, 0.1, 0.06)]
    truth, same, other = (Sequences((10 * x.values).astype(np.float32), x.mask) for x in samples)
    chance = fit_clouds.cloud_two_sample_auc(same, truth, short)
    assert abs(chance.distance - 0.5) < 4 * chance.uncertainty < 0.12
    assert fit_clouds.cloud_two_sample_auc(other, truth, short).distance > 0.7


def test_distances_are_those_of_each_class_and_of_all(rng, monkeypatch):
    truth, other, wide = draw(600, rng), draw(400, rng), draw(400, rng, 0.15)
    result = fit_clouds.cloud_distances({"same": other, "wide": wide}, truth, other, CLASSES)
    assert list(result) == ["all", "q", "t"]
    assert list(result["all"]) == ["j_mass", "j_pt", "j_multiplicity", *generation.CLOUD_COLUMNS]
    mass = [generation.cloud_observables(x.take(x.labels == 1))["j_mass"] for x in (wide, truth)]
    assert result["t"]["j_mass"]["wide"].generated.distance == pytest.approx(evaluation.wasserstein(*mass))
    assert result["all"]["j_mass"]["wide"].ratio > 3
    assert result["all"]["j1_etarel"]["wide"].ratio > 3
    assert result["all"]["j_mass"]["same"].ratio < 2
    monkeypatch.setattr(fit_clouds, "MOST", 50)
    fewer = fit_clouds.cloud_distances({"wide": wide}, truth, other, CLASSES)
    assert fewer["q"]["j_mass"] == {"wide": result["q"]["j_mass"]["wide"]}
    assert fewer["q"]["j1_etarel"]["wide"].floor.distance > 2 * result["q"]["j1_etarel"]["wide"].floor.distance


def test_a_training_that_diverges_keeps_the_last_good_state():
    messages = []
    data = Batch(np.ones((8, 1), np.float32), np.zeros((8, 1), np.float32), np.ones(8, np.float32))

    def apply(params, model_state, inputs, mask, key):
        return params["w"] * inputs[:, 0], model_state

    def loss(outputs, targets, weights):
        return jnp.mean(outputs**2)

    fitting = fit_clouds.Fitting(3, 1e30, 8, log=messages.append)
    state = fit_clouds._fit_with_warmup("particles", apply, ({"w": jnp.ones(())}, {}), loss, (data, data), fitting)
    assert np.isfinite(state.params["w"])
    assert len(messages) == 1
    assert messages[0].startswith("particles: training diverged")
    assert messages[0].endswith("; the last good state is kept")
