"""What a network looks at in one jet: the gradient of a class's logit, times the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array


def gradient_times_input(logits: Callable[[Any], jax.Array], inputs: Any, which: int | Array) -> np.ndarray:
    """How much each number of the input adds to a class's logit, to first order (arXiv:1605.01713, section 2.4).

    Of a linear network it is weight times input; of one without biases whose activations are piecewise linear, the sum
    over a jet is the logit. Logits that all rise alike change no probability: a `logits` that takes their mean away
    shows what speaks for this class and against the others.

    Args:
      logits: a differentiable function from the network's input, after scaling and drawing, to (R, C) logits; one jet's
        must not depend on another's, and padding graphs may follow after the N jets.
      inputs: an array (N, ...) of features or images; `Sequences`; or a `GraphsTuple`, of which nodes are looked at.
      which: a class index for all jets, or (N,) one for each, such as the true or the predicted one.

    Returns:
      (N, ...) as the array, or (N, P, F) as the values, 0 in the padding, or (nodes, F), for which see `by_particle`.
      The sum over the last axis is what each particle adds.

    Raises:
      InputError: the logits are not (R, C), or there is no such class.

    >>> weight = jnp.array([[2.0, 0.0], [-1.0, 1.0]])
    >>> gradient_times_input(lambda x: x @ weight, jnp.array([[3.0, 4.0]]), 0).tolist()
    [[6.0, -4.0]]
    """
    name = next((name for name in ("values", "nodes") if hasattr(inputs, name)), None)

    def product(inputs: Any) -> jax.Array:
        x = inputs if name is None else getattr(inputs, name)

        def total(x: jax.Array) -> jax.Array:
            return of_class(logits(x if name is None else inputs._replace(**{name: x})), which).sum()

        found: jax.Array = x * jax.grad(total)(x)
        return found

    found = np.asarray(jax.jit(product)(inputs))
    mask = getattr(inputs, "mask", None)
    return found if mask is None else np.where(np.asarray(mask)[..., None], found, 0)


def by_particle(nodes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Puts the nodes of a batch of graphs back into the slots of their particles.

    Args:
      nodes: (n, ...) one row for each particle, jet after jet, and padding behind.
      mask: (N, P) bool, True for the particles.

    Returns:
      (N, P, ...), 0 in the padding.

    Raises:
      InputError: there are more particles than nodes.

    >>> by_particle(np.array([1.0, 2.0, 3.0, 9.0]), np.array([[True, True], [True, False]])).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    mask = np.asarray(mask)
    if mask.sum() > len(nodes):
        raise InputError(f"nodes: expected one for each of {mask.sum()} particles, found {len(nodes)}")
    found = np.zeros((*mask.shape, *nodes.shape[1:]), nodes.dtype)
    found[mask] = nodes[: mask.sum()]
    return found


def of_class(logits: jax.Array, which: int | Array) -> jax.Array:
    """The logits of the classes that are asked for.

    Args:
      logits: (R, C).
      which: a class for all rows, or (N,) one for each of the first N.

    Returns:
      (R,) or (N,).

    Raises:
      InputError: the logits have another shape, or there is no such class.

    >>> of_class(jnp.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 0])).tolist()
    [2.0, 3.0]
    """
    chosen = np.asarray(which)
    if logits.ndim != 2:
        raise InputError(f"logits: expected (N, C), found shape {logits.shape}; stack those of two classes")
    rows, classes = logits.shape
    fits = np.issubdtype(chosen.dtype, np.integer) and (chosen.ndim == 0 or (chosen.ndim == 1 and len(chosen) <= rows))
    if not fits or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= classes:
        raise InputError(f"which: expected a class from 0 to {classes - 1}, for all or for each jet, found {which!r}")
    if chosen.ndim == 0:
        return logits[:, int(chosen)]
    return jnp.take_along_axis(logits[: len(chosen)], chosen[:, None], axis=1)[:, 0]
