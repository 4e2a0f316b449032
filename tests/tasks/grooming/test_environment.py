from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepjax import InputError
from hepjax.physics import kinematics
from hepjax.physics.substructure import soft_dropped
from hepjax.tasks.grooming import (
    HIGH,
    LOW,
    RewardConstants,
    greedy,
    groomed,
    grooming,
    make_groomer,
    make_reward,
    observe,
    reset,
    step,
)

WITH_SPLITTING = 6
"""The first six of the eight jets."""
GROOM = jax.jit(jax.vmap(groomed))
SOFT_DROP = jax.jit(jax.vmap(soft_dropped, (0, None, None, None)))


def drops(tree, z_cut, beta):
    return tree.z < z_cut * np.maximum(tree.delta_r, 1e-6) ** beta


def of(tree, i):
    return jax.tree.map(lambda x: x[i], tree)


@jax.jit
def walk_all(trees, dropped):
    """Walks all jets to their end; returns the last state, and each step's place and momentum."""

    def one(tree, dropped):
        def turn(walk, _):
            after = step(tree, walk, dropped[walk.at])
            return after, (walk.at, after.p4)

        return jax.lax.scan(turn, reset(tree), length=tree.z.shape[0])

    return jax.vmap(one)(trees, dropped)


def masses(p4, keep):
    return kinematics.mass(np.where(np.asarray(keep)[..., None], p4, 0).sum(axis=1))


@pytest.mark.parametrize("z_cut,beta", [(0.1, 0.0), (0.1, 1.0), (0.5, 2.0), (0.05, -1.0)])
def test_dropping_what_is_soft_is_recursive_soft_drop(jets, slow, z_cut, beta):
    """Of all depths (arXiv:1804.03657): a slow recursion in float64 leaves the same particles."""
    p4, _, trees, nodes = jets
    keep = np.asarray(GROOM(trees, drops(trees, z_cut, beta)))
    for i, node in enumerate(nodes):
        left = slow.groom(node, lambda branch: branch.z < z_cut * branch.delta_r**beta)
        assert set(np.flatnonzero(keep[i])) == left
        if left:
            assert masses(p4[i : i + 1], keep[i : i + 1])[0] == pytest.approx(kinematics.mass(p4[i][list(left)].sum(0)))
    assert 0 < keep.sum() < jets[1].sum()


@pytest.mark.parametrize("z_cut,beta,r0", [(0.1, 0.0, 1.0), (0.3, 2.0, 0.4), (0.05, -1.0, 1.0), (0.6, 0.0, 1.0)])
def test_soft_drop_stops_at_the_first_splitting_that_is_hard_enough(jets, z_cut, beta, r0):
    _, _, trees, nodes = jets
    keep = np.asarray(GROOM(trees, SOFT_DROP(trees, z_cut, beta, r0)))
    for i, node in enumerate(nodes):
        while node.harder and node.z < z_cut * (node.delta_r / r0) ** beta:
            node = node.harder  # noqa: PLW2901
        assert set(np.flatnonzero(keep[i])) == node.particles
    recursive = soft_dropped(trees, z_cut, beta, r0, recursive=True)
    np.testing.assert_array_equal(recursive, (trees.delta_r > 0) & drops(trees, z_cut / r0**beta, beta))


def test_keeping_all_leaves_the_jet_and_dropping_all_its_hardest_line(jets, slow):
    _, mask, trees, nodes = jets
    np.testing.assert_array_equal(GROOM(trees, np.zeros(mask.shape, bool)), mask)
    lines = np.asarray(GROOM(trees, np.ones(mask.shape, bool)))
    np.testing.assert_array_equal(lines.sum(axis=1), mask.any(axis=1))
    for line, node in zip(lines, nodes, strict=True):
        assert set(np.flatnonzero(line)) == slow.groom(node, lambda branch: True)


@pytest.mark.parametrize("z_cut,beta", [(0.0, 0.0), (0.1, 0.5), (1.0, 0.0)])
def test_the_walk_meets_the_widest_splitting_that_is_left(jets, slow, z_cut, beta):
    _, _, trees, nodes = jets
    dropped = drops(trees, z_cut, beta)
    walk, (places, _) = walk_all(trees, dropped)
    assert (np.asarray(walk.at) == -1).all()
    for i, node in enumerate(nodes):
        met = [trees.delta_r[i, at] for at in places[i] if at >= 0]
        expected = slow.walk(node, lambda branch: branch.z < z_cut * branch.delta_r**beta)
        np.testing.assert_allclose(met, expected, rtol=1e-4)
    np.testing.assert_array_equal(GROOM(trees, walk.dropped), GROOM(trees, dropped))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_the_momentum_of_the_walk_is_the_sum_of_what_is_left(jets, seed):
    p4, mask, trees, _ = jets
    dropped = np.random.default_rng(seed).random(mask.shape) < 0.4
    walk, (places, momenta) = walk_all(trees, dropped)
    keep = GROOM(trees, dropped)
    np.testing.assert_allclose(kinematics.mass(walk.p4), masses(p4, keep), rtol=1e-3, atol=0.5)
    # The transverse momentum of each jet, and the momentum in between: what is decided so far, the rest kept.
    np.testing.assert_allclose(
        kinematics.pt(walk.p4), kinematics.pt(np.einsum("nm,nmc->nc", keep, p4)), rtol=1e-4, atol=1e-3
    )
    so_far = np.zeros(mask.shape, bool)
    so_far[0, places[0, :3]] = dropped[0, places[0, :3]]
    half = GROOM(trees, so_far)[:1]
    assert kinematics.mass(momenta[0, 2]) == pytest.approx(masses(p4[:1], half)[0], rel=1e-3, abs=0.5)


def test_a_batch_is_as_one_by_one(jets):
    _, _, trees, _ = jets
    dropped = drops(trees, 0.2, 1.0)
    many = GROOM(trees, dropped)
    one = jax.jit(groomed)
    for i in range(len(many)):
        np.testing.assert_array_equal(one(of(trees, i), dropped[i]), many[i])


def test_a_jet_without_splitting_is_left_alone(jets):
    _, mask, trees, _ = jets
    for i in range(WITH_SPLITTING, 8):
        tree = of(trees, i)
        walk = reset(tree)
        assert int(walk.at) == -1
        after = jax.jit(step)(tree, walk, jnp.array(True))
        jax.tree.map(np.testing.assert_array_equal, after, walk)
        np.testing.assert_array_equal(groomed(tree, np.ones(12, bool)), mask[i])


def test_only_jets_without_splitting_are_refused(jets):
    alone = jax.tree.map(lambda x: x[WITH_SPLITTING:], jets[2])
    groom = make_groomer(lambda x: jnp.zeros((len(x), 2)))
    for make in (lambda: groom(alone), lambda: grooming(alone, make_reward())):
        with pytest.raises(InputError, match=r"expected a jet with a splitting, found 2 jets of at most one particle"):
            make()


def test_signal_must_fit_the_trees(jets):
    with pytest.raises(InputError, match=r"one bool for each of 8 trees, found bool \(3,\)"):
        grooming(jets[2], make_reward(), np.ones(3, bool))


def test_the_groomer_takes_the_higher_value(jets):
    _, mask, trees, _ = jets

    def value(x):  # drops below z = e^-3
        ln_z = (x[:, 0] + 1) / 2 * (HIGH[0] - LOW[0]) + LOW[0]
        return jnp.stack([ln_z, jnp.full_like(ln_z, -3)], axis=1)

    keep = make_groomer(value)(trees)
    np.testing.assert_array_equal(keep, GROOM(trees, trees.z < np.exp(-3)))
    assert 0 < np.sum(keep) < mask.sum()
    assert np.asarray(greedy(value, trees)).shape == mask.shape


def test_observations_are_scaled_and_bounded(jets):
    trees = jets[2]
    observed = np.asarray(observe(trees), np.float64)
    assert np.abs(observed).max() <= 1
    raw = np.stack(
        [np.log(trees.z[0, :11]), np.log(trees.delta_r[0, :11]), trees.psi[0, :11], np.log(trees.mass[0, :11])]
    )
    expected = [2 * (x - low) / (high - low) - 1 for x, low, high in zip(raw, LOW, HIGH, strict=False)]
    np.testing.assert_allclose(observed[0, :11, :4].T, np.clip(expected, -1, 1), atol=1e-5)
    np.testing.assert_allclose(observed[-1], np.broadcast_to([-1, -1, 0, -1, -1], (12, 5)), atol=1e-6)


def test_the_environment_deals_out_jets_as_asked_and_rewards_each_step(jets):
    _, _, trees, _ = jets
    signal = np.array([True, False, True, False, False, False, True, False])
    environment = grooming(trees, lambda m, z, r, dropped, signal: m + 1000 * dropped + 10_000 * signal, signal, 0.25)
    (jet, _), _ = jax.jit(jax.vmap(environment.reset))(jax.random.split(jax.random.key(0), 4000))
    share = np.bincount(jet, minlength=8) / 4000
    np.testing.assert_allclose(share, [0.375, 0.0625, 0.375, 0.0625, 0.0625, 0.0625, 0, 0], atol=0.03)
    state, observed = environment.reset(jax.random.key(1))
    jet, start = int(state[0]), state[1]
    np.testing.assert_array_equal(observed, observe(trees)[jet, start.at])
    after = jax.jit(environment.step)(state, jnp.array(1))
    expected = jax.jit(step)(of(trees, jet), start, jnp.array(True))
    jax.tree.map(np.testing.assert_array_equal, after.state[1], expected)
    assert float(after.reward) == pytest.approx(float(kinematics.mass(expected.p4)) + 1000 + 10_000 * signal[jet])


def test_the_end_gives_no_reward_again(jets):
    environment = grooming(of(jets[2], slice(5, 6)), make_reward())
    state, _ = environment.reset(jax.random.key(0))
    advance = jax.jit(environment.step)
    first = advance(state, jnp.array(0))
    assert bool(first.done)
    assert float(first.reward) > 0
    again = advance(first.state, jnp.array(1))
    assert bool(again.done)
    assert float(again.reward) == 0


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("signal", [True, False])
def test_the_reward_is_the_published_one(rng, dropped, signal):
    m, z, r = rng.uniform(1, 160, 50), rng.uniform(1e-4, 0.5, 50), rng.uniform(1e-3, 0.9, 50)
    flags = (np.full(50, dropped), np.full(50, signal))
    result = make_reward()(*(jnp.asarray(x, jnp.float32) for x in (m, z, r)), *flags)
    # Constants as exponents and ln z of reference, as their authors keep them.
    if dropped:
        decision = np.minimum(1, np.exp(0.5923 * np.log(r) + 0.1811 * (-0.9164 - np.log(z))))
    else:
        decision = np.maximum(0, 1 - np.exp(0.6501 * np.log(r) + 0.3292 * (-3.5272 - np.log(z))))
    near = 1 / (np.pi * (1 + ((m - 80.385) / 2) ** 2))
    small = m / 8 * np.exp(-m / 8)
    expected = near + 0.15335 * decision if signal else 1.80378 * (small + 0.15335 * decision)
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-5)


def test_the_reward_of_background_can_do_without_its_mass():
    reward = make_reward(RewardConstants(background_width=np.inf, background_weight=1.0, share=1.0))
    one = jnp.ones(())
    assert float(reward(50 * one, 0.001 * one, 0.9 * one, one > 0, one < 0)) == 1
