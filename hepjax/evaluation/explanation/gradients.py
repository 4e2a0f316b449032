"""Relevance of the inputs of a jet: the gradient of the logit of a class, times the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array


def gradient_times_input(logits: Callable[[Any], jax.Array], inputs: Any, class_index: int | Array) -> np.ndarray:
    """Computes the first-order contribution of each input to a class's logit (arXiv:1605.01713, section 2.4).

    For a linear network it is weight times input; for a network without biases and with piecewise linear activations,
    the sum over a jet is the logit. A common shift of all logits changes no probability: a function `logits` that
    subtracts their mean shows the evidence for this class against the others.

    Args:
      logits: a differentiable function from the input of the network, scaled and prepared, to (R, C) logits; jets must
        be independent of each other, and padding graphs may follow after the N jets.
      inputs: an array (N, ...) of features or images; `Sequences`; or a `GraphsTuple`, whose nodes are explained.
      class_index: one class index for all jets, or (N,) indices, such as the true or the predicted classes.

    Returns:
      (N, ...) like the array, or (N, P, F) like the values, 0 in the padding, or (nodes, F), which `by_particle` maps
      to jets. The sum over the last axis is the contribution of each particle.

    Raises:
      InputError: the logits are not (R, C), or the class does not exist.

    >>> weight = jnp.array([[2.0, 0.0], [-1.0, 1.0]])
    >>> gradient_times_input(lambda x: x @ weight, jnp.array([[3.0, 4.0]]), 0).tolist()
    [[6.0, -4.0]]
    """
    name = next((name for name in ("values", "nodes") if hasattr(inputs, name)), None)

    def gradient_product(inputs: Any) -> jax.Array:
        x = inputs if name is None else getattr(inputs, name)

        def total(x: jax.Array) -> jax.Array:

            return logits_of_class(logits(x if name is None else inputs._replace(**{name: x})), class_index).sum()

        relevance: jax.Array = x * jax.grad(total)(x)
        return relevance

    relevance = np.asarray(jax.jit(gradient_product)(inputs))
    mask = getattr(inputs, "mask", None)
    return relevance if mask is None else np.where(np.asarray(mask)[..., None], relevance, 0)


def by_particle(nodes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Moves the nodes of a batch of graphs back into the slots of their particles.

    Args:
      nodes: (n, ...) one row for each particle, jet after jet, followed by padding.
      mask: (N, P) bool, True for the particles.

    Returns:
      (N, P, ...) values of the particles, 0 in the padding.

    Raises:
      InputError: there are more particles than nodes.

    >>> by_particle(np.array([1.0, 2.0, 3.0, 9.0]), np.array([[True, True], [True, False]])).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    mask = np.asarray(mask)
    if mask.sum() > len(nodes):
        raise InputError(f"nodes: expected one for each of {mask.sum()} particles, found {len(nodes)}")
    slots = np.zeros((*mask.shape, *nodes.shape[1:]), nodes.dtype)
    slots[mask] = nodes[: mask.sum()]
    return slots


def logits_of_class(logits: jax.Array, class_index: int | Array) -> jax.Array:
    """Selects the logits of one class, or of a class for each jet.

    Args:
      logits: (R, C) logits.
      class_index: one class index for all rows, or (N,) indices for the first N rows.

    Returns:
      (R,) or (N,) logits.

    Raises:
      InputError: the logits have another shape, or the class does not exist.

    >>> logits_of_class(jnp.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 0])).tolist()
    [2.0, 3.0]
    """
    chosen = np.asarray(class_index)
    if logits.ndim != 2:
        raise InputError(f"logits: expected (N, C), found shape {logits.shape}; stack those of two classes")
    rows, classes = logits.shape
    fits = np.issubdtype(chosen.dtype, np.integer) and (chosen.ndim == 0 or (chosen.ndim == 1 and len(chosen) <= rows))
    if not fits or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= classes:
        raise InputError(
            f"class_index: expected a class from 0 to {classes - 1}, for all or for each jet, found {class_index!r}"
        )
    if chosen.ndim == 0:
        return logits[:, int(chosen)]
    return jnp.take_along_axis(logits[: len(chosen)], chosen[:, None], axis=1)[:, 0]
