"""Conversions between four-momenta and collider coordinates, in GeV and radians.

Every function accepts NumPy or JAX arrays and returns the same type, so that readers, simulation and compiled code
share one convention. Gradients are finite everywhere, including zero momentum.
"""

from __future__ import annotations

from math import pi
from typing import Any

from hepjax.numerics import safe_divide, safe_sqrt


def wrap_azimuth(phi: Any) -> Any:
    """Wraps an azimuth into [-π, π).

    Args:
      phi: angles of any shape, radians.

    Returns:
      The same angles in [-π, π).

    >>> import numpy as np
    >>> wrap_azimuth(np.array([0.5, 2 * np.pi + 0.5])).round(6).tolist()
    [0.5, 0.5]
    """
    return (phi + pi) % (2 * pi) - pi


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
    return safe_sqrt(p4[..., 0] ** 2 + p4[..., 1] ** 2)


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
    still = (p4[..., 0] == 0) & (p4[..., 1] == 0)
    return xp.atan2(p4[..., 1], xp.where(still, xp.ones_like(p4[..., 0]), p4[..., 0]))


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
    return p4.__array_namespace__().asinh(safe_divide(p4[..., 2], pt(p4)))


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
    transverse_mass = safe_sqrt(pt(p4) ** 2 + mass(p4) ** 2)
    return p4.__array_namespace__().asinh(safe_divide(p4[..., 2], transverse_mass))


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
    transverse_2 = p4[..., 0] ** 2 + p4[..., 1] ** 2
    return safe_sqrt((p4[..., 3] - p4[..., 2]) * (p4[..., 3] + p4[..., 2]) - transverse_2)


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
    return safe_sqrt((eta_a - eta_b) ** 2 + wrap_azimuth(phi_a - phi_b) ** 2)


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
    px, py, pz = pt * xp.cos(phi), pt * xp.sin(phi), pt * xp.sinh(eta)
    return xp.stack([px, py, pz, xp.sqrt(px**2 + py**2 + pz**2 + mass**2)], axis=-1)
