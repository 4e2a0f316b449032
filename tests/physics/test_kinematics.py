"""Kinematics against `math`, the vector package's conventions, and symmetries; NumPy and JAX alike."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepjax.physics import kinematics

momenta = arrays(np.float64, 3, elements=st.floats(-1e4, 1e4)).filter(lambda p: np.hypot(p[0], p[1]) > 1e-3)
masses = st.floats(0, 500)
angles = st.floats(-50, 50)


def p4_of(p, m):
    return np.array([*p, math.sqrt(float(p @ p) + m * m)])


@given(p=momenta, m=masses)
def test_against_math(p, m):
    p4 = p4_of(p, m)
    assert kinematics.pt(p4) == pytest.approx(math.hypot(p[0], p[1]))
    assert kinematics.phi(p4) == pytest.approx(math.atan2(p[1], p[0]))
    assert kinematics.eta(p4) == pytest.approx(math.asinh(p[2] / math.hypot(p[0], p[1])), rel=1e-6, abs=1e-9)
    assert kinematics.rapidity(p4) == pytest.approx(math.asinh(p[2] / math.hypot(p[0], p[1], m)), rel=1e-6, abs=1e-6)
    assert kinematics.mass(p4) == pytest.approx(m, rel=1e-6, abs=1e-4 * p4[3] ** 0.5)


@given(p=momenta, m=masses)
def test_coordinates_there_and_back(p, m):
    p4 = p4_of(p, m)
    back = kinematics.from_pt_eta_phi_mass(kinematics.pt(p4), kinematics.eta(p4), kinematics.phi(p4), np.float64(m))
    np.testing.assert_allclose(back, p4, rtol=1e-9, atol=1e-9 * p4[3])


@given(p=momenta, m=st.floats(0.1, 500), boost=st.floats(-2, 2))
def test_boost_along_the_beam(p, m, boost):
    """Shifts rapidity and leaves mass, pT and φ alone."""
    p4 = p4_of(p, m)
    pz, e = p4[2] * math.cosh(boost) + p4[3] * math.sinh(boost), p4[3] * math.cosh(boost) + p4[2] * math.sinh(boost)
    moved = np.array([p4[0], p4[1], pz, e])
    assert kinematics.rapidity(moved) == pytest.approx(kinematics.rapidity(p4) + boost, rel=1e-5, abs=1e-4)
    assert kinematics.pt(moved) == kinematics.pt(p4)
    assert kinematics.phi(moved) == kinematics.phi(p4)


@given(phi=angles)
def test_wrap(phi):
    wrapped = float(kinematics.wrap_azimuth(np.float64(phi)))
    assert -math.pi <= wrapped < math.pi
    assert math.cos(wrapped) == pytest.approx(math.cos(phi), abs=1e-9)
    assert math.sin(wrapped) == pytest.approx(math.sin(phi), abs=1e-9)


@given(a=st.tuples(angles, angles), b=st.tuples(angles, angles), turn=angles)
def test_delta_r_is_symmetric_and_turns(a, b, turn):
    ab = kinematics.delta_r(*map(np.float64, (*a, *b)))
    assert ab == pytest.approx(kinematics.delta_r(*map(np.float64, (*b, *a))))
    turned = kinematics.delta_r(*map(np.float64, (a[0], a[1] + turn, b[0], b[1] + turn)))
    assert turned == pytest.approx(ab, abs=1e-6)


FUNCTIONS = [kinematics.pt, kinematics.phi, kinematics.eta, kinematics.rapidity, kinematics.mass]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_jax_and_numpy_agree_and_gradients_are_finite(function, rng):
    p4 = rng.normal(size=(20, 4)) * [30, 30, 100, 1]
    p4[:, 3] = np.sqrt((p4[:, :3] ** 2).sum(1) + 25)
    p4[0] = 0
    p4[1] = [0, 0, 5, 5]
    with jax.enable_x64(True):
        found = jax.jit(function)(jnp.asarray(p4))
        gradient = jax.jit(jax.grad(lambda x: function(x).sum()))(jnp.asarray(p4))
    np.testing.assert_allclose(found, function(p4), rtol=1e-12)
    assert np.isfinite(found).all()
    assert np.isfinite(gradient).all()


def test_delta_r_gradient_at_coincidence():
    assert jax.grad(lambda x: kinematics.delta_r(x, jnp.float32(1.0), jnp.float32(0.5), jnp.float32(1.0)))(0.5) == 0
