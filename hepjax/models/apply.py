"""A Flax module as the two pure functions that training takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import jax

from hepjax.errors import InputError

if TYPE_CHECKING:
    from flax import linen as nn

    from hepjax.types import PyTree


class Apply(Protocol):
    """A model in use: parameters, other variables and inputs in; outputs and new other variables out."""

    def __call__(
        self, params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        """Training where a key is given (dropout draws from it), inference where it is None."""


def initialize(model: nn.Module, key: jax.Array, inputs: Any) -> tuple[PyTree, PyTree]:
    """Draws a model's parameters.

    Args:
      model: a Flax module.
      key: () typed PRNG key.
      inputs: a batch to take shapes from.

    Returns:
      The parameters, and the other variables (an empty dict where there are none).

    Raises:
      InputError: it has no parameters.

    >>> from hepjax.models import Logistic
    >>> params, state = initialize(Logistic(outputs=5), jax.random.key(0), jax.numpy.zeros((1, 16)))
    >>> jax.tree.map(jax.numpy.shape, params), state
    ({'Dense_0': {'bias': (5,), 'kernel': (16, 5)}}, {})
    """
    variables = dict(jax.jit(model.init)({"params": key, "dropout": key}, inputs))
    if not variables.get("params"):
        raise InputError(
            f"{type(model).__name__}: has no parameters, so that there is nothing to train; give it layers"
        )
    return variables.pop("params"), variables


def make_apply(model: nn.Module) -> Apply:
    """The pure function of a model.

    Args:
      model: a Flax module called as `model(inputs, mask=..., train=...)`.

    Returns:
      The function.

    >>> from hepjax.models import Logistic
    >>> model = Logistic(outputs=5)
    >>> params, state = initialize(model, jax.random.key(0), jax.numpy.zeros((1, 16)))
    >>> logits, _ = make_apply(model)(params, state, jax.numpy.ones((2, 16)), jax.numpy.ones(2, bool), None)
    >>> logits.shape
    (2, 5)
    """

    def apply_model(
        params: PyTree, model_state: PyTree, inputs: Any, mask: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, PyTree]:
        variables = {"params": params, **model_state}
        if key is None:
            return model.apply(variables, inputs, mask=mask, train=False), model_state  # type: ignore[return-value]
        outputs, updated = model.apply(
            variables, inputs, mask=mask, train=True, rngs={"dropout": key}, mutable=list(model_state)
        )
        return outputs, dict(updated)

    return apply_model
