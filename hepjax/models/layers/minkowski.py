"""Products of four-vectors, with signs + for energies and − for momenta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hepjax.numerics import unfused_product

if TYPE_CHECKING:
    import jax

METRIC = np.array([-1, -1, -1, 1], np.float32)
"""Of px, py, pz and E."""
BEAMS = np.array([[0, 0, 1, 1], [0, 0, -1, 1]], np.float32)
"""(2, 4): light-like vectors along the beams."""


def minkowski_product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Computes E_a E_b − p_a · p_b, rounded alike on all devices.

    In float32 that of light-like vectors is known to some 1e-7 of E_a E_b, no better than what rounding them did to it.
    Terms are summed up in the order of the published code of arXiv:2201.08187, to which rounding is input too.

    Args:
      a: (4, ...) px, py, pz and E.
      b: (4, ...), broadcastable to a but for the first axis.

    Returns:
      (...).

    >>> minkowski_product(np.array([1.0, 0.0, 0.0, 3.0]), np.array([2.0, 0.0, 0.0, 4.0])).item()
    10.0
    """
    px, py, pz, e = (unfused_product(a[i] * b[i]) for i in range(4))
    found: jax.Array = 2 * e - (((e + px) + py) + pz)
    return found
