"""Detectors of anomalies: autoencoders that learn the background, and all scores of what they make of jets."""

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
    """(N, ...) inputs → what comes back, NumPy arrays."""

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
    tell: Callable[[str], None] = lambda line: None,  # noqa: ARG005
) -> Detector:
    """Trains an autoencoder with Adam and a learning rate that falls to 0; the epoch of the lowest loss counts.

    Args:
      model: of `hepjax.models`, such as `Autoencoder`.
      x: (N, ...) float32 inputs of background jets.
      val: (M, ...) the same of other background jets, which tell the best epoch.
      loss: (outputs, targets, weights) → () mean; `losses.negative_elbo` for a variational autoencoder.
      epochs: how often each jet is seen.
      learning_rate: at the start.
      batch_size: jets in a step.
      seed: of the parameters, the order of jets, and the draws of codes.
      tell: given a line after each epoch, and one where the training diverges: the last good state is used then.

    Returns:
      The function of inputs.

    >>> x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    >>> detector = fit_autoencoder(models.Autoencoder(outputs=3, hidden=(), latent=1), x, x, epochs=1)
    >>> detector(x[:5]).values.shape
    (5, 3)
    """
    apply, key = models.make_apply(model), jax.random.key(seed)
    rate = training.make_schedule(Schedule.COSINE, learning_rate, steps=epochs * -(-len(x) // batch_size))
    optimizer = training.make_optimizer(Optimizer.ADAM, rate)
    train, held = (Batch(part, part, np.ones(len(part), np.float32)) for part in (x, val))
    steps = training.make_train_step(apply, loss, optimizer), training.make_eval_step(apply, loss)
    try:
        state = training.fit(
            training.start(*models.initialize(model, key, x[:1]), optimizer, key),
            batching.make_windows(train, batch_size=batch_size, seed=seed),
            lambda: batching.eval_batches(held, batch_size=min(len(val), _AT_ONCE)),
            training.compile_here(*steps),
            epochs=epochs,
            schedule=rate,
            on_epoch=lambda progress: tell(_LINE.format(epochs, *progress.history[-1])),
        ).best
    except training.DivergedError as error:
        tell(f"{error}; the last good state is used")
        state = error.state
    answer = jax.jit(lambda x: apply(state.params, state.model_state, x, jnp.ones(len(x), bool), None)[0])

    def detector(x: np.ndarray) -> Reconstruction:
        some = batching.eval_batches(Batch(x, x, np.ones(len(x), np.float32)), batch_size=_AT_ONCE)
        parts = [jax.device_get(answer(batch.inputs)) for batch in some]
        return Reconstruction(*(np.concatenate(column)[: len(x)] for column in zip(*parts, strict=True)))

    return detector


def anomaly_scores(detector: Detector, x: np.ndarray, known: np.ndarray, held: np.ndarray) -> dict[str, np.ndarray]:
    """All scores of jets: larger ones are less like the background.

    Args:
      detector: from `fit_autoencoder`.
      x: (N, ...) float32 inputs of the jets to be judged.
      known: (M, ...) those that were learnt from, whose codes are the background's.
      held: (K, ...) background jets that were not, whose scores say how rare a score is.

    Returns:
      Name → (N,) float64: "reconstruction error", a mean over all inputs; "latent distance", of Mahalanobis; "both",
      combined; where codes are distributions "KL divergence", and "negative ELBO", both in nats.

    >>> x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    >>> scores = anomaly_scores(lambda x: Reconstruction(0 * x, x, 0 * x), x[:2], x, x)
    >>> [*scores]
    ['reconstruction error', 'latent distance', 'both', 'KL divergence', 'negative ELBO']
    """
    codes = anomalies.fit_codes(detector(known).mean)

    def simple(x: np.ndarray) -> tuple[Reconstruction, np.ndarray, np.ndarray]:
        outputs = detector(x)
        distance = np.asarray(losses.squared_distance(outputs, x), np.float64)
        return outputs, distance / x[0].size, anomalies.latent_distance(codes, outputs.mean)

    outputs, *scores = simple(x)
    found = dict(zip(("reconstruction error", "latent distance"), scores, strict=True))
    found["both"] = anomalies.combined(scores, simple(held)[1:])
    if outputs.log_variance.shape[-1]:
        found["KL divergence"] = np.asarray(losses.kl_divergence(outputs), np.float64)
        found["negative ELBO"] = 0.5 * x[0].size * found["reconstruction error"] + found["KL divergence"]
    return found
