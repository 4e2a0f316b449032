"""New clouds: as many particles as asked for, the totals that they shall have, the baseline, explosions."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from hepjax import InputError, read_jets
from hepjax.inputs import sequences, tabular
from hepjax.tasks import generation
from hepjax.types import Scaling

PLAIN = generation.CloudScaling(
    Scaling(np.tile([0, 0, -4], (5, 1)).astype(np.float32), np.tile([0.1, 0.1, 1], (5, 1)).astype(np.float32)),
    Scaling(np.array([3, 7], np.float32), np.array([1, 0.1], np.float32)),
    Scaling(np.array([4, 2], np.float32), np.array([1, 1], np.float32)),
)
"""Of jets near 55 GeV that keep 1.02 - exp(-2) = 0.88 of their pT."""


@pytest.fixture(scope="module")
def clouds():
    jets = read_jets()
    particles = sequences(jets, generation.CLOUD_COLUMNS)
    pt = tabular(jets, ["j_pt"])[:, 0]
    return generation.make_clouds(particles, pt, jets.labels, jets.classes, ("g", "q", "t"))


def to(goal):
    """A network whose flow carries any noise to `goal`, its parameters."""

    def network(params, inputs):
        values = getattr(inputs.values, "values", inputs.values)
        left = jnp.maximum(1 - inputs.condition[:, 0], 1e-3).reshape(-1, *(1,) * (values.ndim - 1))
        return (params[goal] - values) / left

    return network


def still(params, inputs):
    """A flow that leaves the noise as it is."""
    return 0 * getattr(inputs.values, "values", inputs.values)


def test_jets_are_made_as_asked(rng, small_clouds):
    like = small_clouds(rng)
    generate = generation.make_generator(to("totals"), to("particles"), PLAIN, 2, steps=30, block=16)
    particles = np.array([[1.5, -1.0, 1.0], [0.5, 0.0, 0.9], [0.5, -1.0, 0.8], [0.5, -1.0, 0.7], [0.5, -1.0, 0.6]])
    goals = {"totals": jnp.array([0.1, -0.2]), "particles": jnp.array(particles)}
    made = generate((goals, goals), like, 7)
    np.testing.assert_array_equal(made.mask, like.mask)
    np.testing.assert_array_equal(made.pt, like.pt)
    np.testing.assert_array_equal(made.labels, like.labels)
    assert (made.values[~made.mask] == 0).all()
    assert (np.diff(made.values[..., 2], axis=1) <= 0).all()
    result, many = generation.cloud_observables(made), made.mask.sum(axis=1) > 1
    np.testing.assert_allclose(result["share"], 1.02 - np.exp(-1.8), rtol=1e-3)
    np.testing.assert_allclose(result["j_mass"][many], np.exp(4.1), rtol=2e-3)
    assert (result["j_mass"][~many] < 1e-3).all()
    # Particles lie where they were carried to, but for a factor common to all.
    angles = made.values[made.mask.all(axis=1), :, :2]
    np.testing.assert_allclose(angles / angles[:, :1, :1], [particles[:, :2] / 1.5] * len(angles), atol=0.02)


def test_jets_depend_on_the_seed_and_every_block_has_noise_of_its_own(rng, small_clouds):
    like = small_clouds(rng, 8)._replace(mask=np.ones((8, 5), bool))
    generate = generation.make_generator(still, still, PLAIN, 2, steps=1, block=3)
    first, again, other = (generate(({}, {}), like, seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, other])[..., 0].round(7))) == 80


def test_the_numbers_of_like_jets_are_not_looked_at(rng, small_clouds):
    like = small_clouds(rng, 8)
    generate = generation.make_generator(still, still, PLAIN, 2, steps=1, block=8)
    bare = like._replace(values=np.zeros_like(like.values))
    np.testing.assert_array_equal(generate(({}, {}), like, 1).values, generate(({}, {}), bare, 1).values)


def test_stretching_gives_mass_and_share_and_keeps_shapes(clouds):
    part = clouds.take(clouds.mask.sum(axis=1) > 1).take(slice(0, 300))
    before = generation.cloud_observables(part)
    made = generation.stretch(part, 1.3 * before["j_mass"], 0.9 * before["share"])
    after = generation.cloud_observables(made)
    np.testing.assert_allclose(after["share"], 0.9 * before["share"], rtol=1e-9)
    np.testing.assert_allclose(after["j_mass"], 1.3 * before["j_mass"], rtol=1e-6)
    ratio = (made.values / np.where(part.values == 0, 1, part.values))[part.mask & (part.values != 0).all(axis=2)]
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-9)
    np.testing.assert_allclose(ratio[:, 2], 0.9, rtol=1e-9)


def test_independent_particles_have_the_spectra_and_nothing_else(clouds):
    like = clouds.take(np.random.default_rng(1).permutation(len(clouds.pt)))
    made = generation.independent_particles(clouds, like, seed=4)
    np.testing.assert_array_equal(made.mask, like.mask)
    assert (made.values[~made.mask] == 0).all()
    for kind in range(3):
        both, one = (x.take(x.labels == kind).values for x in (clouds, made))
        real, samples = both[:, 0], one[:, 0]
        np.testing.assert_allclose(
            np.quantile(samples, [0.2, 0.5, 0.8], 0), np.quantile(real, [0.2, 0.5, 0.8], 0), atol=0.02
        )
        # In truth they balance each other.
        centers = [np.std((x[..., 0] * x[..., 2]).sum(axis=1)) for x in (both, one)]
        assert centers[1] > 2 * centers[0]
    masses = [generation.cloud_observables(x)["j_mass"] for x in (clouds, made)]
    top = [np.mean(np.abs(m[x.labels == 2] - 160) < 15) for m, x in zip(masses, (clouds, made), strict=True)]
    assert top[1] < 0.8 * top[0]


@pytest.mark.parametrize("which", [0, 1])
def test_explosion_is_told(which, rng, small_clouds):
    like = small_clouds(rng, 8)

    def bad(params, inputs):
        return still(params, inputs) + params

    generate = generation.make_generator(bad, bad, PLAIN, 2, steps=1, block=8)
    params = [jnp.zeros(()), jnp.zeros(())]
    params[which] = jnp.array(jnp.inf)
    with pytest.raises(
        InputError, match=r"^generation exploded: 8 of 8 jets are not finite; take more steps, or train"
    ):
        generate(tuple(params), like, 0)


def test_other_bad_input_is_named():
    with pytest.raises(InputError, match="steps, block: expected 1 or more, found 0"):
        generation.make_generator(still, still, PLAIN, 2, steps=0)
