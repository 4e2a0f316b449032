"""What a model costs: its parameters, and the arithmetic of one answer as XLA counts it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jax.extend.core import jaxpr_as_fun

from hepjax.data.threads import physical_memory
from hepjax.errors import InputError
from hepjax.runtime import device_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jax.extend.core import ClosedJaxpr, Jaxpr

    from hepjax.types import PyTree


_BYTES = 4
"""The bytes of a number in float32."""


class Cost(NamedTuple):
    """The size of a model."""

    parameters: int
    """Trained numbers."""
    flop_per_jet: int
    """Floating-point operations of one answer."""


def cost(apply: Callable[..., Any], params: PyTree, model_state: PyTree, inputs: Any) -> Cost:
    """Counts a model's parameters and the operations of one answer, by XLA's analysis; nothing is run or compiled.

    Args:
      apply: the model's function, as `make_apply` gives it.
      params: its parameters.
      model_state: its other variables.
      inputs: a batch of one jet.

    Returns:
      The counts.

    Raises:
      InputError: one jet takes more than the memory.

    >>> import jax.numpy as jnp
    >>> from hepjax.models import Logistic, initialize, make_apply
    >>> model, x = Logistic(outputs=5), jnp.zeros((1, 16))
    >>> cost(make_apply(model), *initialize(model, jax.random.key(0), x), x)
    Cost(parameters=85, flop_per_jet=165)
    """
    mask = jax.numpy.ones(1, bool)
    traced = jax.jit(lambda *given: apply(*given, mask, None)[0]).trace(params, model_state, inputs)
    _check_largest(traced.jaxpr)
    return Cost(count_parameters(params), round(_flop_of_traced(traced)))


def count_parameters(params: PyTree) -> int:
    """Counts the trained numbers of a model.

    >>> count_parameters({"kernel": jax.numpy.zeros((3, 2)), "bias": jax.numpy.zeros(2)})
    8
    """
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def check_size(make: Callable[[], PyTree], name: str, copies: int = 1) -> PyTree:
    """Refuses a model that cannot fit into the memory, before any of its parameters is made.

    Args:
      make: draws the parameters, and whatever else goes with them.
      name: of the model, for the message.
      copies: how many of all that are held at once.

    Returns:
      The shapes of what `make` draws.

    Raises:
      InputError: says how large the model is.

    >>> check_size(lambda: jax.numpy.zeros((10**9, 10**9)), "mlp")
    Traceback (most recent call last):
    ...
    hepjax.errors.InputError: model mlp: has 1,000,000,000,000,000,000 numbers, which cannot fit into the memory; give \
it fewer or narrower layers
    """
    remedy = "which cannot fit into the memory; give it fewer or narrower layers"
    try:
        shapes = jax.eval_shape(make)
    except (MemoryError, OverflowError) as error:  # of sizes that no array can have
        raise InputError(f"model {name}: has more numbers than can be counted, {remedy}") from error
    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    if size * _BYTES * copies > memory_limit():
        held = f", held {copies} times in training" if copies > 1 else ""
        raise InputError(f"model {name}: has {size:,} numbers{held}, {remedy}")
    return shapes


def memory_limit() -> float:
    """Returns the bytes that a model can take at most, on this machine and on one of its devices.

    >>> memory_limit() > 0
    True
    """
    return min(physical_memory(), device_memory())


def _check_largest(program: ClosedJaxpr) -> None:
    """Refuses a program whose largest array, of one jet, cannot fit into the memory."""
    largest = max((math.prod(x.aval.shape) for e in program.eqns for x in e.outvars), default=0)
    if largest * _BYTES > memory_limit():
        raise InputError(
            f"the model takes an array of {largest:,} numbers for one jet, which cannot fit into the memory; give it "
            "fewer particles or pixels, or narrower layers"
        )


def _flop_of_traced(traced: jax.stages.Traced) -> float:
    found = traced.lower().cost_analysis() or {}
    return float(found.get("flops", 0)) + _flop_of_loop_rounds(traced.jaxpr)


def _flop_of_program(program: ClosedJaxpr) -> float:
    return _flop_of_traced(jax.jit(jaxpr_as_fun(program)).trace(*program.in_avals))


def _flop_of_loop_rounds(program: ClosedJaxpr | Jaxpr) -> float:
    """XLA counts the body of a loop once; this is what the other rounds cost."""
    extra = 0.0
    for equation in program.eqns:
        for inner in _programs_inside_operation(equation.params):
            if equation.primitive.name == "scan":
                extra += (equation.params["length"] - 1) * _flop_of_program(inner)
            extra += _flop_of_loop_rounds(inner)
    return extra


def _programs_inside_operation(params: dict[str, Any]) -> Iterator[Any]:
    """The programs inside an operation, such as a loop's body."""
    leaves = jax.tree.leaves(params, is_leaf=lambda x: hasattr(x, "eqns"))
    return (leaf for leaf in leaves if hasattr(leaf, "eqns"))
