"""Gradients of a batch that is taken in pieces, so that the memory of its activations is that of one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import Array, PyTree

    Gradients = tuple[PyTree, tuple[jax.Array, PyTree]]


def gradients_in_pieces(
    apply: Callable[..., Any],
    loss: Callable[[Any], jax.Array],
    pieces: int,
    params: PyTree,
    model_state: PyTree,
    examples: tuple[Any, Array],
    key: jax.Array,
) -> Gradients:
    """Computes the gradients of the loss of a whole batch from one piece of it after another.

    The outputs of all pieces come first, from which the loss and its gradients by each output follow, whatever the
    loss is; then each piece is computed again, and takes those back to the parameters. So the step is that of the whole
    batch but for rounding, for a third more arithmetic. Only batch normalization differs: it normalizes by the
    statistics of a piece, and its running averages take one step a piece. Dropout draws anew for each piece.

    Args:
      apply: (params, model_state, inputs, mask, key) → (outputs, model_state).
      loss: outputs of the whole batch → () loss.
      pieces: N, into which the batch is divided; piece i has the examples i, i + N, i + 2N …
      params: the parameters.
      model_state: the model's other variables.
      examples: inputs, a pytree of arrays whose first axis is B; and mask, (B,) bool, False for what fills up.
      key: () typed PRNG key.

    Returns:
      The gradients by the parameters; the loss, and the other variables after the last piece.
    """
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(pieces))
    turns = (*_divide(examples, pieces), keys)

    def forward(before: PyTree, turn: Any) -> tuple[PyTree, Any]:
        x, counts, key = turn
        outputs, after = apply(params, before, x, counts, key)
        return _choose(counts.any(), after, before), outputs

    _, outputs = jax.lax.scan(forward, model_state, turns)
    value, slopes = jax.value_and_grad(loss)(_join(outputs, examples[1].shape[0]))
    slopes = _divide(slopes, pieces)

    def backward(carry: tuple[PyTree, PyTree], turn: Any) -> tuple[tuple[PyTree, PyTree], None]:
        (total, before), ((x, counts, key), slope) = carry, turn

        def outputs_of(params: PyTree) -> tuple[Any, PyTree]:
            outputs, after = apply(params, before, x, counts, key)
            return outputs, after

        _, pull, after = jax.vjp(outputs_of, params, has_aux=True)
        (grads,) = pull(slope)
        summed = jax.tree.map(jnp.add, total, grads)
        return _choose(counts.any(), (summed, after), carry), None

    nothing = jax.tree.map(jnp.zeros_like, params)
    (grads, model_state), _ = jax.lax.scan(backward, (nothing, model_state), (turns, slopes))
    return grads, (value, model_state)


def _divide(tree: PyTree, pieces: int) -> PyTree:
    """Gives arrays (B, ...) as (N, ⌈B / N⌉, ...), filled up by zeros, which no mask counts."""

    def divide(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, -x.shape[0] % pieces), *[(0, 0)] * (x.ndim - 1)])
        # Neighbors go to different pieces: the rows of a device stay there, and what fills a batch up is spread.
        return x.reshape(-1, pieces, *x.shape[1:]).swapaxes(0, 1)

    return jax.tree.map(divide, tree)


def _join(tree: PyTree, count: int) -> PyTree:
    """Undoes `_divide`."""
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:])[:count], tree)


def _choose(condition: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
