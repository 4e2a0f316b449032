"""Masked, weighted losses, and penalties on parameters. Every loss is Σ w·loss / Σ w over the examples that count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax

from hepjax.masking import weighted_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hepjax.types import PyTree

    Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    """(outputs, targets, weights) → () loss."""


def binary_cross_entropy(
    logits: Any, labels: Any, weights: Any = None, *, mask: Any = None, class_weights: Any = None
) -> jax.Array:
    """−log p of the true one of two classes, from log odds.

    Args:
      logits: (B,) log odds of class 1.
      labels: (B,) 0 or 1.
      weights: (B,) example weights; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      class_weights: (2,) a factor on the weights of each class; None is 1.

    Returns:
      () the mean.

    >>> round(float(binary_cross_entropy(jnp.array([0.0]), jnp.array([1]))), 4)
    0.6931
    """
    values = optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))
    return _mean(values, weights, mask, labels, class_weights)


def categorical_cross_entropy(
    logits: Any, labels: Any, weights: Any = None, *, mask: Any = None, class_weights: Any = None
) -> jax.Array:
    """−log p of the true class, from logits.

    Args:
      logits: (B, C).
      labels: (B,) class indices.
      weights: (B,) example weights; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.
      class_weights: (C,) a factor on the weights of each class; None is 1.

    Returns:
      () the mean.

    >>> round(float(categorical_cross_entropy(jnp.zeros((1, 5)), jnp.array([2]))), 4)
    1.6094
    """
    values = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return _mean(values, weights, mask, labels, class_weights)


def mean_squared_error(predictions: Any, targets: Any, weights: Any = None, *, mask: Any = None) -> jax.Array:
    """The squared distance, averaged over examples and target components.

    Args:
      predictions: (B, D).
      targets: (B, D).
      weights: (B,) example weights; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.

    Returns:
      () the mean.

    >>> float(mean_squared_error(jnp.array([[1.0]]), jnp.array([[3.0]])))
    4.0
    """
    return _mean(jnp.mean(optax.squared_error(predictions, targets), axis=-1), weights, mask)


def gaussian_nll(outputs: Any, targets: Any, weights: Any = None, *, mask: Any = None) -> jax.Array:
    """Minus the log-likelihood of a normal distribution whose mean and width are both learned.

    ½ (ln 2π + s + (y − μ)² e^−s) with s = ln σ², so that any output is a valid width. The mean squared error is the
    case of a constant σ.

    Args:
      outputs: (B, 2D): D means, then D log-variances.
      targets: (B, D).
      weights: (B,) example weights; None is 1.
      mask: (B,) bool, False leaves an example out; None is True.

    Returns:
      () the mean over examples and target components.

    >>> round(float(gaussian_nll(jnp.array([[1.0, 0.0]]), jnp.array([[1.0]]))), 4)
    0.9189
    """
    mean, log_variance = jnp.split(outputs, 2, axis=-1)
    square = (targets - mean) ** 2 * jnp.exp(-log_variance)
    return _mean(jnp.mean(0.5 * (jnp.log(2 * jnp.pi) + log_variance + square), axis=-1), weights, mask)


def balanced_class_weights(labels: Any, classes: int) -> jax.Array:
    """Class weights that make all classes count the same, whatever their numbers.

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
    """Lp penalties on the parameters, Σ over p of strength · Σ |w|^p.

    Biases, scales of normalisation layers and slopes of activations are exempt: only parameters of rank two or more,
    the weights proper, count.

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
        kernels = [w for w in jax.tree.leaves(params) if jnp.ndim(w) >= 2]
        return sum((s * jnp.sum(_power(w, p)) for p, s in strengths.items() for w in kernels), jnp.zeros(()))

    return penalty


def _power(w: jax.Array, p: float) -> jax.Array:
    """|w|^p with gradient 0 at 0, for p below 1 too."""
    zero = w == 0
    return jnp.where(zero, 0.0, jnp.abs(jnp.where(zero, 1.0, w)) ** p)


def _mean(values: Any, weights: Any, mask: Any, labels: Any = None, class_weights: Any = None) -> jax.Array:
    factor = jnp.ones_like(values) if weights is None else weights
    if class_weights is not None:
        factor = factor * jnp.asarray(class_weights)[labels]
    if mask is not None:
        factor = jnp.where(mask, factor, 0)
    mean: jax.Array = weighted_mean(values, factor)
    return mean
