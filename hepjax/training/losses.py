"""Masked, weighted losses, and penalties on parameters. Every loss is Σ w·loss / Σ |w| over the examples that count.

The others do not matter, neither for the loss nor for gradients, even where their outputs or targets are NaN. Weights
may be negative: those of a batch may add up to 0 or less, but their |w| does not, so that no loss or gradient explodes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from hepjax.training._weighted_losses import check_loss_shapes, example_weights, mean_loss
from hepjax.training.weights import mask_of_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hepjax.types import PyTree, Reconstruction

    Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    """(outputs, targets, weights) → () loss."""


def binary_cross_entropy(
    logits: Any, labels: Any, weights: Any = None, *, mask: Any = None, class_weights: Any = None
) -> jax.Array:
    """Computes −log p of the true one of two classes, from log odds.

    Args:
      logits: (B,) log odds of class 1.
      labels: (B,) 0 or 1.
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      class_weights: (2,) a factor on the weights of each class; None is 1.

    Returns:
      () the mean.

    Raises:
      ValueError: the shapes do not fit.

    >>> round(float(binary_cross_entropy(jnp.array([0.0]), jnp.array([1]))), 4)
    0.6931
    """
    check_loss_shapes("binary_cross_entropy", "logits", logits, jnp.shape(labels), "labels", labels)
    factor = example_weights(labels, weights, mask, class_weights, 2)
    return mean_loss(lambda x: optax.sigmoid_binary_cross_entropy(x, labels.astype(x.dtype)), logits, factor)


def categorical_cross_entropy(
    logits: Any,
    labels: Any,
    weights: Any = None,
    *,
    mask: Any = None,
    class_weights: Any = None,
    smoothing: float = 0.0,
) -> jax.Array:
    """Computes −log p of the true class, from logits.

    Args:
      logits: (B, C).
      labels: (B,) class indices.
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      class_weights: (C,) a factor on the weights of each class; None is 1.
      smoothing: the share of the label that is divided among all classes alike (arXiv:1512.00567, section 7).

    Returns:
      () the mean.

    Raises:
      ValueError: the shapes do not fit.

    >>> round(float(categorical_cross_entropy(jnp.zeros((1, 5)), jnp.array([2]))), 4)
    1.6094
    """
    classes = jnp.shape(logits)[-1]
    check_loss_shapes("categorical_cross_entropy", "logits", logits, (*jnp.shape(labels), classes), "labels", labels)
    factor = example_weights(labels, weights, mask, class_weights, classes)

    def values(x: jax.Array) -> jax.Array:
        entropy: jax.Array = optax.softmax_cross_entropy_with_integer_labels(x, labels)
        if smoothing:
            entropy = (1 - smoothing) * entropy - smoothing * jnp.mean(jax.nn.log_softmax(x), axis=-1)
        return entropy

    return mean_loss(values, logits, factor)


def mean_squared_error(predictions: Any, targets: Any, weights: Any = None, *, mask: Any = None) -> jax.Array:
    """Computes the squared distance, averaged over examples and target components.

    Args:
      predictions: (B, D).
      targets: (B, D).
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.

    Returns:
      () the mean.

    Raises:
      ValueError: the shapes do not fit.

    >>> float(mean_squared_error(jnp.array([[1.0]]), jnp.array([[3.0]])))
    4.0
    """
    check_loss_shapes("mean_squared_error", "predictions", predictions, jnp.shape(targets), "targets", targets)
    factor = example_weights(targets[..., 0], weights, mask)
    return mean_loss(lambda x, y: jnp.mean(optax.squared_error(x, y), axis=-1), predictions, factor, targets)


def gaussian_nll(outputs: Any, targets: Any, weights: Any = None, *, mask: Any = None) -> jax.Array:
    """Computes minus the log-likelihood of a normal distribution whose mean and width are both learned.

    ½ (ln 2π + s + (y − μ)² e^−s) with s = ln σ², so that any output is a valid width. The mean squared error is the
    case of a constant σ.

    Args:
      outputs: (B, 2D): D means, then D log-variances.
      targets: (B, D).
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.

    Returns:
      () the mean over examples and target components.

    Raises:
      ValueError: the shapes do not fit.

    >>> round(float(gaussian_nll(jnp.array([[1.0, 0.0]]), jnp.array([[1.0]]))), 4)
    0.9189
    """
    *shape, width = jnp.shape(targets)
    check_loss_shapes("gaussian_nll", "outputs", outputs, (*shape, 2 * width), "targets", targets)

    def values(x: jax.Array, y: jax.Array) -> jax.Array:
        mean, log_variance = jnp.split(x, 2, axis=-1)
        square = (y - mean) ** 2 * jnp.exp(-log_variance)
        return jnp.mean(0.5 * (jnp.log(2 * jnp.pi) + log_variance + square), axis=-1)

    return mean_loss(values, outputs, example_weights(targets[..., 0], weights, mask), targets)


def huber_loss(predictions: Any, targets: Any, weights: Any = None, *, mask: Any = None, delta: float = 1) -> jax.Array:
    """Computes Huber's loss (Ann. Math. Stat. 35 (1964) 73): ½ r² up to delta, and delta (|r| - ½ delta) beyond.

    Args:
      predictions: (B, D).
      targets: (B, D).
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      delta: above 0, in the targets' unit.

    Returns:
      () the mean over examples and target components.

    Raises:
      ValueError: the shapes do not fit, or delta is not positive.

    >>> float(huber_loss(jnp.array([[1.0], [5.0]]), jnp.array([[0.0], [0.0]])))
    2.5
    """
    if not delta > 0:
        raise ValueError(f"huber_loss: expected delta above 0, found {delta}; give a positive one")
    check_loss_shapes("huber_loss", "predictions", predictions, jnp.shape(targets), "targets", targets)
    factor = example_weights(targets[..., 0], weights, mask)
    return mean_loss(lambda x, y: jnp.mean(optax.huber_loss(x, y, delta=delta), axis=-1), predictions, factor, targets)


def quantile_loss(
    outputs: Any, targets: Any, weights: Any = None, *, mask: Any = None, levels: Sequence[float] = (0.5,)
) -> jax.Array:
    """Computes the quantile (pinball) loss, whose minimum is the distribution's quantile at each level.

    Args:
      outputs: (B, D Q), for each target component its Q quantiles.
      targets: (B, D).
      weights: (B,) example weights of any sign; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      levels: the Q levels τ, between 0 and 1.

    Returns:
      () the mean of max(τ r, (τ - 1) r) with r = target - output, over examples, components and levels.

    Raises:
      ValueError: the shapes do not fit, or a level is not between 0 and 1.

    Reference: R. Koenker, G. Bassett, Econometrica 46 (1978) 33.

    >>> round(float(quantile_loss(jnp.array([[0.0]]), jnp.array([[1.0]]), levels=(0.9,))), 4)
    0.9
    """
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"quantile_loss: expected levels between 0 and 1, found {tuple(levels)}; give such")
    *shape, width = jnp.shape(targets)
    check_loss_shapes("quantile_loss", "outputs", outputs, (*shape, width * len(levels)), "targets", targets)
    tau = jnp.asarray(levels)

    def values(x: jax.Array, y: jax.Array) -> jax.Array:
        residual = y[..., None] - x.reshape(*y.shape, len(levels))
        return jnp.mean(jnp.maximum(tau * residual, (tau - 1) * residual), axis=(-2, -1))

    return mean_loss(values, outputs, example_weights(targets[..., 0], weights, mask), targets)


def autoencoder_distance(outputs: Reconstruction, targets: Any) -> jax.Array:
    """Computes how badly each example comes back from an autoencoder (arXiv:1808.08979, eq. 3; 1808.08992, eq. 3).

    Args:
      outputs: of an autoencoder, values (B, ...).
      targets: (B, ...), its inputs.

    Returns:
      (B,) the sum of squared differences.

    Raises:
      ValueError: the shapes do not fit.

    >>> from hepjax.types import Reconstruction
    >>> autoencoder_distance(Reconstruction(jnp.array([[1.0, 2.0]]), None, None), jnp.array([[3.0, 3.0]])).tolist()
    [5.0]
    """
    check_loss_shapes("autoencoder_distance", "outputs", outputs.values, jnp.shape(targets), "targets", targets)
    return _squared_distance(outputs.values, targets)


def kl_divergence(outputs: Reconstruction) -> jax.Array:
    """Computes how far each example's code lies from a standard normal distribution (arXiv:1312.6114, eq. 10).

    Args:
      outputs: of a variational autoencoder, mean and log_variance (B, L).

    Returns:
      (B,) ½ Σ (μ² + σ² - 1 - ln σ²), in nats; 0 for L = 0.

    >>> from hepjax.types import Reconstruction
    >>> kl_divergence(Reconstruction(None, jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2)))).tolist()
    [12.5]
    """
    return _kl_divergence(outputs.mean, outputs.log_variance)


def mean_network_loss(outputs: Any, targets: Any, weights: Any) -> jax.Array:  # noqa: ARG001
    """Averages the outputs of networks that compute each example's loss themselves, such as flows with -ln p.

    Args:
      outputs: (B,) float.
      targets: anything; what counts is among the inputs.
      weights: (B,) example weights of any sign.

    Returns:
      () the mean.

    >>> float(mean_network_loss(jnp.array([1.0, 3.0, jnp.nan]), None, jnp.array([1.0, 1.0, 0.0])))
    2.0
    """
    return mean_loss(lambda x: x, outputs, jnp.asarray(weights))


def reconstruction_error(outputs: Reconstruction, targets: Any, weights: Any = None) -> jax.Array:
    """Computes the squared difference of an autoencoder's inputs and outputs, averaged over all their numbers.

    Args:
      outputs: of an autoencoder, values (B, ...).
      targets: (B, ...), its inputs.
      weights: (B,) example weights of any sign; None is 1.

    Returns:
      () the mean.

    Raises:
      ValueError: the shapes do not fit.

    >>> from hepjax.types import Reconstruction
    >>> float(reconstruction_error(Reconstruction(jnp.array([[1.0, 2.0]]), None, None), jnp.array([[3.0, 3.0]])))
    2.5
    """
    rebuilt, inputs = (jnp.reshape(x, (jnp.shape(x)[0], -1)) for x in (outputs.values, targets))
    return mean_squared_error(rebuilt, inputs, weights)


def negative_elbo(
    outputs: Reconstruction, targets: Any, weights: Any = None, *, beta: float = 1.0, variance: float = 1.0
) -> jax.Array:
    """Computes the loss of a variational autoencoder: a bound on -ln p of its inputs, up to a constant.

    Σ (x - x')² / 2σ² + β · KL; with β = 1 of arXiv:1312.6114, eq. 10, else of a β-VAE.

    Args:
      outputs: of a variational autoencoder.
      targets: (B, ...), its inputs.
      weights: (B,) example weights of any sign; None is 1.
      beta: β, how much the code's distance from the prior counts.
      variance: σ², of an input about what is decoded.

    Returns:
      () the mean over examples, in nats.

    Raises:
      ValueError: the shapes do not fit, or beta is negative or variance not positive.

    >>> from hepjax.types import Reconstruction
    >>> outputs = Reconstruction(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2)))
    >>> float(negative_elbo(outputs, jnp.array([[3.0, 3.0]])))
    15.0
    """
    if not (beta >= 0 and variance > 0):
        raise ValueError(
            f"negative_elbo: expected beta of 0 or more and variance above 0, found {beta} and {variance}; change them"
        )
    check_loss_shapes("negative_elbo", "outputs", outputs.values, jnp.shape(targets), "targets", targets)

    def values(x: jax.Array, y: jax.Array, mean: jax.Array, log_variance: jax.Array) -> jax.Array:
        return _squared_distance(x, y) / (2 * variance) + beta * _kl_divergence(mean, log_variance)

    factor = example_weights(jnp.reshape(targets, (jnp.shape(targets)[0], -1))[:, 0], weights, None)
    return mean_loss(values, outputs.values, factor, targets, outputs.mean, outputs.log_variance)


def _squared_distance(x: Any, y: Any) -> jax.Array:
    return jnp.sum(optax.squared_error(x, y), axis=tuple(range(1, jnp.ndim(x))))


def _kl_divergence(mean: Any, log_variance: Any) -> jax.Array:
    return 0.5 * jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance, axis=-1)


def balanced_class_weights(labels: Any, classes: int) -> jax.Array:
    """Computes class weights that make all classes count the same, whatever their numbers.

    Args:
      labels: (N,) class indices.
      classes: C.

    Returns:
      (C,) N / (C · jets of the class); 0 for a class without jets.

    >>> balanced_class_weights(jnp.array([0, 0, 0, 0, 1, 1, 1, 1]), 2).tolist()
    [1.0, 1.0]
    """
    counts = jnp.bincount(labels, length=classes)
    return jnp.where(counts > 0, len(labels) / (classes * jnp.maximum(counts, 1)), 0.0)


def make_penalty(strengths: Mapping[float, float]) -> Callable[[PyTree], jax.Array]:
    """Makes Lp penalties on the parameters, Σ over p of strength · Σ |w|^p.

    Only weights proper count, as `weights.mask_of_weights` tells, not biases, scales, slopes of activations and tokens.

    Args:
      strengths: p → strength, for any p > 0; several combine, as an elastic net does.

    Returns:
      The function params → () penalty.

    Raises:
      ValueError: p is not positive, or a strength is negative.

    >>> penalty = make_penalty({1: 0.5, 2: 0.1})
    >>> float(penalty({"kernel": jnp.array([[3.0, -1.0]]), "bias": jnp.array([9.0])}))
    3.0
    """
    for p, strength in strengths.items():
        if p <= 0 or strength < 0:
            raise ValueError(f"penalty: expected p > 0 and a strength of 0 or more, found p={p}, strength={strength}")

    def penalty(params: PyTree) -> jax.Array:
        marked = zip(jax.tree.leaves(params), jax.tree.leaves(mask_of_weights(params)), strict=True)
        kernels = [w for w, counts in marked if counts]
        return sum((s * jnp.sum(_penalty_power(w, p)) for p, s in strengths.items() for w in kernels), jnp.zeros(()))

    return penalty


def _penalty_power(w: jax.Array, p: float) -> jax.Array:
    """Computes |w|^p with gradient 0 at 0, for p below 1 too."""
    zero = w == 0
    return jnp.where(zero, 0.0, jnp.abs(jnp.where(zero, 1.0, w)) ** p)
