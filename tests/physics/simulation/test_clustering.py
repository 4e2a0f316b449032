import numpy as np
import pytest

from hepjax.choices import Keep
from hepjax.physics import kinematics
from hepjax.physics.simulation import clustering
from hepjax.physics.simulation.clustering import RaggedJets
from hepjax.physics.simulation.collisions import Collisions, Particles
from hepjax.physics.simulation.conditions import Conditions
from hepjax.physics.simulation.cuts import Cuts

pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


def particles(pt, eta, phi, ids, event):
    return Particles(kinematics.from_pt_eta_phi_mass(pt, eta, phi, np.zeros(len(pt))), np.array(ids), np.array(event))


def three_jets():
    """Makes four events: event 0 has jets of 500 and 300 GeV, event 1 none, event 2 one of a lone
    particle, event 3 one of 400 GeV.
    """
    seen = particles(
        np.array([300.0, 200, 290, 10, 600, 200, 200]),
        np.array([0.1, 0.2, -1, -1.1, 0.5, 0, 0.01]),
        np.array([0.0, 0.1, 3, 3, 1, 2, 2]),
        [211, 22, 130, -11, 22, 211, 2212],
        [0, 0, 0, 0, 2, 3, 3],
    )
    hard = particles(
        np.array([500.0, 300, 600]), np.array([0.15, -1.5, 0.5]), np.array([0.05, 3, 1]), [6, 21, 1], [0, 0, 2]
    )
    decays = particles(np.array([1.0, 2, 3]), np.zeros(3), np.zeros(3), [5, 2, -1], [0, 0, 0])
    return seen, Collisions(4, seen, hard, decays, np.array([0, 0, 0]), np.array([[1.0], [2], [3], [-4]]))


def test_the_hardest_jet_of_each_collision_is_kept():
    jets = clustering.find_jets(*three_jets(), Conditions()).jets
    np.testing.assert_array_equal(jets.counts, [2, 2])  # a lone particle is no jet
    np.testing.assert_allclose(kinematics.pt(clustering.sum_jet_momenta(jets.p4, jets.counts)), [500, 400], rtol=0.01)
    np.testing.assert_array_equal(np.sort(jets.ids[:2]), [22, 211])


def test_weights_go_with_the_jets_and_each_cut_is_counted():
    seen, collisions = three_jets()
    leading = clustering.find_jets(seen, collisions, Conditions())
    assert leading.jets.weights.tolist() == [[1], [-4]]
    assert leading.cuts == Cuts(4, 4, 3, 2, 2)
    matched = clustering.find_jets(seen, collisions, Conditions(keep=Keep.MATCHED))
    assert matched.jets.weights.tolist() == [[1]]
    assert matched.cuts == Cuts(4, 4, 4, 3, 1)


def test_or_each_jet_near_a_parton():
    seen, collisions = three_jets()
    jets = clustering.find_jets(seen, collisions, Conditions(keep=Keep.MATCHED)).jets
    np.testing.assert_allclose(kinematics.pt(clustering.sum_jet_momenta(jets.p4, jets.counts)), [500], rtol=0.01)
    wide = clustering.find_jets(seen, collisions, Conditions(keep=Keep.MATCHED, radius=1.2)).jets
    assert len(wide.counts) == 2  # the second lies 0.5 from its gluon


def test_truth_is_the_nearest_parton_and_its_decays():
    seen, collisions = three_jets()
    jets = clustering.find_jets(seen, collisions, Conditions()).jets
    np.testing.assert_array_equal(jets.parton[:, 4], [6, 0])  # nothing is known of event 3
    np.testing.assert_array_equal(jets.parton[0, :4], collisions.hard.p4[0])
    np.testing.assert_array_equal(jets.decays[..., 4], [[5, 2, -1], [0, 0, 0]])
    np.testing.assert_array_equal(jets.decays[0, :, :4], collisions.decays.p4)


def test_clustering_agrees_with_one_pseudojet_at_a_time(rng):
    import fastjet

    lengths = np.array([40, 60, 50])
    pt, eta, phi = 50 * rng.pareto(1.0, 150), rng.uniform(-2, 2, 150), rng.uniform(-np.pi, np.pi, 150)
    seen = particles(pt, eta, phi, np.full(150, 22), np.repeat(np.arange(3), lengths))
    for radius in (0.4, 0.8):
        p4, ids, counts, event = clustering._cluster_anti_kt(seen, 3, radius)
        assert len(ids) == len(p4) == counts.sum()
        clustered = np.c_[event, clustering.sum_jet_momenta(p4, counts)]
        expected = []
        definition = fastjet.JetDefinition(fastjet.antikt_algorithm, radius)
        for index, rows in enumerate(np.split(seen.p4, np.cumsum(lengths)[:-1])):
            sequence = fastjet.ClusterSequence([fastjet.PseudoJet(*row) for row in rows.tolist()], definition)
            expected += [[index, j.px(), j.py(), j.pz(), j.e()] for j in sequence.inclusive_jets(100.0)]
        expected = np.array(expected)
        np.testing.assert_allclose(
            clustered[np.lexsort(clustered.T)], expected[np.lexsort(expected.T)], rtol=1e-9, atol=1e-9
        )


def test_pad_sorts_and_select_keeps_rows_together(rng):
    counts = np.array([3, 1, 5])
    p4 = kinematics.from_pt_eta_phi_mass(rng.uniform(1, 9, 9), rng.normal(size=9), rng.normal(size=9), np.zeros(9))
    jets = RaggedJets(
        p4, np.arange(1, 10), counts, np.arange(15.0).reshape(3, 5), np.zeros((3, 3, 5)), np.array([[1.0], [2], [3]])
    )
    part = clustering.select_jets(jets, np.array([2, 0]))
    again = clustering.concatenate_jets([part, clustering.select_jets(jets, np.array([1]))])
    np.testing.assert_array_equal(again.parton[:, 0], [10, 0, 5])
    np.testing.assert_array_equal(again.weights[:, 0], [3, 1, 2])
    momenta, ids, mask = clustering.pad_jets(again)
    assert momenta.shape == (3, 16, 4)
    np.testing.assert_array_equal(mask.sum(axis=1), [5, 3, 1])
    for row, members in enumerate((p4[4:], p4[:3], p4[3:4])):
        order = np.argsort(-kinematics.pt(members))
        np.testing.assert_array_equal(momenta[row, : len(members)], members[order])
    np.testing.assert_array_equal(p4[ids[mask] - 1], momenta[mask])
    assert not momenta[~mask].any()
    assert not ids[~mask].any()
