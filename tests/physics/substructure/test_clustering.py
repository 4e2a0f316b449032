from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.physics import kinematics
from hepjax.physics.substructure import Algorithm, cluster, exclusive_slots, subjets, winner_take_all

pytestmark = pytest.mark.usefixtures("_x64")


def groups(labels):
    labels = np.asarray(labels)
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist()) - {-1}}


@pytest.fixture(scope="module")
def compiled():
    """Few compilations: the algorithm and the radius are traced."""
    plain = jax.jit(cluster)
    winner = jax.jit(lambda p4, mask, algorithm: cluster(p4, mask, algorithm, recombine=winner_take_all))
    return plain, winner


def padded(p4, slots=40):
    full, mask = np.zeros((slots, 4)), np.zeros(slots, bool)
    # Holes in the mask, and rubbish in the padding.
    rows = np.sort(np.random.default_rng(1).permutation(slots)[: len(p4)])
    full[:] = 7.0
    full[rows], mask[rows] = p4, True
    return jnp.asarray(full), jnp.asarray(mask), rows


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("radius", [0.1, 0.4, np.inf])
def test_inclusive_jets_equal_fastjet(rng, make_jet, fastjet, compiled, algorithm, radius):
    for _ in range(4):
        p4 = make_jet(rng)
        full, mask, rows = padded(p4)
        history = compiled[0](full, mask, algorithm, radius)
        sequence = fastjet.cluster(p4, algorithm, min(radius, 1000.0))
        expected = {frozenset(rows[list(fastjet.members(j))].tolist()) for j in sequence.inclusive_jets()}
        assert groups(subjets(history)) == expected
        assert int(history.steps) == len(p4)


@pytest.mark.parametrize("algorithm", [Algorithm.KT, Algorithm.CAMBRIDGE_AACHEN])
def test_distances_and_exclusive_subjets_equal_fastjet(rng, make_jet, fastjet, compiled, algorithm):
    for _ in range(4):
        p4 = make_jet(rng)
        full, mask, rows = padded(p4)
        history = compiled[0](full, mask, algorithm, np.inf)
        sequence = fastjet.cluster(p4, algorithm)
        # FastJet divides by R² = 1e6.
        expected = [sequence.exclusive_dmerge(number) * 1e6 for number in range(29, 0, -1)]
        np.testing.assert_allclose(history.distance[:29], expected, rtol=1e-6)
        for number in (1, 2, 3, 7):
            result = groups(subjets(history, exclusive=number))
            jets = sequence.exclusive_jets(number)
            assert result == {frozenset(rows[list(fastjet.members(j))].tolist()) for j in jets}


def test_winner_take_all_axes_equal_fastjet(rng, make_jet, fastjet, compiled):
    for _ in range(6):
        p4 = make_jet(rng)
        full, mask, _ = padded(p4)
        history = compiled[1](full, mask, Algorithm.KT)
        sequence = fastjet.cluster(p4, Algorithm.KT, scheme=fastjet.module.WTA_pt_scheme)
        for number in (1, 2, 3):
            axes = full[exclusive_slots(history, number)]
            result = sorted(zip(kinematics.rapidity(axes).tolist(), kinematics.phi(axes).tolist(), strict=True))
            expected = sorted((j.rap(), j.phi_std()) for j in sequence.exclusive_jets(number))
            np.testing.assert_allclose(result, expected, atol=1e-6)


def test_harder_object_keeps_its_slot_and_steps_fill_from_the_front(jet, compiled):
    full, mask, _ = padded(jet)
    history = compiled[0](full, mask, Algorithm.CAMBRIDGE_AACHEN, np.inf)
    chex.assert_shape(history.pt, (40, 2))
    assert np.all(history.pt[:, 0] >= history.pt[:, 1])
    np.testing.assert_array_equal(history.kept[:30] >= 0, True)
    np.testing.assert_array_equal(history.kept[30:], -1)
    assert history.absorbed[29] == -1
    absorbed = np.asarray(history.absorbed[:29])
    assert len(set(absorbed.tolist()) | {int(history.kept[29])}) == 30


def test_degenerate_jets_end(compiled):
    wild = jnp.array([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 5.0, 5.0], [1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]])
    full, mask, _ = padded(wild)
    for algorithm in Algorithm:
        for radius in (0.4, np.inf):
            assert int(compiled[0](full, mask, algorithm, radius).steps) == 4
            broken = full.at[:, 0].set(jnp.nan)
            assert int(compiled[0](broken, mask, algorithm, radius).steps) == 4
    assert int(compiled[0](full, jnp.zeros(40, bool), Algorithm.KT, 0.4).steps) == 0
