"""Two learning rates: that of a body which was trained before, and that of all other parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import optax

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.types import PyTree

_BODY, _REST = "body", "rest"


class Body(NamedTuple):
    """The parameters that were trained before, and how fast they are trained on."""

    paths: frozenset[tuple[str, ...]]
    """Their paths among all parameters."""
    rate: float
    """Their learning rate over that of the others; 0 keeps them as they are, weight decay included."""


def with_body_rate(make: Callable[..., Any], body: Body) -> Callable[..., optax.GradientTransformationExtraArgs]:
    """Makes an optimizer of two of a kind: one for the body, whose learning rate is a factor lower, one for the rest.

    Args:
      make: (schedule, further options) → transformation, such as `optax.adam`.
      body: the parameters, and the factor.

    Returns:
      A function of the same arguments.

    >>> make = with_body_rate(optax.sgd, Body(frozenset({("a",)}), 0.5))
    >>> optimizer, params = make(lambda step: 1.0), {"a": jax.numpy.zeros(()), "b": jax.numpy.zeros(())}
    >>> gradients = jax.tree.map(jax.numpy.ones_like, params)
    >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    >>> jax.tree.map(float, updates)
    {'a': -0.5, 'b': -1.0}
    """

    def make_both(rates: Callable[[Any], Any], **options: Any) -> optax.GradientTransformationExtraArgs:
        slow = make(lambda step: body.rate * rates(step), **options) if body.rate else optax.set_to_zero()
        return optax.partition({_BODY: slow, _REST: make(rates, **options)}, label_parameters)

    def label_parameters(params: PyTree) -> PyTree:
        def label(path: tuple[Any, ...], _: Any) -> str:
            return _BODY if tuple(str(entry.key) for entry in path) in body.paths else _REST

        return jax.tree_util.tree_map_with_path(label, params)

    return make_both
