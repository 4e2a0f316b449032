"""Linear and logistic regression."""

from __future__ import annotations

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
from flax import linen as nn


def polynomial_basis(x: jax.Array, degree: int) -> jax.Array:
    """All monomials of the features from degree 1 up to `degree`; the bias stands for degree 0.

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


class Linear(nn.Module):
    """Regression linear in its parameters.

    Attributes:
      outputs: D; for `gaussian_nll` give twice the number of targets.
      degree: of the polynomial basis; 1 is a straight line.
    """

    outputs: int = 1
    degree: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, (B, F) float; mask and train change nothing here. Returns: (B, D)."""
        del mask, train
        return nn.Dense(self.outputs)(polynomial_basis(x, self.degree))


class Logistic(nn.Module):
    """Logistic regression: multinomial, or binary where there are two classes.

    Attributes:
      classes: C.
      degree: of the polynomial basis; above 1 the decision boundary is a curve.
    """

    classes: int = 5
    degree: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array | None = None, train: bool = False) -> jax.Array:
        """Args: x, (B, F) float; mask and train change nothing here.

        Returns: (B, C) logits; for two classes (B,), the log odds of class 1.
        """
        del mask, train
        basis = polynomial_basis(x, self.degree)
        return nn.Dense(self.classes)(basis) if self.classes > 2 else nn.Dense(1)(basis)[..., 0]
