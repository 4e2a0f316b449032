"""Conversions between four-momenta and collider coordinates, in GeV and radians.

Every function accepts NumPy or JAX arrays and returns the same type, so that readers, simulation and compiled code
share one convention. Values and gradients are finite for momenta from 1e-30 to 1e30 GeV, in float32 too, and for zero.
"""

from __future__ import annotations

from typing import Any

from hepjax.numerics import asinh_of_ratio, safe_norm, safe_sqrt, scale_to_one, wrap_azimuth

_SMALLEST = 1.1754944e-38
"""The smallest normal float32; momenta below are none."""


def pt(p4: Any) -> Any:
    """Computes the transverse momentum.

    Args:
      p4: (..., 4) momenta (px, py, pz, E), GeV.

    Returns:
      (...) pT in GeV.

    >>> import numpy as np
    >>> float(pt(np.array([3.0, 4.0, 12.0, 13.0])))
    5.0
    """
    return safe_norm(p4[..., 0], p4[..., 1])


def phi(p4: Any) -> Any:
    """Computes the azimuth in [-π, π], 0 at zero transverse momentum.

    Args:
      p4: (..., 4) momenta (px, py, pz, E), GeV.

    Returns:
      (...) angles, radians.

    >>> import numpy as np
    >>> float(phi(np.array([0.0, 1.0, 0.0, 1.0])).round(6))
    1.570796
    """
    xp = p4.__array_namespace__()
    px, py = p4[..., 0], p4[..., 1]
    still = (abs(px) < _SMALLEST) & (abs(py) < _SMALLEST)
    scale = scale_to_one(px, py)
    return xp.atan2(xp.where(still, xp.zeros_like(py), py * scale), xp.where(still, xp.ones_like(px), px * scale))


def eta(p4: Any) -> Any:
    """Computes the pseudorapidity asinh(pz / pT), 0 at zero transverse momentum.

    Args:
      p4: (..., 4) momenta (px, py, pz, E), GeV.

    Returns:
      (...) pseudorapidities.

    >>> import numpy as np
    >>> float(eta(np.array([1.0, 0.0, np.sinh(1.5), 9.0])).round(6))
    1.5
    """
    return asinh_of_ratio(p4[..., 2], pt(p4))


def rapidity(p4: Any) -> Any:
    """Computes the rapidity asinh(pz / sqrt(m² + pT²)), 0 at zero transverse mass, as used by jet algorithms.

    Args:
      p4: (..., 4) momenta (px, py, pz, E), GeV.

    Returns:
      (...) rapidities.

    >>> import numpy as np
    >>> float(rapidity(np.array([1.0, 0.0, np.sinh(1.5), np.cosh(1.5)])).round(6))
    1.5
    """
    return asinh_of_ratio(p4[..., 2], safe_norm(pt(p4), mass(p4)))


def mass(p4: Any) -> Any:
    """Computes the invariant mass; it is 0 where rounding makes m² negative.

    Args:
      p4: (..., 4) momenta (px, py, pz, E), GeV.

    Returns:
      (...) masses, GeV.

    >>> import numpy as np
    >>> float(mass(np.array([0.0, 3.0, 0.0, 5.0])))
    4.0
    """
    # Factored so that a light, fast particle loses fewer digits than in E² - p².
    scale = scale_to_one(*(p4[..., i] for i in range(4)))
    px, py, pz, e = (p4[..., i] * scale for i in range(4))
    return safe_sqrt((e - pz) * (e + pz) - (px**2 + py**2)) / scale


def delta_r(eta_a: Any, phi_a: Any, eta_b: Any, phi_b: Any) -> Any:
    """Computes the distance in the η-φ plane.

    Args:
      eta_a: pseudorapidity or rapidity of the first direction.
      phi_a: azimuth of the first direction, radians.
      eta_b: pseudorapidity or rapidity of the second direction; broadcasts.
      phi_b: azimuth of the second direction, radians; broadcasts.

    Returns:
      ΔR = sqrt(Δη² + Δφ²) with Δφ wrapped.

    >>> import numpy as np
    >>> float(delta_r(np.array(0.0), np.array(3.1), np.array(0.0), np.array(-3.1)).round(4))
    0.0832
    """
    return safe_norm(eta_a - eta_b, wrap_azimuth(phi_a - phi_b))


def from_pt_eta_phi_mass(pt: Any, eta: Any, phi: Any, mass: Any) -> Any:
    """Computes four-momenta from collider coordinates.

    Args:
      pt: (...) transverse momenta, GeV.
      eta: (...) pseudorapidities.
      phi: (...) azimuths, radians.
      mass: (...) masses, GeV.

    Returns:
      (..., 4) momenta (px, py, pz, E), GeV.

    >>> import numpy as np
    >>> from_pt_eta_phi_mass(*np.array([3.0, 0.0, 0.0, 4.0])).tolist()
    [3.0, 0.0, 0.0, 5.0]
    """
    xp = pt.__array_namespace__()
    # Without pT there is no direction, whatever η stands for it.
    eta = xp.where(pt == 0, xp.zeros_like(eta), eta)
    px, py, pz = pt * xp.cos(phi), pt * xp.sin(phi), pt * xp.sinh(eta)
    return xp.stack([px, py, pz, safe_norm(px, py, pz, mass)], axis=-1)
