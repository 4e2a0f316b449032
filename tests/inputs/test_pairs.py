"""Features of pairs against a slow oracle in float64."""

from __future__ import annotations

import jax
import numpy as np

from hepjax.inputs import all_pair_features
from hepjax.inputs.pairs import further_pair_features, momentum_coordinates


def light_jets(rng, jets=20, particles=12):
    """Float32 momenta of narrow jets, whose particles are massless to rounding, pions, or heavy."""
    pt = rng.exponential(20, (jets, particles)) + 0.5
    eta = rng.normal(size=(jets, 1)) + rng.normal(0, 0.05, (jets, particles))
    phi = rng.uniform(-3, 3, (jets, 1)) + rng.normal(0, 0.05, (jets, particles))
    mass = np.array([0, 0.14, 5])[rng.integers(3, size=pt.shape)]
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    return np.stack([px, py, pz, np.sqrt(px**2 + py**2 + pz**2 + mass**2)], -1).astype(np.float32)


def slow_features(a, b):
    """By the definitions of arXiv:2202.03772, of two momenta, in float64."""
    a, b = np.float64(a), np.float64(b)
    (pt_a, y_a, phi_a), (pt_b, y_b, phi_b) = (
        (np.hypot(p[0], p[1]), np.arctanh(p[2] / p[3]), np.arctan2(p[1], p[0])) for p in (a, b)
    )
    distance = np.hypot(y_a - y_b, (phi_a - phi_b + np.pi) % (2 * np.pi) - np.pi)
    both = a + b
    mass_squared = both[3] ** 2 - both[:3] @ both[:3]
    softer = min(pt_a, pt_b)
    return np.log(np.maximum([softer * distance, softer / (pt_a + pt_b), distance, mass_squared], 1e-8))


def test_features_are_those_of_the_oracle(rng):
    p4 = light_jets(rng)
    found = np.asarray(jax.jit(all_pair_features)(p4))
    for jet, features in zip(p4, found, strict=True):
        pairs = [(i, j) for i in range(len(jet)) for j in range(i + 1)]
        expected = np.array([slow_features(jet[i], jet[j]) for i, j in pairs])
        # Of coinciding particles the oracle has nothing but the rounding of float64.
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=2e-4)


def slow_further_features(a, b):
    """By the definitions, of two momenta: b is boosted into the rest frame of both."""
    a, b = np.float64(a), np.float64(b)
    both, difference = a + b, a - b
    speed = both[:3] / both[3]
    gamma = both[3] / np.sqrt(both[3] ** 2 - both[:3] @ both[:3])
    along = speed @ b[:3]
    rest = b[:3] + ((gamma - 1) * along / (speed @ speed) - gamma * b[3]) * speed
    cosine = rest @ both[:3] / np.linalg.norm(rest) / np.linalg.norm(both[:3])
    rapidity, azimuth = (np.arctanh(p[2] / p[3]) for p in (a, b)), (np.arctan2(p[1], p[0]) for p in (a, b))
    turn = np.subtract(*azimuth)
    spacelike = difference[:3] @ difference[:3] - difference[3] ** 2
    return np.array([spacelike, cosine, np.subtract(*rapidity), (turn + np.pi) % (2 * np.pi) - np.pi])


def test_further_features_are_those_of_the_oracle(rng):
    p4 = light_jets(rng)
    a, b = p4[:, 1:].reshape(-1, 4), p4[:, :-1].reshape(-1, 4)
    found = np.asarray(jax.jit(further_pair_features)(a, b), float)
    expected = np.array([slow_further_features(*pair) for pair in zip(a, b, strict=True)])
    np.testing.assert_allclose(np.exp(found[:, 0]), np.maximum(expected[:, 0], 1e-8), rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=2e-3)
    np.testing.assert_allclose(further_pair_features(b, a)[:, 2:], -found[:, 2:], atol=1e-6)


def test_further_features_know_boosts_along_the_beams(rng):
    p4 = light_jets(rng).astype(float)
    a, b = p4[:, 1:], p4[:, :-1]
    boosted = [
        np.stack([p[..., 0], p[..., 1], 1.25 * p[..., 2] + 0.75 * p[..., 3], 1.25 * p[..., 3] + 0.75 * p[..., 2]], -1)
        for p in (a, b)
    ]
    old, new = further_pair_features(a, b), further_pair_features(*boosted)
    np.testing.assert_allclose(new[..., [0, 2, 3]], old[..., [0, 2, 3]], atol=1e-5)


def test_squared_masses_are_those_of_the_given_numbers(rng):
    p4 = light_jets(rng)
    exact = np.float64(p4[..., 3]) ** 2 - (np.float64(p4[..., :3]) ** 2).sum(-1)
    for found in (momentum_coordinates(p4)[..., 3], jax.jit(momentum_coordinates)(p4)[..., 3]):
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-9)


def test_padding_and_coinciding_particles_have_finite_features_and_gradients():
    p4 = np.zeros((1, 4, 4), np.float32)
    p4[0, :2] = [3, 4, 12, 13]
    total = jax.jit(jax.value_and_grad(lambda p4: all_pair_features(p4).sum()))
    value, gradient = total(p4)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    pairs = p4[0, [0, 0, 1, 2]], p4[0, [1, 2, 2, 3]]
    value, gradient = jax.jit(jax.value_and_grad(lambda a, b: further_pair_features(a, b).sum()))(*pairs)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
