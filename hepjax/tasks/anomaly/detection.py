"""What a network gives back, as anomaly scores: pure functions of JAX arrays, and what they need of the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.inputs import pipelines
from hepjax.tasks.anomaly.scores import Codes, Tail, combine_anomaly_scores, fit_codes, fit_score_tail, latent_distance
from hepjax.training import losses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hepjax.tasks.task_types import TrainedNetwork
    from hepjax.types import Reconstruction

ERROR, KL, ELBO, CODE = range(4)
"""Columns of what is read out of a network; codes take all from the last one on."""


def anomaly_read_out(outputs: Reconstruction, inputs: jax.Array) -> jax.Array:
    """Computes the numbers that losses and scores are made of.

    Args:
      outputs: what the network gives back.
      inputs: (B, ...) what it was given.

    Returns:
      (B, 3 + L): the reconstruction error, a mean over all numbers of a jet; the KL divergence, 0 where codes are no
      distributions; the negative ELBO, in nats; the code.

    >>> from hepjax.types import Reconstruction
    >>> outputs = Reconstruction(jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]), jnp.zeros((1, 1)))
    >>> anomaly_read_out(outputs, jnp.array([[3.0, 3.0]])).tolist()
    [[2.5, 4.5, 7.0, 3.0]]
    """
    distance = losses.autoencoder_distance(outputs, inputs)
    divergence = losses.kl_divergence(outputs) if outputs.log_variance.shape[1] else jnp.zeros_like(distance)
    size = int(np.prod(inputs.shape[1:]))
    numbers = jnp.stack([distance / size, divergence, distance / 2 + divergence], axis=1)
    return jnp.concatenate([numbers, outputs.mean], axis=1)


def background_references(
    train: np.ndarray, val: np.ndarray, weights: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Describes the background: the distribution of its codes, and those of scores of jets that were not learned from.

    Args:
      train: (n, 3 + L) of the training jets, from `anomaly_read_out`.
      val: (m, 3 + L) of the validation jets.
      weights: (n,) and (m,).

    Returns:
      What `anomaly_scores` needs, float32.
    """
    codes = fit_codes(train[:, CODE:], weights[0])
    tails = {
        "error": fit_score_tail(val[:, ERROR], weights[1]),
        "distance": fit_score_tail(latent_distance(codes, val[:, CODE:]), weights[1]),
    }
    arrays = {"code_mean": codes.mean, "code_whitening": codes.whitening}
    arrays |= {f"{score}_{part}": x for score, tail in tails.items() for part, x in tail._asdict().items()}
    return {name: values.astype(np.float32) for name, values in arrays.items()}


def anomaly_scores(outputs: jax.Array, background: Mapping[str, Any], *, variational: bool) -> jax.Array:
    """Computes anomaly scores, which are larger for jets that are less like the background.

    Args:
      outputs: (B, 3 + L) from `anomaly_read_out`.
      background: from `background_references`.
      variational: whether codes are distributions.

    Returns:
      (B, 3): the reconstruction error, the squared Mahalanobis distance of the code, and both combined; if codes are
      distributions (B, 5), with the KL divergence and the negative ELBO, in nats.
    """
    codes = Codes(background["code_mean"], background["code_whitening"])
    tails = [Tail(*(background[f"{name}_{part}"] for part in Tail._fields)) for name in ("error", "distance")]
    error, distance = outputs[:, ERROR], latent_distance(codes, outputs[:, CODE:])
    columns = [error, distance, combine_anomaly_scores(tails, [error, distance])]
    if variational:
        columns += [outputs[:, KL], outputs[:, ELBO]]
    return jnp.stack(columns, axis=1)


def reconstruct(network: TrainedNetwork, loaded: Any) -> np.ndarray:
    """Gives jets to a network and shows what comes back.

    Args:
      network: of a run, such as `hepjax.load("runs/autoencoder-1").networks[0]`.
      loaded: what its pipeline has loaded of N jets.

    Returns:
      (N, 2, ...) float32: what the network sees, scaled, and what it gives back.
    """
    seen_and_given = network.pipeline._replace(
        read_out=lambda outputs, inputs: jnp.stack([inputs, outputs.values], axis=1)
    )
    apply = pipelines.make_apply(seen_and_given, network.scaling, network.precision)
    mask = jnp.ones(jax.tree.leaves(loaded)[0].shape[0], bool)
    result = jax.jit(lambda x: apply(network.params, network.model_state, x, mask, None)[0])(loaded)
    return np.asarray(jax.device_get(result))
