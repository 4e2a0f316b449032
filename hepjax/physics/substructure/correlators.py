"""Energy correlators of a jet, and their ratios.

Angles are ΔR = sqrt(Δy² + Δφ²) with the rapidity y, as in FastJet contrib's EnergyCorrelator for hadron colliders, so
that every correlator is invariant under boosts along the beam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from hepjax.numerics import safe_divide, safe_log, safe_sqrt
from hepjax.physics import kinematics

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


class Correlators(NamedTuple):
    """The dimensionless correlators of one jet at K angular exponents β."""

    e2: jax.Array
    """(K,) two-point correlators Σ_{i<j} z_i z_j θ_ij^β."""
    e3: jax.Array
    """(3, K) three-point correlators; row v - 1 is Σ_{i<j<k} z_i z_j z_k (product of the v smallest angles)^β."""


def momentum_fractions(p4: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes the share of each particle in the scalar pT sum of the jet.

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.

    Returns:
      (M,) fractions z_i = pT_i / Σ_j pT_j (arXiv:1609.07483, eq. 2.1); 0 for padding.

    >>> p4 = jnp.array([[3.0, 0.0, 0.0, 3.0], [0.0, 1.0, 0.0, 1.0], [9.0, 9.0, 9.0, 99.0]])
    >>> momentum_fractions(p4, jnp.array([True, True, False])).tolist()
    [0.75, 0.25, 0.0]
    """
    pt = jnp.where(mask, kinematics.pt(p4), 0)
    fractions: jax.Array = safe_divide(pt, jnp.broadcast_to(jnp.sum(pt), pt.shape))
    return fractions


def pairwise_angles(p4: jax.Array, mask: jax.Array) -> jax.Array:
    """Computes ΔR of every pair of particles.

    Args:
      p4: (M, 4) momenta (px, py, pz, E), GeV.
      mask: (M,) bool, True for a particle.

    Returns:
      (M, M) distances in rapidity and azimuth; padding is at y = φ = 0.

    >>> p4 = jnp.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    >>> print(pairwise_angles(p4, jnp.array([True, True])).round(4))
    [[0.     1.5708]
     [1.5708 0.    ]]
    """
    p4 = jnp.where(mask[:, None], p4, 0)
    y, phi = kinematics.rapidity(p4), kinematics.phi(p4)
    theta: jax.Array = kinematics.delta_r(y[:, None], phi[:, None], y[None], phi[None])
    return theta


def energy_correlators(z: jax.Array, theta: jax.Array, betas: tuple[float, ...] = (1.0, 2.0)) -> Correlators:
    """Computes the two-point and the three three-point energy correlators.

    A loop over the pairs i < j updates an (M,) vector over k, so that a jet takes M³ / 2 operations without an array of
    that size. See arXiv:1609.07483, eqs. 2.2 and 3.1, for v_e3; v = 3 is e3 of arXiv:1305.0007.

    Args:
      z: (M,) momentum fractions; padding is 0.
      theta: (M, M) symmetric angles with a zero diagonal.
      betas: the K angular exponents, above 0.

    Returns:
      The correlators at every exponent.

    >>> theta = 0.1 * (jnp.ones((3, 3)) - jnp.eye(3))
    >>> correlators = energy_correlators(jnp.full(3, 1 / 3), theta)
    >>> [f"{1e4 * value:.2f}" for value in correlators.e3[:, 0]]
    ['37.04', '3.70', '0.37']
    """
    first, second = np.triu_indices(z.shape[0], 1)
    powers = tuple(_angular_power(beta) for beta in betas)

    def add_pair(sums: list[jax.Array], pair: tuple[jax.Array, jax.Array]) -> tuple[list[jax.Array], None]:
        i, j = pair
        weight = z[i] * z[j]
        shortest, middle, longest = _sort_three(theta[i, j], theta[i], theta[j])
        products = (shortest, shortest * middle, shortest * middle * longest)
        terms = [power(product) for product in products for power in powers]
        return [total + weight * term for total, term in zip(sums, terms, strict=True)], None

    zeros = [jnp.zeros_like(z)] * (3 * len(betas))
    sums, _ = lax.scan(add_pair, zeros, (jnp.asarray(first, jnp.int32), jnp.asarray(second, jnp.int32)))
    # k runs over all particles, so that each triplet counts three times; k = i and k = j have a zero angle.
    e3 = jnp.stack([jnp.sum(total * z) for total in sums]).reshape(3, len(betas)) / 3
    e2 = jnp.stack([jnp.sum(z * jnp.sum(z * power(theta), axis=-1)) for power in powers]) / 2
    return Correlators(e2, e3)


def ratios(correlators: Correlators, z: jax.Array) -> dict[str, jax.Array]:
    """Computes the correlator observables from the correlators at β = 1 and 2.

    C1 = e2 and C2 = ₃e3 / e2² (arXiv:1305.0007), D2 = ₃e3 / e2³ and D2(α, β) = ₃e3(α) / e2(β)^(3α/β)
    (arXiv:1409.6298), M2 = ₁e3 / e2 and N2 = ₂e3 / e2² (arXiv:1609.07483). A ratio whose denominator vanishes is 0.

    Args:
      correlators: correlators at β = (1, 2).
      z: (M,) momentum fractions, for C1 at β = 0.

    Returns:
      The 13 observables by name without the prefix `j_`, as in `c1_b0` and `d2_a1_b2`.

    >>> two = jnp.array([0.5, 0.5])
    >>> theta = 0.1 * (jnp.ones((2, 2)) - jnp.eye(2))
    >>> two_prong = ratios(energy_correlators(two, theta), two)
    >>> round(float(two_prong["c1_b2"]), 6), float(two_prong["d2_b1"])
    (0.0025, 0.0)
    """
    (e2_1, e2_2), (e3_1, e3_2) = correlators.e2, correlators.e3[2]
    one_angle, two_angles = correlators.e3[0], correlators.e3[1]
    # Division by one factor at a time, because e2³ underflows in float32 for a narrow jet.
    return {
        "c1_b0": jnp.sum(z * (jnp.cumsum(z) - z)),
        "c1_b1": e2_1,
        "c1_b2": e2_2,
        "c2_b1": _divide_correlator_powers(e3_1, e2_1, 2),
        "c2_b2": _divide_correlator_powers(e3_2, e2_2, 2),
        "d2_b1": _divide_correlator_powers(e3_1, e2_1, 3),
        "d2_b2": _divide_correlator_powers(e3_2, e2_2, 3),
        "d2_a1_b1": _divide_correlator_powers(e3_1, e2_1, 3),
        "d2_a1_b2": safe_divide(_divide_correlator_powers(e3_1, e2_2, 1), safe_sqrt(e2_2)),
        "m2_b1": _divide_correlator_powers(one_angle[0], e2_1, 1),
        "m2_b2": _divide_correlator_powers(one_angle[1], e2_2, 1),
        "n2_b1": _divide_correlator_powers(two_angles[0], e2_1, 2),
        "n2_b2": _divide_correlator_powers(two_angles[1], e2_2, 2),
    }


def zlogz(z: jax.Array) -> jax.Array:
    """Computes Σ z ln z, which lies between -ln M and 0.

    Args:
      z: (M,) momentum fractions; padding is 0.

    Returns:
      () the sum.

    >>> round(float(zlogz(jnp.array([0.5, 0.5, 0.0]))), 6)
    -0.693147
    """
    return jnp.sum(z * safe_log(z))


def _angular_power(beta: float) -> Callable[[jax.Array], jax.Array]:
    """Returns the function x^β with a finite gradient at 0; integer powers are products, which are fast and exact."""
    if beta == int(beta):
        return lambda x: lax.integer_pow(x, int(beta))
    return lambda x: jnp.where(x > 0, jnp.where(x > 0, x, 1) ** beta, 0)


def _sort_three(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    # Comparisons, because minimum and maximum propagate NaN, which takes three times as many instructions.
    low, high = jnp.where(b < c, b, c), jnp.where(b < c, c, b)
    shortest, rest = jnp.where(a < low, a, low), jnp.where(a < low, low, a)
    return shortest, jnp.where(rest < high, rest, high), jnp.where(rest < high, high, rest)


def _divide_correlator_powers(numerator: jax.Array, denominator: jax.Array, times: int) -> jax.Array:
    for _ in range(times):
        numerator = safe_divide(numerator, denominator)
    return numerator
