from __future__ import annotations

import itertools

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


@pytest.mark.parametrize("heights", [(0.0, 0.3, -0.3), (0.9, 0.6, -0.6, -0.9)])
@pytest.mark.parametrize("algorithm", [Algorithm.KT, Algorithm.CAMBRIDGE_AACHEN])
def test_equal_distances_are_taken_in_the_order_of_particles_as_in_fastjet(fastjet, compiled, heights, algorithm):
    """Distances that are equal to the last bit, since rapidities of opposite sign are."""
    for order in itertools.permutations(heights):
        p4 = np.array([[1.0, 0.0, np.sinh(y), np.cosh(y)] for y in order])
        history = compiled[0](jnp.pad(p4, ((0, 36 - len(p4)), (0, 0))), jnp.arange(36) < len(p4), algorithm, np.inf)
        sequence = fastjet.cluster(p4, algorithm)
        expected = {fastjet.members(jet) for jet in sequence.exclusive_jets(len(p4) - 1)}
        assert groups(subjets(history, exclusive=len(p4) - 1)) == expected


def cells(rng, count=25):
    """Massless cells of a calorimeter, whose neighbors are all equally far, but for rounding."""
    chosen = rng.choice(64, count, replace=False)
    eta, phi = (chosen // 8 + 0.5) * 0.1, (chosen % 8 - 4) * 0.1
    pt = np.sort(rng.exponential(1, count) ** 2 + 1e-3)[::-1] * 50
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta)], axis=-1)


def turned(p4, angle):
    """The same momenta after a rotation about the beam, which changes no distance."""
    px, py = p4[:, 0], p4[:, 1]
    rotated = px * np.cos(angle) - py * np.sin(angle), px * np.sin(angle) + py * np.cos(angle)
    return np.stack([*rotated, p4[:, 2], p4[:, 3]], axis=-1)


def test_cells_on_a_grid_merge_by_the_smallest_distance_whichever_tie_is_broken(rng, fastjet, compiled):
    """Rounding decides between equal neighbors, in FastJet too: it differs from itself where the jet is turned."""
    other = {"hepjax": 0, "FastJet, turned": 0}
    for _ in range(20):
        p4 = cells(rng)
        history = compiled[0](jnp.pad(p4, ((0, 11), (0, 0))), jnp.arange(36) < 25, Algorithm.CAMBRIDGE_AACHEN, np.inf)
        objects = dict(enumerate(p4))
        for step in range(24):
            kept, absorbed = int(history.kept[step]), int(history.absorbed[step])
            values = np.array(list(objects.values()))
            y, phi, names = kinematics.rapidity(values), kinematics.phi(values), list(objects)
            squares = kinematics.delta_r(y[:, None], phi[:, None], y, phi) ** 2 + np.diag(np.full(len(names), np.inf))
            found = squares[names.index(kept), names.index(absorbed)]
            np.testing.assert_allclose(found, squares.min(), rtol=1e-9, atol=1e-12)
            objects[kept] = objects[kept] + objects.pop(absorbed)
        sequences = [fastjet.cluster(momenta, Algorithm.CAMBRIDGE_AACHEN) for momenta in (p4, turned(p4, 0.3))]
        first, second = ({fastjet.members(jet) for jet in made.exclusive_jets(8)} for made in sequences)
        other["hepjax"] += groups(subjets(history, exclusive=8)) != first
        other["FastJet, turned"] += second != first
    assert other["FastJet, turned"] > 5
    assert abs(other["hepjax"] - other["FastJet, turned"]) <= 8


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
