"""Anomaly detectors: autoencoders trained on background, and the anomaly scores computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from hepjax import models, training
from hepjax.choices import Optimizer, Schedule
from hepjax.inputs import batching
from hepjax.tasks.anomaly import scores as anomalies
from hepjax.training import losses
from hepjax.types import Batch, Reconstruction

if TYPE_CHECKING:
    from collections.abc import Callable

    from flax import linen as nn

    Detector = Callable[[np.ndarray], Reconstruction]
    """A function from (N, ...) inputs to their reconstruction, in NumPy arrays."""

_AT_ONCE = 500
_LINE = "epoch {1} of {0}, loss {2:.4g}, of validation {3:.4g}, {6:.1f} s"


def fit_autoencoder(
    model: nn.Module,
    x: np.ndarray,
    val: np.ndarray,
    loss: Callable[..., jax.Array] = losses.reconstruction_error,
    *,
    epochs: int = 20,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    seed: int = 0,
    log: Callable[[str], None] = lambda line: None,  # noqa: ARG005
) -> Detector:
    """Trains an autoencoder with Adam and a learning rate that falls to 0, and keeps the epoch of the lowest loss.

    Args:
      model: network from `hepjax.models`, such as `Autoencoder`.
      x: (N, ...) float32 inputs of background jets.
      val: (M, ...) float32 inputs of further background jets, which determine the best epoch.
      loss: function from (outputs, targets, weights) to the () mean loss; `losses.negative_elbo` for a variational
        autoencoder.
      epochs: number of epochs.
      learning_rate: initial learning rate.
      batch_size: number of jets in a step.
      seed: seed of the parameters, the order of jets, and the random codes.
      log: called with a line of text after each epoch, and if the training diverges; the last good state is then used.

    Returns:
      The trained detector, a function of inputs.

    >>> x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    >>> detector = fit_autoencoder(models.Autoencoder(outputs=3, hidden=(), latent=1), x, x, epochs=1)
    >>> detector(x[:5]).values.shape
    (5, 3)
    """
    apply, key = models.make_apply(model), jax.random.key(seed)
    rate = training.make_schedule(Schedule.COSINE, learning_rate, steps=epochs * -(-len(x) // batch_size))
    optimizer = training.make_optimizer(Optimizer.ADAM, rate)
    train, validation = (Batch(part, part, np.ones(len(part), np.float32)) for part in (x, val))
    steps = training.make_train_step(apply, loss, optimizer), training.make_eval_step(apply, loss)
    try:
        state = training.fit(
            training.start(*models.initialize(model, key, x[:1]), optimizer, key),
            batching.make_windows(train, batch_size=batch_size, seed=seed),
            lambda: batching.eval_batches(validation, batch_size=min(len(val), _AT_ONCE)),
            training.compile_here(*steps),
            epochs=epochs,
            schedule=rate,
            on_epoch=lambda progress: log(_LINE.format(epochs, *progress.history[-1])),
        ).best
    except training.DivergedError as error:
        log(f"{error}; the last good state is used")
        state = error.state
    reconstruct = jax.jit(lambda x: apply(state.params, state.model_state, x, jnp.ones(len(x), bool), None)[0])

    def detector(x: np.ndarray) -> Reconstruction:
        batches = batching.eval_batches(Batch(x, x, np.ones(len(x), np.float32)), batch_size=_AT_ONCE)
        parts = [jax.device_get(reconstruct(batch.inputs)) for batch in batches]
        return Reconstruction(*(np.concatenate(column)[: len(x)] for column in zip(*parts, strict=True)))

    return detector


def anomaly_scores(detector: Detector, x: np.ndarray, train: np.ndarray, val: np.ndarray) -> dict[str, np.ndarray]:
    """Computes all anomaly scores of jets, which are larger for jets that are less like the background.

    Args:
      detector: from `fit_autoencoder`.
      x: (N, ...) float32 inputs of the jets to score.
      train: (M, ...) inputs of the background jets of the training, whose codes describe the background.
      val: (K, ...) inputs of background jets not used in training, whose scores calibrate the combined score.

    Returns:
      A mapping from name to (N,) float64: "reconstruction error", a mean over all inputs; "latent distance", the
      squared Mahalanobis distance; "both", their combination; if codes are distributions also "KL divergence" and
      "negative ELBO", both in nats.

    >>> x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    >>> scores = anomaly_scores(lambda x: Reconstruction(0 * x, x, 0 * x), x[:2], x, x)
    >>> [*scores]
    ['reconstruction error', 'latent distance', 'both', 'KL divergence', 'negative ELBO']
    """
    codes = anomalies.fit_codes(detector(train).mean)

    def basic_scores(x: np.ndarray) -> tuple[Reconstruction, np.ndarray, np.ndarray]:
        outputs = detector(x)
        distance = np.asarray(losses.squared_distance(outputs, x), np.float64)
        return outputs, distance / x[0].size, anomalies.latent_distance(codes, outputs.mean)

    outputs, *scores = basic_scores(x)
    named_scores = dict(zip(("reconstruction error", "latent distance"), scores, strict=True))
    named_scores["both"] = anomalies.combine_scores(scores, basic_scores(val)[1:])
    if outputs.log_variance.shape[-1]:
        named_scores["KL divergence"] = np.asarray(losses.kl_divergence(outputs), np.float64)
        named_scores["negative ELBO"] = (
            0.5 * x[0].size * named_scores["reconstruction error"] + named_scores["KL divergence"]
        )
    return named_scores
