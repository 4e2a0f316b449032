"""L-GATr-slim keeps to the symmetries of its inputs."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import models
from hepjax.errors import InputError

from .boosted_jets import inputs_of, momenta_of_jets, transformation


@functools.cache
def ready(**options):
    """A small network, its parameters, larger than they begin, and its compiled answer."""
    model = models.LGATrSlim(layers=2, vectors=4, scalars=8, heads=2, outputs=3, **options)
    example = inputs_of(*momenta_of_jets(np.random.default_rng(0)))
    params, _ = jax.tree.map(lambda x: 2 * x, models.initialize(model, jax.random.key(1), example))
    return params, jax.jit(lambda inputs: model.apply({"params": params}, inputs))


@pytest.mark.parametrize("spurions", [False, True])
def test_answers_are_invariant(spurions, rng):
    """Without spurions under all boosts and rotations, with spurions under rotations about the beams."""
    answer, (p4, mask) = ready(spurions=spurions)[1], momenta_of_jets(rng)
    plain = np.asarray(answer(inputs_of(p4, mask)))
    for _ in range(3):
        turned = np.asarray(answer(inputs_of(p4 @ transformation(rng, about_beam=spurions).T, mask)))
        np.testing.assert_allclose(turned, plain, atol=1e-4 * np.abs(plain).max())
    if spurions:
        turned = np.asarray(answer(inputs_of(p4 @ transformation(rng).T, mask)))
        assert np.abs(turned - plain).max() > 1e-2 * np.abs(plain).max()


def test_light_particles_get_a_mass(rng):
    p4, mask = momenta_of_jets(rng)
    p4[..., 3] = np.linalg.norm(p4[..., :3], axis=-1)
    massive = p4.copy()
    massive[..., 3] = np.where(mask, np.sqrt(p4[..., 3] ** 2 + 1), 0)
    one, other, light = (ready(mass=m)[1](inputs_of(given, mask)) for m, given in ((1, p4), (1, massive), (0, p4)))
    np.testing.assert_allclose(one, other, atol=2e-4)
    assert np.abs(one - light).max() > 1e-2


def test_gradients_are_finite_where_particles_coincide(rng):
    p4, mask = momenta_of_jets(rng)
    p4[:, 1] = p4[:, 0]
    p4[1, :, 3] = np.linalg.norm(p4[1, :, :3], axis=-1)
    answer, inputs = ready(mass=0.0)[1], inputs_of(np.where(mask[..., None], p4, np.nan), mask)
    slopes = jax.grad(lambda momenta: jnp.sin(answer(inputs._replace(momenta=momenta))).sum())(inputs.momenta)
    chex.assert_tree_all_finite(slopes)
    assert (np.asarray(slopes) != 0).any(-1)[mask].all()
    assert not np.asarray(slopes)[~mask].any()


def test_published_size():
    """The authors' 2 million parameters."""
    inputs = inputs_of(*momenta_of_jets(np.random.default_rng(0)))
    shapes = jax.eval_shape(lambda: models.initialize(models.LGATrSlim(outputs=2), jax.random.key(0), inputs)[0])
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    block = (
        32 * 96 + 32 * 32 + 32 * 384 + 128 * 32 + (96 * 288 + 288) + (96 * 96 + 96) + (96 * 768 + 768) + 384 * 96 + 96
    )
    assert count == 12 * block + 32 + 2 * 96 + (96 * 2 + 2) == 2_030_626


def test_heads_divide_vectors_and_scalars():
    for option in ("vectors", "scalars"):
        with pytest.raises(InputError, match=f"--heads: expected a divisor of --{option}, 12, found 8"):
            models.check_model(models.LGATrSlim(**{option: 12}))
