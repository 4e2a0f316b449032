"""What losses share: checks of shapes, the weights of examples, and means over those that count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from hepjax.numerics import safe_divide

if TYPE_CHECKING:
    from collections.abc import Callable


def check_loss_shapes(loss: str, name: str, outputs: Any, expected: tuple[int, ...], other: str, targets: Any) -> None:
    """Refuses shapes that do not match exactly: broadcasting would pair each example with every other."""
    if jnp.shape(outputs) != expected:
        raise ValueError(
            f"{loss}: {name} of shape {jnp.shape(outputs)} do not fit {other} of shape {jnp.shape(targets)}; "
            f"expected {name} of shape {expected}; reshape one of them"
        )


def example_weights(examples: Any, weights: Any, mask: Any, class_weights: Any = None, classes: int = 0) -> jax.Array:
    """Computes (B,) how much each example counts; `examples` gives B, and the labels that choose class weights."""
    factor = jnp.ones(jnp.shape(examples)) if weights is None else jnp.asarray(weights)
    for name, given in (("weights", factor), ("mask", factor if mask is None else mask)):
        if jnp.shape(given) != jnp.shape(examples):
            raise ValueError(
                f"{name}: expected shape {jnp.shape(examples)}, found {jnp.shape(given)}; give one an example"
            )
    if class_weights is not None:
        if jnp.shape(class_weights) != (classes,):
            raise ValueError(f"class_weights: expected shape ({classes},), found {jnp.shape(class_weights)}")
        factor = factor * jnp.asarray(class_weights)[jnp.asarray(examples).astype(jnp.int32)]
    return factor if mask is None else jnp.where(jnp.asarray(mask), factor, 0)


def mean_loss(values: Callable[..., jax.Array], outputs: Any, factor: jax.Array, *targets: Any) -> jax.Array:
    """Averages `values(outputs, *targets)`; what does not count is zeroed before, so that gradients are 0 there."""
    counts = factor != 0
    zeroed = [jnp.where(counts.reshape(counts.shape + (1,) * (jnp.ndim(x) - 1)), x, 0) for x in (outputs, *targets)]
    mean: jax.Array = safe_divide(jnp.sum(jnp.where(counts, values(*zeroed), 0) * factor), jnp.sum(jnp.abs(factor)))
    return mean
