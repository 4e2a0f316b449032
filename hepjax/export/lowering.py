"""Conversion of a traced JAX function to an ONNX graph, equation by equation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend import core
from onnx import helper

from hepjax.errors import InputError
from hepjax.export.elementwise import ELEMENTWISE
from hepjax.export.gather_scatter import INDEXING
from hepjax.export.graph import BATCH, Graph, Value, constant_value
from hepjax.export.matrix_products import PRODUCTS
from hepjax.export.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

_RULES = {**ELEMENTWISE, **SHAPES, **PRODUCTS, **INDEXING}
"""The rules of the JAX primitives: functions from (graph, equation, values) to output values."""
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""The parameters under which an equation stores the function that it calls."""
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2"}


def lower_function(graph: Graph, closed: core.ClosedJaxpr, values: Sequence[Value]) -> list[Value]:
    """Adds the nodes of a function to a graph.

    Args:
      graph: graph to extend.
      closed: traced function.
      values: arguments of the function.

    Returns:
      The outputs of the function, with axes of size 1 where values repeat.

    Raises:
      InputError: the function has an operation or a number format that ONNX does not support.
    """
    return _lower_equations(
        graph, closed.jaxpr, [*map(_constant_array, closed.consts), *values], [True] * len(closed.jaxpr.outvars)
    )


def _lower_equations(
    graph: Graph, jaxpr: core.Jaxpr, values: Sequence[Value], is_needed: Sequence[bool]
) -> list[Value]:
    environment = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

    def read(var: Any) -> Value:
        if not isinstance(var, core.Literal):
            return environment[var]
        kind: Any = var.aval
        return _constant_array(np.asarray(var.val, kind.dtype))

    for equation in _needed_equations(jaxpr, is_needed):
        inputs = [read(var) for var in equation.invars]
        environment.update(zip(equation.outvars, _add_outputs_of_equation(graph, equation, inputs), strict=True))
    return [read(var) if needed else _UNUSED for var, needed in zip(jaxpr.outvars, is_needed, strict=True)]


_UNUSED = Value("", None, (), None)
"""A placeholder for an output that is not needed."""


def _needed_equations(jaxpr: core.Jaxpr, is_needed: Sequence[bool]) -> list[Any]:
    """Returns the equations that the needed outputs depend on."""
    live = {
        var
        for var, needed in zip(jaxpr.outvars, is_needed, strict=True)
        if needed and not isinstance(var, core.Literal)
    }
    kept = []
    for equation in reversed(jaxpr.eqns):
        if live.intersection(equation.outvars):
            live.update(var for var in equation.invars if not isinstance(var, core.Literal))
            kept.append(equation)
    return kept[::-1]


def _add_outputs_of_equation(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    name = str(equation.primitive)
    if name in _CALLS:
        inner = next(equation.params[key] for key in _INNER if key in equation.params)
        jaxpr, consts = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
        return _lower_equations(graph, jaxpr, [*map(_constant_array, consts), *inputs], [True] * len(jaxpr.outvars))
    if name == "call_hi_primitive":  # from jax 0.12 on an operation that is made of others
        specs = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars]
        closed = jax.make_jaxpr(equation.params["_prim"].expand)(*specs)
        return lower_function(graph, closed, inputs)
    if all(_is_whole_constant(value, var) for value, var in zip(inputs, equation.invars, strict=True)) and all(
        _is_static_value(var.aval.shape) for var in equation.outvars
    ):
        results = equation.primitive.bind(*(value.const for value in inputs), **equation.params)
        return [_constant_array(each) for each in (results if equation.primitive.multiple_results else [results])]
    if name == "scan":
        return _lower_scan(graph, equation, inputs)
    if name not in _RULES:
        raise InputError(f"the model computes with JAX's {name}, which has no form in ONNX here; export StableHLO")
    for var in equation.outvars:
        if var.aval.dtype == jax.numpy.bfloat16:
            raise InputError("ONNX Runtime does not compute in bfloat16 on CPUs; export the model in float32")
    outputs = _RULES[name](graph, equation, *inputs)
    return outputs if isinstance(outputs, list) else [outputs]


def _constant_array(x: Any) -> Value:
    return constant_value(x if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x))


def _is_static_value(shape: Sequence[Any]) -> bool:
    return all(isinstance(size, int) for size in shape)


def _is_whole_constant(value: Value, var: Any) -> bool:
    """Tests if a value is a constant of full shape."""
    return value.name is None and tuple(value.shape) == tuple(var.aval.shape)


def _lower_scan(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    """Adds a loop over the first axis as ONNX's Scan, or its body if there is one iteration."""
    closed, n_out = equation.params["jaxpr"], len(equation.outvars)
    body = closed.jaxpr
    # Carried values have the same rank inside and outside; scanned values have one more axis outside.
    carries, rest = (
        sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outside, inside, strict=True))
        for outside, inside in ((equation.outvars, body.outvars), (equation.invars, body.invars))
    )
    consts = rest - carries
    fixed, start, over = inputs[:consts], inputs[consts : consts + carries], inputs[consts + carries :]
    if equation.params["length"] == 1:
        over = [graph.reshape(value, value.shape[1:]) for value in over]
        outputs = lower_function(graph, closed, [*fixed, *start, *over])
        return [*outputs[:carries], *(graph.reshape(value, (1, *value.shape)) for value in outputs[carries:])]
    inner = Graph(outer=graph)
    arguments = [Value(graph.fresh(), None, tuple(v.aval.shape), v.aval.dtype) for v in body.invars[consts:]]
    outputs = lower_function(inner, closed, [*fixed, *arguments])
    if not over:  # Scan takes the number of iterations from its scanned inputs
        over = [constant_value(np.zeros(equation.params["length"], np.float32))]
        arguments.append(Value(graph.fresh(), None, (), over[0].dtype))
    # Each output of the body must be the output of a separate node.
    written = [
        inner.node("Identity", [inner.expand(value, var.aval.shape)], var.aval.shape, var.aval.dtype)
        for value, var in zip(outputs, body.outvars, strict=True)
    ]
    names = [str(value.name) for value in written]
    loop = helper.make_graph(
        inner.live(names), "round", [_onnx_value_info(v) for v in arguments], [_onnx_value_info(v) for v in written]
    )
    whole = [graph.expand(value, var.aval.shape) for value, var in zip(start, body.invars[consts:], strict=False)]
    for value, var in zip(over, equation.invars[consts + carries :] or [None], strict=True):
        whole.append(value if var is None else graph.expand(value, var.aval.shape))
    backwards = int(equation.params["reverse"])
    ways = {"scan_input_directions": [backwards] * len(over), "scan_output_directions": [backwards] * (n_out - carries)}
    return graph.many(
        "Scan",
        whole,
        [(var.aval.shape, var.aval.dtype) for var in equation.outvars],
        body=loop,
        num_scan_inputs=len(over),
        **{name: each for name, each in ways.items() if each},
    )


def _onnx_value_info(value: Value) -> Any:
    """Describes a value by name, dtype and sizes, with the batch axis symbolic."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    sizes = [size if isinstance(size, int) else BATCH for size in value.shape]
    return helper.make_tensor_value_info(str(value.name), kind, sizes)
