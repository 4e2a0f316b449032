"""Likelihood, sampling and checks of normalizing flows."""

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
"""The largest accepted error of the inverse of a flow, in standard deviations."""

_REMEDY = "take fewer layers, more jets or a lower learning rate"


def normal_nll(values: Any) -> np.ndarray:
    """Computes -ln p of prepared numbers under the normal distribution with the mean and covariance of the class.

    Args:
      values: (N, F) numbers from `prepare`.

    Returns:
      (N,) float64 -ln p, in the same coordinates as the density of a flow.

    >>> round(float(normal_nll(np.zeros((1, 2)))[0]), 4)
    1.8379
    """
    x = np.asarray(values, np.float64)
    return np.asarray(0.5 * (x**2 + np.log(2 * np.pi)).sum(axis=-1))


def mixture_nll(values: Any) -> Any:
    """Computes -ln p of the mean density of several generators; works with NumPy and JAX.

    Args:
      values: (M, N, K) -ln p by each of M generators.

    Returns:
      (N, K) -ln p.

    >>> mixture_nll(np.array([[[1.0]], [[1.0]]])).tolist()
    [[1.0]]
    """
    xp = values.__array_namespace__()
    low = values.min(axis=0)
    start = xp.where(xp.isfinite(low), low, xp.zeros_like(low))
    return start - xp.log(xp.exp(start - values).mean(axis=0))


def sample_flow(
    from_latent: Callable[[Array, Array], Any], condition: np.ndarray, latent: int, seed: int, block: int = 2000
) -> np.ndarray:
    """Converts normal numbers to new data.

    Args:
      from_latent: function from (B, L) normal numbers and (B, K) conditions to (B, F) values; it is compiled.
      condition: (N, K) float32 conditions, one row for each example.
      latent: number of latent dimensions, L.
      seed: seed of the normal numbers.
      block: number of examples per call of the compiled program.

    Returns:
      (N, F) float32 values.

    Raises:
      InputError: there are no conditions.

    >>> sample_flow(lambda z, c: z + c, np.full((3, 2), 100.0, np.float32), latent=2, seed=0).shape
    (3, 2)
    """
    if len(condition) == 0:
        raise InputError("condition: expected one row or more, a row for each jet to make, found none")
    program, blocks, key = jax.jit(from_latent), [], jax.random.key(seed)
    for i, first in enumerate(range(0, len(condition), block)):
        rows = np.arange(first, first + block) % len(condition)  # full blocks, so that there is one program
        noise = jax.random.normal(jax.random.fold_in(key, i), (block, latent))
        blocks.append(np.asarray(program(noise, condition[rows])))
    return np.concatenate(blocks)[: len(condition)]


def check_flow(
    to_latent: Callable[[Any, Any], Any],
    from_latent: Callable[[Any, Any], Any],
    values: Any,
    condition: Any,
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Checks that a flow is invertible and its likelihood is finite.

    Args:
      to_latent: function from (B, F) values and (B, K) conditions to (B, F) normal numbers and (B,) log-determinants.
      from_latent: inverse of `to_latent`.
      values: (N, F) values of jets not used in training.
      condition: (N, K) conditions of these jets.
      tolerance: largest accepted change of a value by the flow and its inverse.

    Returns:
      The largest change.

    Raises:
      InputError: the likelihood of a jet is not finite, or its change exceeds the tolerance.

    >>> x = np.ones((2, 1), np.float32)
    >>> check_flow(lambda x, c: (x / 2, jnp.zeros(2)), lambda z, c: 2 * z, x, x)
    0.0
    """

    @jax.jit
    def round_trip(x: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
        latent, log_determinant = to_latent(x, c)
        change = jnp.max(jnp.abs(from_latent(latent, c) - x), axis=-1)
        return jnp.sum(latent**2, axis=-1) + log_determinant, change

    likelihood, change = map(np.asarray, round_trip(jnp.asarray(values), jnp.asarray(condition)))
    bad = ~np.isfinite(likelihood)
    if bad.any():
        raise InputError(f"flow exploded: {bad.sum()} of {len(bad)} jets have no finite likelihood; {_REMEDY}")
    wrong = ~(change <= tolerance)
    if wrong.any():
        words = f"{wrong.sum()} of {len(wrong)} jets come back changed by more than {tolerance:g}"
        raise InputError(f"flow is not invertible: {words}, one by {change.max():.2g}; {_REMEDY}")
    return float(change.max())
