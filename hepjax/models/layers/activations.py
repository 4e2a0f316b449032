"""The activation functions of the field, by name and as functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn import elu, gelu, leaky_relu, relu, selu, sigmoid, softplus
from jax.numpy import arctan, tanh

from hepjax.choices import Activation, choose, choose_fields
from hepjax.models.bounds import OptionType

__all__ = [
    "FUNCTIONS",
    "Activate",
    "ActivationLike",
    "arctan",
    "binary_step",
    "elu",
    "gelu",
    "identity",
    "leaky_relu",
    "maxout",
    "prelu",
    "relu",
    "selu",
    "sigmoid",
    "softplus",
    "tanh",
    "units",
]

ActivationLike = Annotated[Activation | Callable[[Any], Any], OptionType(Activation)]
"""The name of an activation, or in Python any function of one array."""

_PIECES = 2
"""The linear pieces of a maxout unit inside a model."""


def identity(x: Any) -> Any:
    """Gives back x.

    >>> identity(3.0)
    3.0
    """
    return x


def binary_step(x: Any) -> jax.Array:
    """1 where x ≥ 0, else 0; its gradient is 0 everywhere, so it cannot be trained through.

    Args:
      x: an array of any shape.

    Returns:
      The same shape and dtype.

    >>> binary_step(jnp.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 1.0, 1.0]
    """
    return jnp.asarray(x >= 0, dtype=jnp.result_type(x))


def prelu(x: Any, slope: Any) -> jax.Array:
    """Leaky ReLU with a learned slope (arXiv:1502.01852, eq. 1).

    Args:
      x: an array of any shape.
      slope: the slope below zero; broadcasts.

    Returns:
      x where x ≥ 0, else slope · x.

    >>> prelu(jnp.array([-2.0, 2.0]), 0.25).tolist()
    [-0.5, 2.0]
    """
    return jnp.where(x >= 0, x, slope * x)


def maxout(x: Any, pieces: int = _PIECES) -> jax.Array:
    """The largest of each group of neighboring units (arXiv:1302.4389, eq. in section 3).

    Args:
      x: (..., pieces · D).
      pieces: the units in a group.

    Returns:
      (..., D).

    Raises:
      ValueError: `pieces` does not divide the last axis.

    >>> maxout(jnp.array([1.0, 5.0, 3.0, 2.0])).tolist()
    [5.0, 3.0]
    """
    if x.shape[-1] % pieces:
        raise ValueError(f"maxout: {x.shape[-1]} units are not a multiple of pieces={pieces}")
    return jnp.max(jnp.reshape(x, (*x.shape[:-1], -1, pieces)), axis=-1)


FUNCTIONS: dict[Activation, Callable[..., jax.Array]] = {
    Activation.IDENTITY: identity,
    Activation.BINARY_STEP: binary_step,
    Activation.SIGMOID: sigmoid,
    Activation.TANH: tanh,
    Activation.ARCTAN: arctan,
    Activation.RELU: relu,
    Activation.LEAKY_RELU: leaky_relu,
    Activation.PRELU: prelu,
    Activation.ELU: elu,
    Activation.SELU: selu,
    Activation.GELU: gelu,
    Activation.SOFTPLUS: softplus,
    Activation.MAXOUT: maxout,
}
"""The function behind each name."""


def units(activation: ActivationLike | str, width: int) -> int:
    """The dense units needed for `width` outputs after the activation.

    >>> units(Activation.MAXOUT, 8), units(Activation.RELU, 8)
    (16, 8)
    """
    activation = choose(Activation, activation, "activation") if isinstance(activation, str) else activation
    return width * _PIECES if activation is Activation.MAXOUT else width


class Activate(nn.Module):
    """Applies an activation; PReLU's slope is a parameter, one for the layer, that starts at 0.25.

    Attributes:
      activation: a name, or any function of one array.
    """

    activation: ActivationLike = Activation.RELU

    def __post_init__(self) -> None:
        """Takes activations by their names too."""
        choose_fields(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Args: x, an array. Returns: the activated array."""
        if self.activation is Activation.PRELU:
            return prelu(x, self.param("slope", nn.initializers.constant(0.25), ()))
        function = FUNCTIONS[self.activation] if isinstance(self.activation, Activation) else self.activation
        return function(x)
