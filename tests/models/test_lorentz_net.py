"""LorentzNet keeps to the symmetries of its inputs, in both forms of its loop over pairs."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.data.datasets import hls4ml
from hepjax.errors import InputError
from hepjax.inputs import pipelines
from hepjax.models.layers import pairs
from hepjax.models.lorentz_net import LorentzBlock

from .boosted_jets import COUNTS, inputs_of, momenta_of_jets, transformation

JETS = len(COUNTS)


@functools.cache
def ready(beams):
    """A network whose coordinates move enough to matter, its parameters, and its compiled answer."""
    model = models.LorentzNet(width=8, layers=3, beams=beams, step=0.5, outputs=3)
    params, state = models.initialize(model, jax.random.key(1), inputs_of(*momenta_of_jets(np.random.default_rng(0))))
    for block in ("block_0", "block_1"):
        params[block]["pull_out"] = 100 * params[block]["pull_out"]
    answer = jax.jit(lambda inputs: model.apply({"params": params, **state}, inputs))
    return model, params, state, answer


@pytest.mark.parametrize("beams", [False, True])
def test_answers_are_invariant(beams, rng):
    """Without beams under all boosts and rotations, with beams under rotations about them."""
    answer, (p4, mask) = ready(beams)[3], momenta_of_jets(rng)
    plain = np.asarray(answer(inputs_of(p4, mask)))
    for _ in range(3):
        turned = np.asarray(answer(inputs_of(p4 @ transformation(rng, about_beam=beams).T, mask)))
        np.testing.assert_allclose(turned, plain, atol=1e-4 * np.abs(plain).max())
    if beams:
        turned = np.asarray(answer(inputs_of(p4 @ transformation(rng).T, mask)))
        assert np.abs(turned - plain).max() > 1e-2 * np.abs(plain).max()


def test_coordinates_matter(rng):
    """The invariance is not that of a network whose coordinates stay where they are."""
    model, params, state, answer = ready(False)
    inputs = inputs_of(*momenta_of_jets(rng))
    resting = jax.jit(model.clone(step=1e-9).apply)({"params": params, **state}, inputs)
    assert np.abs(resting - answer(inputs)).max() > 1e-3


def test_one_receiver_after_another_gives_what_all_at_once_give(rng, monkeypatch):
    """In training too, where batch statistics are those of pairs."""
    p4, mask = momenta_of_jets(rng)
    block, counted = LorentzBlock(4, 0.5), mask & (np.arange(JETS) != 1)[:, None]
    given = rng.normal(size=(*mask.shape, 4)).astype(np.float32), np.moveaxis(p4, -1, 0).astype(np.float32)
    fixed = np.zeros((*mask.shape, 0), np.float32), mask, counted
    variables = dict(jax.jit(block.init, static_argnums=6)(jax.random.key(0), *given, *fixed, True))
    params = variables.pop("params")
    params["pull_out"] = 100 * params["pull_out"]

    def train(params, given):
        outputs, changed = block.apply({"params": params, **variables}, *given, *fixed, True, mutable=list(variables))
        return sum(jnp.sin(x).sum() for x in outputs), changed

    found = []
    for most in (pairs._DENSE_PAIRS, 1):
        monkeypatch.setattr(pairs, "_DENSE_PAIRS", most)
        found.append(jax.jit(jax.value_and_grad(lambda *x: train(*x), (0, 1), has_aux=True))(params, given))  # noqa: PLW0108
    chex.assert_trees_all_close(*found, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_where_particles_coincide(rng):
    model, params, state, _ = ready(True)
    p4, mask = momenta_of_jets(rng)
    p4[:, 1] = p4[:, 0]
    p4[1, :, 3] = np.linalg.norm(p4[1, :, :3], axis=-1)
    inputs = inputs_of(np.where(mask[..., None], p4, np.nan), mask)

    def total(params, momenta):
        return jnp.sin(model.apply({"params": params, **state}, inputs._replace(momenta=momenta))).sum()

    slopes = jax.jit(jax.grad(total, (0, 1)))(params, inputs.momenta)
    chex.assert_tree_all_finite(slopes)
    assert (np.asarray(slopes[1]) != 0).any(-1)[mask].all()
    assert not np.asarray(slopes[1])[~mask].any()


def test_published_size():
    """The authors' 0.2 million parameters, as many as their released weights have."""
    inputs = inputs_of(*momenta_of_jets(np.random.default_rng(0)))
    shapes = jax.eval_shape(lambda: models.initialize(models.LorentzNet(outputs=2), jax.random.key(0), inputs)[0])
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 224_072


def test_it_looks_at_momenta_alone_by_default():
    pipeline = pipelines.make_pipeline(models.LorentzNet(), 5, hls4ml.HLS4ML)
    assert pipeline.network.columns == ()
    assert pipeline.columns == ("j1_px", "j1_py", "j1_pz", "j1_e")


def test_something_must_be_seen():
    with pytest.raises(InputError, match="--no-masses: expected --columns to learn from instead"):
        models.check_model(models.LorentzNet(masses=False))
    models.check_model(models.LorentzNet(masses=False, columns=("charge",)))
