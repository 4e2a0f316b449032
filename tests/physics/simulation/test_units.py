import numpy as np
import pytest

from hepjax.choices import Keep
from hepjax.data.datasets import hls4ml
from hepjax.numerics import wrap_azimuth
from hepjax.physics import kinematics
from hepjax.physics.simulation import clustering, units
from hepjax.physics.simulation.conditions import Conditions, Detector

pytest.importorskip("pythia8mc", reason="the extra `sim` is not installed")
pytest.importorskip("fastjet", reason="the extra `sim` is not installed")


PUBLIC = Conditions()


def made(label, seed=1, jets=6, number=0, conditions=PUBLIC):
    return units.simulate_unit(units.Unit(seed, label, number, jets, conditions)).jets


def test_a_unit_does_not_depend_on_what_was_done_before():
    first = {label: made(label) for label in range(5)}
    for label in range(5):
        made(label, seed=2)
        again = made(label)
        for mine, yours in zip(again, first[label], strict=True):
            np.testing.assert_array_equal(mine, yours)
        assert not np.array_equal(made(label, seed=3).counts, first[label].counts)


def test_jets_look_like_the_physics_says():
    jets = {name: made(label, seed=11, jets=150) for label, name in enumerate(hls4ml.CLASSES)}
    momenta = {name: clustering.sum_jet_momenta(group.p4, group.counts) for name, group in jets.items()}
    mass = {name: kinematics.mass(p4) for name, p4 in momenta.items()}
    count = {name: group.counts.mean() for name, group in jets.items()}
    for name, p4 in momenta.items():
        assert np.abs(kinematics.eta(p4)).max() < 2.7
        assert 950 < np.median(kinematics.pt(p4)) < (1150 if name == "g" else 1050), name
    # The peaks of the public sample's plots.
    assert 80 < np.median(mass["w"]) < 83
    assert 90 < np.median(mass["z"]) < 93
    assert 168 < np.median(mass["t"][mass["t"] > 140]) < 178
    for light in "qwz":
        assert 36 < count[light] < 45
    for heavy in "gt":
        assert 58 < count[heavy] < 69
    for name, parton in (("w", 24), ("z", 23), ("t", 6)):
        np.testing.assert_array_equal(np.abs(jets[name].parton[:, 4]), parton)
        near = kinematics.delta_r(
            *(f(p) for p in (momenta[name], jets[name].parton) for f in (kinematics.eta, kinematics.phi))
        )
        assert np.median(near) < 0.03
    # Hardly a particle lies outside its jet's circle: anti-kT jets with one core are round.
    p4, _, mask = clustering.pad_jets(clustering.concatenate_jets(list(jets.values())))
    axis = p4.sum(axis=1)[:, None]
    away = np.hypot(
        kinematics.rapidity(p4) - kinematics.rapidity(axis),
        wrap_azimuth(kinematics.phi(p4) - kinematics.phi(axis)),
    )
    assert np.mean(away[mask] < 0.4) > 0.99


@pytest.mark.parametrize(
    "conditions, low, high",
    [
        (Conditions(pt=(495.0, 505.0)), 450, 550),
        (Conditions(radius=1.0, keep=Keep.MATCHED), 950, 1050),
        (Conditions(detector=None), 950, 1050),
        (Conditions(undecayed=False), 950, 1050),
    ],
)
def test_conditions_change_what_is_made(conditions, low, high):
    jets = made(2, conditions=conditions, jets=10)
    p4 = clustering.sum_jet_momenta(jets.p4, jets.counts)
    assert low < np.median(kinematics.pt(p4)) < high
    assert not np.array_equal(jets.counts, made(2, jets=10).counts)


def test_pile_up_adds_soft_particles_and_leaves_the_hard_collision():
    bare = Conditions(detector=None)
    few, many = (made(2, jets=20, conditions=bare._replace(pile_up=mean)) for mean in (0.0, 30.0))
    assert many.counts.mean() > few.counts.mean() + 5
    # Now and then it makes the other jet the harder one.
    assert np.mean(few.parton[:, 0] == many.parton[:, 0]) > 0.7


def test_without_a_detector_particles_keep_their_identities():
    seen = made(4, jets=20, conditions=Conditions(detector=None)).ids
    assert {211, -211, 22, 2112} <= set(seen.tolist())
    assert not set(np.abs(seen)) & {12, 14, 16}
    measured = made(4, jets=20).ids
    assert {211, 22, 130} <= set(measured.tolist())
    assert 2112 not in np.abs(measured)


def test_an_exact_detector_without_threshold_keeps_the_energy():
    exact = Conditions(detector=Detector(pt_min=0.0, resolution=0.0))
    sums = [
        clustering.sum_jet_momenta(j.p4, j.counts)[:, 3].sum()
        for j in (made(2, jets=20, conditions=c) for c in (exact, Conditions(detector=None)))
    ]
    assert sums[0] == pytest.approx(sums[1], rel=1e-3)
