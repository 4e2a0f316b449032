"""What a normalizing flow is trained by, how it makes new data, and whether it can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array

TOLERANCE = 0.01
"""By how much, in standard deviations, a jet may come back changed."""

_REMEDY = "take fewer layers, more jets or a lower learning rate"


def normal_nll(values: Any) -> np.ndarray:
    """Of numbers that `prepare` gave: -ln p under the normal distribution with the class's mean and covariance.

    Args:
      values: (N, F).

    Returns:
      (N,) float64, in the same coordinates as that of a flow of these numbers.

    >>> round(float(normal_nll(np.zeros((1, 2)))[0]), 4)
    1.8379
    """
    x = np.asarray(values, np.float64)
    return np.asarray(0.5 * (x**2 + np.log(2 * np.pi)).sum(axis=-1))


def sample(
    from_latent: Callable[[Array, Array], Any], condition: np.ndarray, latent: int, seed: int, block: int = 2000
) -> np.ndarray:
    """New data, of normal numbers.

    Args:
      from_latent: ((B, L) normal numbers, (B, K) conditions) → (B, F) values; it is compiled here.
      condition: (N, K) float32, one row for each.
      latent: L.
      seed: of the normal numbers.
      block: made at once, by one program.

    Returns:
      (N, F) float32.

    Raises:
      InputError: there is nothing to make.

    >>> sample(lambda z, c: z + c, np.full((3, 2), 100.0, np.float32), latent=2, seed=0).shape
    (3, 2)
    """
    if len(condition) == 0:
        raise InputError("condition: expected one row or more, a row for each jet to make, found none")
    program, made, key = jax.jit(from_latent), [], jax.random.key(seed)
    for i, first in enumerate(range(0, len(condition), block)):
        rows = np.arange(first, first + block) % len(condition)  # a block is filled up, so that one program makes all
        made.append(
            np.asarray(program(jax.random.normal(jax.random.fold_in(key, i), (block, latent)), condition[rows]))
        )
    return np.concatenate(made)[: len(condition)]


def check_flow(
    to_latent: Callable[[Any, Any], Any],
    from_latent: Callable[[Any, Any], Any],
    values: Any,
    condition: Any,
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Refuses a flow that does not lead back, or whose likelihood is not finite.

    Args:
      to_latent: ((B, F) values, (B, K) conditions) → (B, F) normal numbers, (B,) logarithms of the determinant.
      from_latent: the way back.
      values: (N, F) of jets that it was not trained on.
      condition: (N, K) of these.
      tolerance: by how much a value may come back changed.

    Returns:
      The largest change.

    Raises:
      InputError: a jet's likelihood is not finite, or it comes back changed by more.

    >>> x = np.ones((2, 1), np.float32)
    >>> check_flow(lambda x, c: (x / 2, jnp.zeros(2)), lambda z, c: 2 * z, x, x)
    0.0
    """

    @jax.jit
    def there_and_back(x: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        latent, log_determinant = to_latent(x, c)
        missed = jnp.max(jnp.abs(from_latent(latent, c) - x), axis=-1)
        return jnp.sum(latent**2, axis=-1) + log_determinant, missed

    found, missed = map(np.asarray, there_and_back(jnp.asarray(values), jnp.asarray(condition)))
    lost = ~np.isfinite(found)
    if lost.any():
        raise InputError(f"flow exploded: {lost.sum()} of {len(lost)} jets have no finite likelihood; {_REMEDY}")
    wrong = ~(missed <= tolerance)
    if wrong.any():
        words = f"{wrong.sum()} of {len(wrong)} jets come back changed by more than {tolerance:g}"
        raise InputError(f"flow is not invertible: {words}, one by {missed.max():.2g}; {_REMEDY}")
    return float(missed.max())
