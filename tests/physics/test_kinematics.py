"""Kinematics against `math`, the vector package's conventions, and symmetries; NumPy and JAX alike."""

from __future__ import annotations

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepjax.inputs import pair_features
from hepjax.numerics import wrap_azimuth
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
    wrapped = float(wrap_azimuth(np.float64(phi)))
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


def powers_of_ten(low, high):
    """Numbers of both signs and of any size between two powers."""
    return st.tuples(st.sampled_from([-1.0, 1.0]), st.floats(low, high)).map(lambda pair: pair[0] * 10.0 ** pair[1])


components = st.sampled_from([0.0]) | powers_of_ten(-30, 30)


many = hypothesis.settings(max_examples=25)  # of 20 momenta each


def in_float64(function, x):
    """What a compiled function of (n, F) rows gives in float64."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, function(jnp.asarray(x, jnp.float64)))


def plain_momentum(x):
    pt, eta, phi, mass = x
    p3 = jnp.stack([pt * jnp.cos(phi), pt * jnp.sin(phi), pt * jnp.sinh(eta)])
    return jnp.stack([*p3, jnp.sqrt((p3**2).sum() + mass**2)])


PLAIN = {
    kinematics.pt: lambda p: jnp.sqrt(p[0] ** 2 + p[1] ** 2),
    kinematics.phi: lambda p: jnp.arctan2(p[1], p[0]),
    kinematics.eta: lambda p: jnp.arcsinh(p[2] / jnp.sqrt(p[0] ** 2 + p[1] ** 2)),
    kinematics.rapidity: lambda p: jnp.arcsinh(p[2] / jnp.sqrt((p[3] - p[2]) * (p[3] + p[2]))),
    kinematics.mass: lambda p: jnp.sqrt((p[3] - p[2]) * (p[3] + p[2]) - p[0] ** 2 - p[1] ** 2),
}
COMPILED = {function: jax.jit(jax.vmap(jax.value_and_grad(function))) for function in (*PLAIN, *PLAIN.values())}


@pytest.mark.parametrize("function", PLAIN)
@many
@given(p=arrays(np.float64, (20, 3), elements=components))
def test_momenta_of_any_size_in_float32(function, p):
    """Values and gradients are those that plain formulas give in float64, or finite without transverse momentum."""
    energy = 2 * np.linalg.norm(p, axis=1, keepdims=True)  # of which m² is more than rounding
    p4 = np.concatenate([p, energy], axis=1).astype(np.float32)
    value, gradient = COMPILED[function](p4)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    least = 1e-37 if function in {kinematics.pt, kinematics.mass} else 1e-20
    np.testing.assert_allclose(function(p4), value, rtol=1e-5, atol=least)
    moving = p[:, :2].any(axis=1)
    expected, slope = (x[moving] for x in in_float64(COMPILED[PLAIN[function]], p4))
    np.testing.assert_allclose(value[moving], expected, rtol=1e-5, atol=least)
    largest = np.abs(slope).max(axis=1, keepdims=True, initial=1e-37)
    np.testing.assert_allclose(gradient[moving] / largest, slope / largest, atol=1e-4)


DISTANCE = jax.jit(jax.vmap(jax.value_and_grad(lambda x: kinematics.delta_r(*x))))
PLAIN_DISTANCE = jax.jit(jax.vmap(lambda x: jnp.hypot(x[0] - x[2], wrap_azimuth(x[1] - x[3]))))


@many
@given(eta=arrays(np.float64, (20, 2), elements=components), phi=arrays(np.float64, 20, elements=st.floats(-3, 3)))
def test_distances_of_any_size_in_float32(eta, phi):
    x = np.stack([eta[:, 0], 0 * phi, eta[:, 1], 0 * phi], axis=1).astype(np.float32)
    x[10:, 1] = phi[10:]
    x[15:, 2] = x[15:, 0]
    value, gradient = DISTANCE(x)
    expected = in_float64(PLAIN_DISTANCE, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    assert np.isfinite(gradient).all()
    assert (np.linalg.norm(np.asarray(gradient, np.float64)[:, :2], axis=1) < 1.001).all()


def test_the_gradient_of_tiny_distances_is_a_direction():
    _, gradient = DISTANCE(np.float32([[1e-25, 0, 0, 0], [-1e-25, 0, 0, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(gradient[:, 0], [1, -1, 0], rtol=1e-5)


@many
@given(
    sizes=arrays(np.float64, (20, 2), elements=components),
    angles=arrays(np.float64, (20, 2), elements=st.floats(-3, 3)),
)
def test_momenta_from_coordinates_of_any_size_in_float32(sizes, angles):
    x = np.stack([abs(sizes[:, 0]), angles[:, 0], angles[:, 1], abs(sizes[:, 1])], axis=1).astype(np.float32)
    value, slopes = MOMENTUM(x)
    expected = in_float64(PLAIN_MOMENTUM, x)
    largest = np.abs(expected).max(axis=1, keepdims=True) + 1e-37
    np.testing.assert_allclose(value / largest, expected / largest, atol=1e-6)
    assert np.isfinite(slopes).all()


def momentum(x):
    return kinematics.from_pt_eta_phi_mass(*x)


PLAIN_MOMENTUM = jax.jit(jax.vmap(plain_momentum))
MOMENTUM = jax.jit(jax.vmap(lambda x: (momentum(x), jax.jacobian(momentum)(x))))


def test_particles_without_pt_have_no_momentum_however_large_their_eta():
    np.testing.assert_array_equal(kinematics.from_pt_eta_phi_mass(*np.float32([0, 1e11, 0.3, 2])), [0, 0, 0, 2])


def test_the_azimuths_gradient_at_tiny_momenta():
    """The square of pT is no float32 any more."""
    for size in (1e-19, 1e-20, 1e-30):
        found = jax.grad(kinematics.phi)(jnp.array([3 * size, 4 * size, 0, 1], jnp.float32))
        np.testing.assert_allclose(found, np.array([-4, 3, 0, 0]) / 25 / size, rtol=1e-5)


FEATURES = jax.jit(jax.value_and_grad(lambda a, b: pair_features(a, b).sum(), argnums=(0, 1)))
ordinary = st.sampled_from([0.0]) | powers_of_ten(-8, 7)  # GeV; products of two pT are normal float32


@many
@given(p=arrays(np.float64, (2, 20, 3), elements=ordinary))
def test_features_of_pairs_are_finite(p):
    p4 = np.concatenate([p, np.linalg.norm(p, axis=-1, keepdims=True)], axis=-1).astype(np.float32)
    value, gradients = FEATURES(*p4)
    assert np.isfinite(value)
    assert np.isfinite(gradients).all()
