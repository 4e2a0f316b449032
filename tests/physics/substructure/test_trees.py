from __future__ import annotations

import jax
import numpy as np
import pytest

from hepjax import InputError
from hepjax.physics import kinematics
from hepjax.physics.substructure import Algorithm, cluster, jet_tree, jet_trees


def members(tree):
    """The particles of the harder and of the softer branch of each splitting, followed from branch to branch."""
    result = {}

    def of(splitting, particle):
        return frozenset([particle]) if splitting < 0 else result[splitting][0] | result[splitting][1]

    for s in range(int(tree.first) + 1):
        result[s] = tuple(of(*pair) for pair in zip(tree.branches[s].tolist(), tree.particles[s].tolist(), strict=True))
    return result


def slow_tree(fastjet, jet):
    """(harder, softer) → ΔR, z, ψ, m and kT of all splittings, from FastJet's own tree."""
    one, two = fastjet.module.PseudoJet(), fastjet.module.PseudoJet()
    if not jet.has_parents(one, two):
        return {}
    if two.pt() > one.pt():
        one, two = two, one
    delta, d_phi = one.delta_R(two), one.delta_phi_to(two)
    key = fastjet.members(one), fastjet.members(two)
    z = two.pt() / (one.pt() + two.pt())
    numbers = (delta, z, np.arctan((two.rap() - one.rap()) / d_phi), jet.m(), two.pt() * delta)
    softer = [two.px(), two.py(), two.pz(), two.e()]
    halves = [fastjet.module.PseudoJet(x) for x in (one, two)]
    return {key: (numbers, softer)} | slow_tree(fastjet, halves[0]) | slow_tree(fastjet, halves[1])


@pytest.mark.usefixtures("_x64")
def test_the_tree_is_that_of_fastjet(rng, make_jet, fastjet):
    grow = jax.jit(lambda p4, mask: jet_tree(cluster(p4, mask, Algorithm.CAMBRIDGE_AACHEN), p4, mask))
    for particles in (30, 30, 17, 2):
        p4 = np.zeros((30, 4))
        p4[:particles] = make_jet(rng, particles=particles)
        tree = jax.tree.map(np.asarray, grow(p4, np.arange(30) < particles))
        sequence = fastjet.cluster(p4[:particles], Algorithm.CAMBRIDGE_AACHEN)
        expected = slow_tree(fastjet, sequence.inclusive_jets()[0])
        result = members(tree)
        assert set(result.values()) == set(expected)
        assert len(result) == particles - 1
        for s, key in result.items():
            numbers, softer = expected[key]
            got = (tree.delta_r[s], tree.z[s], tree.psi[s], tree.mass[s], tree.kt[s])
            np.testing.assert_allclose(got, numbers, rtol=1e-6)
            np.testing.assert_allclose(tree.softer[s], softer, rtol=1e-9)
        np.testing.assert_allclose(tree.jet, p4.sum(axis=0), rtol=1e-12)
        padding = slice(particles - 1, None)
        assert (tree.branches[padding] == -1).all()
        assert (tree.particles[padding] == -1).all()
        for field in ("delta_r", "z", "psi", "mass", "kt", "softer"):
            assert not getattr(tree, field)[padding].any()


def test_many_jets_are_as_one_by_one_whatever_the_order_of_their_particles(rng, make_jet):
    p4 = np.stack([make_jet(rng, particles=12) for _ in range(5)])
    mask = np.arange(12) < np.array([12, 7, 2, 1, 0])[:, None]
    p4[~mask] = np.nan
    trees = jet_trees(p4, mask)
    order = rng.permutation(12)
    others = jet_trees(p4[:, order], mask[:, order])
    np.testing.assert_array_equal(trees.first, [10, 5, 0, -1, -1])
    np.testing.assert_array_equal(others.mask, mask[:, order])
    whole = kinematics.mass(np.where(mask[..., None], p4, 0).sum(axis=1))
    np.testing.assert_allclose(kinematics.mass(trees.jet), whole, rtol=1e-5, atol=0.3)
    for i in range(5):
        tree, other = (jax.tree.map(lambda x, i=i: x[i], subset) for subset in (trees, others))
        assert list(members(tree).values()) == [
            tuple(frozenset(order[list(part)].tolist()) for part in parts) for parts in members(other).values()
        ]
        for field in ("delta_r", "z", "psi", "mass", "kt"):
            np.testing.assert_allclose(getattr(tree, field), getattr(other, field), rtol=1e-5, atol=1e-6)
        alone = jet_trees(p4[i : i + 1], mask[i : i + 1])
        jax.tree.map(lambda one, many: np.testing.assert_array_equal(one[0], many), alone, tree)
        for s, (_, softer) in members(tree).items():
            expected = p4[i, list(softer)].sum(axis=0)
            assert tree.kt[s] == pytest.approx(kinematics.pt(expected) * tree.delta_r[s], rel=1e-5)
            assert kinematics.mass(tree.softer[s].astype(float)) == pytest.approx(kinematics.mass(expected), abs=0.5)


def test_no_jets_have_no_trees():
    trees = jet_trees(np.zeros((0, 12, 4)), np.zeros((0, 12), bool))
    assert trees.branches.shape == (0, 12, 2)


def test_momenta_that_are_no_numbers_are_refused():
    p4 = np.full((2, 3, 4), np.nan)
    with pytest.raises(InputError, match="2 of 2 jets have a NaN"):
        jet_trees(p4, np.ones((2, 3), bool))
