"""The loss of a variational autoencoder, and sampling from its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.numerics import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, Reconstruction

_NARROWEST = 1e-6  # the smallest variance of a decoded feature


def variational_loss(outputs: Reconstruction, targets: Any, weights: Any) -> jax.Array:
    """Computes an upper bound on the mean of -ln p (arXiv:1312.6114, eq. 10), with the best width for each feature.

    The decoder gives the mean of a normal distribution, whose variance is the optimal one for the batch, the mean
    square of the residuals (arXiv:2006.13202, section 3): no weight between both terms needs tuning.

    Args:
      outputs: outputs of the autoencoder for B examples, decoded from random codes.
      targets: (B, F) inputs of the autoencoder.
      weights: (B,) example weights.

    Returns:
      () loss in nats per example.

    >>> from hepjax.types import Reconstruction
    >>> x = jnp.array([[1.0], [-1.0]])
    >>> round(float(variational_loss(Reconstruction(0 * x, 0 * x, 0 * x), x, jnp.ones(2))), 4)
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
    """Makes a decoder for `sample_flow` that adds normal noise to the decoded means.

    Without this noise generated examples would scatter less than true examples.

    Args:
      decode: function from (B, L) codes and (B, K) conditions to (B, F) means.
      width: (F,) standard deviations around the means, such as the root mean square of the residuals.

    Returns:
      A function from (B, L + F) normal numbers and (B, K) conditions to (B, F) values.

    >>> decoder = noisy_decoder(lambda z, c: z[:, :1] + c, jnp.array([0.5]))
    >>> decoder(jnp.array([[1.0, 2.0]]), jnp.array([[10.0]])).item()
    12.0
    """
    widths = jnp.asarray(width)

    def from_latent(z: Array, condition: Array) -> jax.Array:
        codes = z.shape[-1] - widths.shape[-1]
        return decode(z[..., :codes], condition) + widths * z[..., codes:]

    return from_latent
