"""Detectors: a plane that is learnt, what lies off it, a training that diverges."""

from __future__ import annotations

import numpy as np
import pytest

from hepjax import models
from hepjax.tasks.anomaly import fit, scores
from hepjax.training import losses

BASIS = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]


def background(rng, count, away=0.0, along=0.0):
    """Points of a plane in four dimensions; some lie off it, or far out in it."""
    x = rng.normal((along, 0), size=(count, 2))
    return (np.concatenate([x, np.full((count, 1), away), np.zeros((count, 1))], axis=1) @ BASIS).astype(np.float32)


@pytest.fixture(scope="module")
def learnt():
    rng, lines = np.random.default_rng(1), []
    x, val = background(rng, 512), background(rng, 256)
    model = models.Autoencoder(outputs=4, hidden=(), latent=2)
    detector = fit.fit_autoencoder(model, x, val, epochs=60, learning_rate=0.02, log=lines.append)
    return detector, x, val, lines


def test_what_lies_off_the_plane_comes_back_badly_and_what_lies_far_out_has_a_far_code(learnt):
    detector, x, val, lines = learnt
    assert len(lines) == 60
    assert lines[-1].startswith("epoch 60 of 60, loss ")
    rng = np.random.default_rng(2)
    new, off, out = (background(rng, 300, *place) for place in ((), (2.0,), (0.0, 5.0)))
    usual, strange, far = (fit.anomaly_scores(detector, part, x, val) for part in (new, off, out))
    assert np.min(strange["reconstruction error"]) > 0.3
    assert np.max(usual["reconstruction error"]) < 0.03
    assert np.mean(usual["latent distance"]) == pytest.approx(2, rel=0.2)
    assert np.mean(far["latent distance"]) == pytest.approx(2 + 5.0**2, rel=0.2)
    for result in (strange, far):
        assert np.mean(result["both"]) > np.mean(usual["both"]) + 1
    assert [*usual] == ["reconstruction error", "latent distance", "both"]


def test_scores_are_each_jets_own(learnt):
    detector, x, val, _ = learnt
    part = np.concatenate([x, val])  # more than are asked for at once
    result = fit.anomaly_scores(detector, part, x, val)
    outputs = detector(part[700:703])
    np.testing.assert_allclose(
        result["reconstruction error"][700:703], losses.squared_distance(outputs, part[700:703]) / 4, rtol=1e-5
    )
    codes = scores.fit_codes(detector(x).mean)
    np.testing.assert_allclose(
        result["latent distance"][700:703], scores.latent_distance(codes, outputs.mean), rtol=1e-4
    )


def test_variational_scores_are_a_bound_and_its_part():
    rng = np.random.default_rng(3)
    x = background(rng, 256)
    detector = fit.fit_autoencoder(
        models.VariationalAutoencoder(outputs=4, hidden=(), latent=2), x, x, losses.negative_elbo, epochs=1
    )
    result = fit.anomaly_scores(detector, x, x, x)
    assert result["negative ELBO"].mean() == pytest.approx(float(losses.negative_elbo(detector(x), x)), rel=1e-5)
    np.testing.assert_allclose(result["KL divergence"], losses.kl_divergence(detector(x)), rtol=1e-5)


def test_a_training_that_diverges_leaves_its_last_good_state():
    x, lines = background(np.random.default_rng(4), 256), []
    wrong = x.copy()
    wrong[200] = 1e30
    detector = fit.fit_autoencoder(
        models.Autoencoder(outputs=4, hidden=(), latent=2), wrong, x, epochs=3, log=lines.append
    )
    assert np.isfinite(detector(x).values).all()
    (line,) = lines
    assert "training diverged at step" in line
    assert line.endswith("the last good state is used")
