"""Which parameters are weights proper, that penalties and weight decay act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from hepjax.types import PyTree


def mask_of_weights(params: PyTree) -> PyTree:
    """Marks weights proper: not biases, scales of normalization, slopes of activations, or tokens.

    They are the arrays of two axes or more whose name has no "bias" in it and does not end in "token": biases of
    several layers may lie in one array, and the class token of a transformer has axes of length one.

    Args:
      params: a pytree of dicts.

    Returns:
      A bool for each array.

    >>> mask_of_weights({"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3), "class_token": jnp.ones((1, 1, 3))})
    {'bias': False, 'class_token': False, 'kernel': True}
    """
    return jax.tree_util.tree_map_with_path(_is_weight, params)


def _is_weight(path: Any, x: Any) -> bool:
    name = jax.tree_util.keystr(path[-1:], simple=True)
    return jnp.ndim(x) >= 2 and "bias" not in name and not name.endswith("token")
