"""Features of pairs of particles, once a pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from hepjax.numerics import asinh_of_ratio, safe_divide, safe_sqrt, unfused_product, wrap_azimuth
from hepjax.physics import kinematics

_FLOOR = 1e-8
"""The smallest argument of the logarithms of `pair_features`, as in the code of arXiv:2202.03772."""


def pair_features(p4_a: Any, p4_b: Any) -> Any:
    """Computes four features of pairs of particles (arXiv:2202.03772, eq. 3 to 6).

    The mass is summed up from terms that are never negative, so that collinear particles do not lose their digits.
    Logarithms stop at ln 1e-8, as in that paper's code: values and gradients are finite for coincident, massless or
    absent particles too.

    Args:
      p4_a: (..., 4) momenta (px, py, pz, E), GeV; NumPy or JAX.
      p4_b: (..., 4) of the others.

    Returns:
      (..., 4) with ln ΔR, where ΔR is in rapidity and azimuth; ln kT, where kT = min(pT)·ΔR in GeV; ln z, where
      z = min(pT) / (pT_a + pT_b); and ln m², where m is the mass of the pair in GeV.

    >>> p4_a, p4_b = np.array([[3.0, 0.0, 0.0, 3.0], [0.0, 3.0, 0.0, 3.0]])
    >>> np.exp(pair_features(p4_a, p4_b)).round(4).tolist()
    [1.5708, 4.7124, 0.5, 18.0]
    """
    return features_of_pairs(momentum_coordinates(p4_a), momentum_coordinates(p4_b))


def further_pair_features(p4_a: Any, p4_b: Any) -> Any:
    """Computes four more features of pairs of particles, which weaver-core's Particle Transformer may add.

    All but the first change their sign, or their value, where the two particles are exchanged. Differences of nearly
    equal numbers are avoided as in `pair_features`.

    Args:
      p4_a: (..., 4) momenta (px, py, pz, E), GeV; NumPy or JAX.
      p4_b: (..., 4) of the others.

    Returns:
      (..., 4) with ln(−q²), where q is the difference of the momenta, in GeV, not below ln 1e-8; the cosine of the
      angle between particle b in the rest frame of the pair and the direction in which the pair flies, 0 where either
      is at rest; y_a − y_b, in rapidity; and φ_a − φ_b, radians in [-π, π).

    >>> p4_a, p4_b = np.array([[3.0, 0.0, 0.0, 3.0], [0.0, 1.0, 0.0, 1.0]])
    >>> log_q2, cosine, rapidity, azimuth = further_pair_features(p4_a, p4_b).round(4).tolist()
    >>> round(float(np.exp(log_q2)), 2), cosine, rapidity, azimuth
    (6.0, -0.6325, 0.0, -1.5708)
    """
    xp = p4_a.__array_namespace__()
    a, b = momentum_coordinates(p4_a), momentum_coordinates(p4_b)
    (pt_a, y_a, phi_a, m2_a), (pt_b, y_b, phi_b, m2_b) = (xp.moveaxis(x, -1, 0) for x in (a, b))
    mass_squared, opening = _squared_mass_of_pairs(a, b)
    # −q² = 4 · opening + (pT_a − pT_b)² − (mT_a − mT_b)², with mT − pT = m² / (mT + pT)
    excess = [safe_divide(m2, safe_sqrt(pt**2 + m2) + pt) for pt, m2 in ((pt_a, m2_a), (pt_b, m2_b))]
    step = excess[0] - excess[1]
    spacelike = 4 * opening - step * (2 * (pt_a - pt_b) + step)
    # Of b's energy, E = γ (E* + β p* cos θ), where E* = (m² + m_b² − m_a²) / 2m and p* = √λ / 2m.
    pair = p4_a + p4_b
    speed = safe_divide(safe_sqrt(xp.sum(pair[..., :3] ** 2, axis=-1)), pair[..., 3])
    kallen = (mass_squared - m2_a - m2_b) ** 2 - 4 * m2_a * m2_b
    above = 2 * mass_squared * safe_divide(p4_b[..., 3], pair[..., 3]) - (mass_squared + m2_b - m2_a)
    cosine = xp.clip(safe_divide(above, speed * safe_sqrt(xp.maximum(kallen, xp.zeros_like(kallen)))), -1, 1)
    return xp.stack([_floored_log(spacelike), cosine, y_a - y_b, wrap_azimuth(phi_a - phi_b)], axis=-1)


def all_pair_features(p4: Any) -> Any:
    """Computes the features of all pairs of a jet's particles, each pair once.

    Args:
      p4: (B, P, 4) momenta (px, py, pz, E), GeV; NumPy or JAX.

    Returns:
      (B, P (P + 1) / 2, 4) with ln kT, ln z, ln ΔR and ln m² of particle i and j ≤ i at i (i + 1) / 2 + j; those that
      `pair_features` gives, in the order of the code of arXiv:2202.03772.

    >>> p4 = np.array([[[3.0, 0.0, 0.0, 3.0], [0.0, 3.0, 0.0, 3.0]]])
    >>> np.exp(all_pair_features(p4))[0, 1].round(4).tolist()
    [4.7124, 0.5, 1.5708, 18.0]
    """
    later, earlier = np.tril_indices(p4.shape[1])
    particles = momentum_coordinates(p4)
    return features_of_pairs(particles[:, later], particles[:, earlier])[..., np.array([1, 2, 0, 3])]


def momentum_coordinates(p4: Any) -> Any:
    """Returns (..., 4) with pT, rapidity, azimuth and m²: once per particle rather than per pair.

    As in `kinematics`, but m² is what the given numbers say, which rounding may have made negative.
    """
    xp = p4.__array_namespace__()
    px, py, pz, _ = xp.moveaxis(p4, -1, 0)
    pt_2 = px**2 + py**2
    mass_2 = _squared_masses(p4)
    rapidity = asinh_of_ratio(pz, safe_sqrt(pt_2 + mass_2))
    return xp.stack([safe_sqrt(pt_2), rapidity, kinematics.phi(p4), mass_2], axis=-1)


def _squared_masses(p4: Any) -> Any:
    """E² − p², with the error of a rounded difference instead of that of rounded squares, which hides light particles.

    Each component is split into two halves of its digits, whose products are exact (T. J. Dekker, Numer. Math. 18
    (1971) 224), and what the sum of these loses by rounding is summed up too (D. E. Knuth, TAOCP 2, section 4.2.2).
    """
    xp = p4.__array_namespace__()
    splitter = 2 ** ((xp.finfo(p4.dtype).nmant + 2) // 2) + 1
    total = lost = xp.zeros_like(p4[..., 0])
    for i, sign in ((3, 1), (2, -1), (0, -1), (1, -1)):
        x = p4[..., i]
        large = unfused_product(splitter * x)
        high = large - (large - x)
        low = x - high
        for term in (high * high, 2 * high * low, low * low):
            added = total + sign * term
            part = added - total
            lost = lost + ((total - (added - part)) + (sign * term - part))
            total = added
    return total + lost


def features_of_pairs(a: Any, b: Any) -> Any:
    """Returns the `pair_features` of particles whose `momentum_coordinates` are known, (..., 4)."""
    xp = a.__array_namespace__()
    (pt_a, y_a, phi_a, _), (pt_b, y_b, phi_b, _) = (xp.moveaxis(x, -1, 0) for x in (a, b))
    distance = kinematics.delta_r(y_a, phi_a, y_b, phi_b)
    softer = xp.minimum(pt_a, pt_b)
    m2, _ = _squared_mass_of_pairs(a, b)
    return _floored_log(xp.stack([distance, softer * distance, safe_divide(softer, pt_a + pt_b), m2], axis=-1))


def _squared_mass_of_pairs(a: Any, b: Any) -> tuple[Any, Any]:
    """Returns m² of the sums, and what the angles add to half of it, (...,) each.

    m² = m_a² + m_b² + 2 (mT_a mT_b cosh Δy − pT_a pT_b cos Δφ), with cosh x = 1 + 2 sinh²(x/2), cos likewise.
    """
    xp = a.__array_namespace__()
    (pt_a, y_a, phi_a, m2_a), (pt_b, y_b, phi_b, m2_b) = (xp.moveaxis(x, -1, 0) for x in (a, b))
    mt_mt = safe_sqrt((pt_a**2 + m2_a) * (pt_b**2 + m2_b))
    above = safe_divide(m2_a * m2_b + m2_a * pt_b**2 + m2_b * pt_a**2, mt_mt + pt_a * pt_b)
    opening = mt_mt * xp.sinh((y_a - y_b) / 2) ** 2 + pt_a * pt_b * xp.sin((phi_a - phi_b) / 2) ** 2
    return m2_a + m2_b + 2 * above + 4 * opening, opening


def _floored_log(quantities: Any) -> Any:
    xp = quantities.__array_namespace__()
    large = quantities > _FLOOR
    return xp.log(xp.where(large, quantities, xp.full_like(quantities, _FLOOR)))
