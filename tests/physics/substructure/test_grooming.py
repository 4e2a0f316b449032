from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.physics.substructure import Algorithm, cluster, prune, soft_drop, trim

pytestmark = pytest.mark.usefixtures("_x64")
SETTINGS = ((0.1, 0.0, 0.4), (0.1, 2.0, 1.0), (0.1, -1.0, 1.0), (0.1, 2.0, 0.4), (0.3, 1.0, 0.4))
"""z_cut, β, R0."""


def slow_soft_drop(fastjet, jet, z_cut, beta, r0):
    """Walks FastJet's own tree."""
    one, two = fastjet.module.PseudoJet(), fastjet.module.PseudoJet()
    while jet.has_parents(one, two):
        z = min(one.pt(), two.pt()) / (one.pt() + two.pt())
        if z > z_cut * (one.delta_R(two) / r0) ** beta:
            break
        jet = fastjet.module.PseudoJet(one if one.pt() > two.pt() else two)
    return fastjet.members(jet)


def chosen(mask):
    return frozenset(np.flatnonzero(np.asarray(mask)).tolist())


def test_soft_drop_equals_the_slow_walk(rng, make_jet, fastjet):
    @jax.jit
    def groom(p4):
        history = cluster(p4, jnp.ones(len(p4), bool), Algorithm.CAMBRIDGE_AACHEN)
        return [soft_drop(history, z_cut, beta, r0) for z_cut, beta, r0 in SETTINGS]

    sizes = set()
    for _ in range(8):
        p4 = make_jet(rng)
        sequence = fastjet.cluster(p4, Algorithm.CAMBRIDGE_AACHEN)
        whole = sequence.inclusive_jets()[0]
        for result, (z_cut, beta, r0) in zip(groom(p4), SETTINGS, strict=True):
            assert chosen(result) == slow_soft_drop(fastjet, whole, z_cut, beta, r0)
            sizes.add(len(chosen(result)))
    assert len(sizes) > 5  # the walk stops at many depths


def test_trimming_equals_fastjet(rng, make_jet, fastjet):
    groom = jax.jit(trim)
    definition = fastjet.module.JetDefinition(fastjet.module.kt_algorithm, 0.2)
    trimmer = fastjet.module.Filter(definition, fastjet.module.SelectorPtFractionMin(0.03))
    removed = 0
    for _ in range(8):
        p4 = make_jet(rng, width=0.25)
        sequence = fastjet.cluster(p4, Algorithm.ANTI_KT)
        expected = fastjet.members(trimmer(sequence.inclusive_jets()[0]))
        assert chosen(groom(p4, np.ones(30, bool))) == expected
        removed += 30 - len(expected)
    assert removed > 0


def test_pruning_equals_fastjet(rng, make_jet, fastjet):
    groom = jax.jit(prune)
    pruner = fastjet.module.Pruner(fastjet.module.cambridge_algorithm, 0.1, 0.5)
    removed = 0
    for _ in range(8):
        p4 = make_jet(rng)
        sequence = fastjet.cluster(p4, Algorithm.ANTI_KT)
        expected = fastjet.members(pruner(sequence.inclusive_jets()[0]))
        assert chosen(groom(p4, np.ones(30, bool))) == expected
        removed += 30 - len(expected)
    assert removed > 0


def test_one_particle_survives_everything():
    @jax.jit
    def groom(p4, mask):
        history = cluster(p4, mask, Algorithm.CAMBRIDGE_AACHEN)
        return soft_drop(history, 0.1, -1.0), trim(p4, mask), prune(p4, mask)

    p4, mask = jnp.array([[0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 1.0, 4.0]]), jnp.array([False, True])
    for result in groom(p4, mask):
        assert chosen(result) == {1}
