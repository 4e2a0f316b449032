from __future__ import annotations

from functools import partial
from itertools import combinations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hepjax.physics import kinematics
from hepjax.physics.substructure import correlators


def slow_correlators(p4, beta):
    """Triple loops in plain Python; (e2, [₁e3, ₂e3, ₃e3])."""
    pt, y, phi = kinematics.pt(p4), kinematics.rapidity(p4), kinematics.phi(p4)
    z = pt / pt.sum()

    def angle(i, j):
        turn = abs(phi[i] - phi[j])
        return np.hypot(y[i] - y[j], min(turn, 2 * np.pi - turn))

    e2 = sum(z[i] * z[j] * angle(i, j) ** beta for i, j in combinations(range(len(z)), 2))
    e3 = np.zeros(3)
    for i, j, k in combinations(range(len(z)), 3):
        angles = sorted((angle(i, j), angle(i, k), angle(j, k)))
        e3 += z[i] * z[j] * z[k] * np.cumprod(angles) ** beta
    return e2, e3


@partial(jax.jit, static_argnums=2)
def fast(p4, mask, betas=(1.0, 2.0)):
    z, theta = correlators.momentum_fractions(p4, mask), correlators.pairwise_angles(p4, mask)
    return correlators.energy_correlators(z, theta, betas), z


@pytest.mark.usefixtures("_x64")
def test_correlators_equal_the_slow_loops(jet):
    result, _ = fast(jnp.asarray(jet), jnp.ones(len(jet), bool), (1.0, 2.0, 0.5))
    chex.assert_shape(result.e3, (3, 3))
    for column, beta in enumerate((1.0, 2.0, 0.5)):
        e2, e3 = slow_correlators(jet, beta)
        np.testing.assert_allclose(result.e2[column], e2, rtol=1e-10)
        np.testing.assert_allclose(result.e3[:, column], e3, rtol=1e-10)


@pytest.mark.usefixtures("_x64")
def test_ratios_follow_their_definitions(jet):
    result, z = fast(jnp.asarray(jet), jnp.ones(len(jet), bool))
    ratios = jax.jit(correlators.ratios)(result, z)
    (e2, f2), (e3, f3) = slow_correlators(jet, 1), slow_correlators(jet, 2)
    pt = kinematics.pt(jet) / kinematics.pt(jet).sum()
    expected = {
        "c1_b0": sum(a * b for a, b in combinations(pt, 2)),
        "c1_b1": e2,
        "c1_b2": e3,
        "c2_b1": f2[2] / e2**2,
        "c2_b2": f3[2] / e3**2,
        "d2_b1": f2[2] / e2**3,
        "d2_b2": f3[2] / e3**3,
        "d2_a1_b1": f2[2] / e2**3,
        "d2_a1_b2": f2[2] / e3**1.5,
        "m2_b1": f2[0] / e2,
        "m2_b2": f3[0] / e3,
        "n2_b1": f2[1] / e2**2,
        "n2_b2": f3[1] / e3**2,
    }
    assert ratios.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ratios[name], value, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(correlators.zlogz(z), np.sum(pt * np.log(pt)), rtol=1e-12)


def test_single_precision_is_enough(jet):
    result, _ = fast(jnp.asarray(jet, jnp.float32), jnp.ones(len(jet), bool))
    e2, e3 = slow_correlators(jet, 2)
    np.testing.assert_allclose(result.e2[1], e2, rtol=1e-5)
    np.testing.assert_allclose(result.e3[:, 1], e3, rtol=1e-4)


def test_gradients_are_finite_at_coincident_particles_and_padding():
    p4 = jnp.array([[1.0, 0.0, 0.0, 1.0]] * 2 + [[0.5, 0.1, 0.2, 0.6]] + [[0.0] * 4] * 2)
    mask = jnp.array([True, True, True, False, False])

    def total(p4):
        result, z = fast(p4, mask)
        return sum(correlators.ratios(result, z).values()) + correlators.zlogz(z)

    value, gradient = jax.jit(jax.value_and_grad(total))(p4)
    chex.assert_tree_all_finite((value, gradient))
    assert np.any(np.asarray(gradient[2]) != 0)
    np.testing.assert_array_equal(gradient[3:], 0)


def test_c1_b2_of_a_two_body_decay_is_its_mass_over_pt_squared():
    mass, pt, z = 80.4, 1000.0, 0.5
    angle = mass / pt / np.sqrt(z * (1 - z))
    eta = np.array([angle / 2, -angle / 2])
    p4 = kinematics.from_pt_eta_phi_mass(np.array([z, 1 - z]) * pt, eta, np.zeros(2), np.zeros(2))
    result, weights = fast(jnp.asarray(p4, jnp.float32), jnp.ones(2, bool))
    c1 = float(correlators.ratios(result, weights)["c1_b2"])
    assert c1 == pytest.approx((mass / pt) ** 2, rel=5e-3)
    assert c1 == pytest.approx(0.0065, abs=1e-4)
