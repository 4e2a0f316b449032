"""A variational autoencoder as a generator: what it is trained by, and how new data are drawn from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.numerics import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, Reconstruction

_NARROWEST = 1e-6  # variance of what is decoded


def variational_loss(outputs: Reconstruction, targets: Any, weights: Any) -> jax.Array:
    """An upper bound on the mean of -ln p (arXiv:1312.6114, eq. 10), with the best width for each feature.

    What is decoded is the mean of a normal distribution, whose variance is that which this batch likes best, the mean
    square of its misses (arXiv:2006.13202, section 3): there is nothing to tune between both terms.

    Args:
      outputs: of the autoencoder, of B examples, decoded of a draw from their codes' distributions.
      targets: (B, F) its inputs.
      weights: (B,) example weights.

    Returns:
      () nats an example.

    >>> from hepjax.types import Reconstruction
    >>> one = jnp.array([[1.0], [-1.0]])
    >>> round(float(variational_loss(Reconstruction(0 * one, 0 * one, 0 * one), one, jnp.ones(2))), 4)
    1.4189
    """
    counts = jnp.asarray(weights)
    square = weighted_mean((outputs.values - jnp.asarray(targets)) ** 2, counts[:, None], axis=0)
    decoding = 0.5 * jnp.sum(jnp.log(2 * jnp.pi * jnp.maximum(square, _NARROWEST)) + 1)
    mean, log_variance = outputs.mean, outputs.log_variance
    divergence = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)
    loss: jax.Array = decoding + weighted_mean(divergence, counts)
    return loss


def noisy_decoder(decode: Callable[[Array, Array], jax.Array], width: Any) -> Callable[[Array, Array], jax.Array]:
    """A decoder as `sample` takes it: the last of the normal numbers are the noise about what is decoded.

    Without that noise generated examples would scatter less than true ones.

    Args:
      decode: ((B, L) codes, (B, K) conditions) → (B, F) means.
      width: (F,) standard deviations of what is decoded, such as the root mean square of its misses.

    Returns:
      The function ((B, L + F) normal numbers, (B, K) conditions) → (B, F) values.

    >>> made = noisy_decoder(lambda z, c: z[:, :1] + c, jnp.array([0.5]))(jnp.array([[1.0, 2.0]]), jnp.array([[10.0]]))
    >>> made.item()
    12.0
    """
    widths = jnp.asarray(width)

    def from_latent(z: Array, condition: Array) -> jax.Array:
        codes = z.shape[-1] - widths.shape[-1]
        return decode(z[..., :codes], condition) + widths * z[..., codes:]

    return from_latent
