from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.physics import kinematics
from hepjax.physics.substructure import Algorithm, n_subjettiness, pairwise_angles, winner_take_all_axes

pytestmark = pytest.mark.usefixtures("_x64")


@jax.jit
def _tau(p4, mask):
    pt = jnp.where(mask, kinematics.pt(p4), 0)
    return n_subjettiness(pt, pairwise_angles(p4, mask), winner_take_all_axes(p4, mask))


def tau(p4):
    full = np.zeros((30, 4))
    full[: len(p4)] = p4
    return np.asarray(_tau(full, np.arange(30) < len(p4)))


def test_tau_equals_brute_force_with_fastjet_axes(rng, make_jet, fastjet):
    for _ in range(6):
        p4 = make_jet(rng)
        sequence = fastjet.cluster(p4, Algorithm.KT, scheme=fastjet.module.WTA_pt_scheme)
        result = tau(p4)
        pt, y, phi = kinematics.pt(p4), kinematics.rapidity(p4), kinematics.phi(p4)
        for number in (1, 2, 3):
            axes = [(j.rap(), j.phi()) for j in sequence.exclusive_jets(number)]
            nearest = np.min([kinematics.delta_r(y, phi, *axis) for axis in np.asarray(axes)], axis=0)
            for column, beta in enumerate((1, 2)):
                np.testing.assert_allclose(result[number - 1, column], np.sum(pt * nearest**beta), rtol=1e-6)


def test_tau_falls_with_the_number_of_axes_and_vanishes_with_enough(rng, make_jet):
    result = tau(make_jet(rng))
    assert np.all(np.diff(result, axis=0) < 0)
    for particles in (1, 2, 3):
        few = tau(make_jet(rng, particles))
        np.testing.assert_allclose(few[particles - 1 :], 0, atol=1e-9)
        assert np.all(few[: particles - 1] > 0)
