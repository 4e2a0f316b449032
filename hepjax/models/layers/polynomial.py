"""Polynomials of features: linear models whose answers are curves."""

from __future__ import annotations

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp


def polynomial_basis(x: jax.Array, degree: int) -> jax.Array:
    """Returns all monomials of the features from degree 1 up to `degree`; the bias stands for degree 0.

    Args:
      x: (..., F).
      degree: at least 1.

    Returns:
      (..., M) monomials by rising degree, M = C(F + degree, degree) − 1.

    Raises:
      ValueError: the degree is below 1.

    >>> polynomial_basis(jnp.array([2.0, 3.0]), 2).tolist()
    [2.0, 3.0, 4.0, 6.0, 9.0]
    """
    if degree < 1:
        raise ValueError(f"degree: expected at least 1, found {degree}")
    x = jnp.asarray(x)
    powers = (list(combinations_with_replacement(range(x.shape[-1]), d)) for d in range(1, degree + 1))
    return jnp.concatenate([jnp.prod(x[..., jnp.array(each)], axis=-1) for each in powers], axis=-1)
