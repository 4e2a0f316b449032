"""A traced JAX function as an ONNX graph, equation by equation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.extend import core
from onnx import helper

from hepjax.errors import InputError
from hepjax.export.elementwise import ELEMENTWISE
from hepjax.export.graph import BATCH, Graph, Value, constant
from hepjax.export.indexing import INDEXING
from hepjax.export.products import PRODUCTS
from hepjax.export.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Sequence

_RULES = {**ELEMENTWISE, **SHAPES, **PRODUCTS, **INDEXING}
"""JAX primitive → (graph, equation, values) → what its outputs are."""
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Where an equation keeps the function that it calls."""
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "remat2"}


def lower(graph: Graph, closed: core.ClosedJaxpr, values: Sequence[Value]) -> list[Value]:
    """Adds the nodes of a function.

    Args:
      graph: to add to.
      closed: the function.
      values: its arguments.

    Returns:
      Its answers, not written out where they only repeat themselves.

    Raises:
      InputError: the function has an operation or a number format that ONNX does not.
    """
    return _lower(graph, closed.jaxpr, [*map(_array, closed.consts), *values], [True] * len(closed.jaxpr.outvars))


def _lower(graph: Graph, jaxpr: core.Jaxpr, values: Sequence[Value], wanted: Sequence[bool]) -> list[Value]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], values, strict=True))

    def read(var: Any) -> Value:
        if not isinstance(var, core.Literal):
            return known[var]
        kind: Any = var.aval
        return _array(np.asarray(var.val, kind.dtype))

    for equation in _needed(jaxpr, wanted):
        inputs = [read(var) for var in equation.invars]
        known.update(zip(equation.outvars, _answers(graph, equation, inputs), strict=True))
    return [read(var) if want else _NOTHING for var, want in zip(jaxpr.outvars, wanted, strict=True)]


_NOTHING = Value("", None, (), None)
"""What nobody asks for."""


def _needed(jaxpr: core.Jaxpr, wanted: Sequence[bool]) -> list[Any]:
    """The equations that the wanted answers need."""
    live = {var for var, want in zip(jaxpr.outvars, wanted, strict=True) if want and not isinstance(var, core.Literal)}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if live.intersection(equation.outvars):
            live.update(var for var in equation.invars if not isinstance(var, core.Literal))
            kept.append(equation)
    return kept[::-1]


def _answers(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    name = str(equation.primitive)
    if name in _CALLS:
        inner = next(equation.params[key] for key in _INNER if key in equation.params)
        jaxpr, consts = (inner.jaxpr, inner.consts) if isinstance(inner, core.ClosedJaxpr) else (inner, ())
        return _lower(graph, jaxpr, [*map(_array, consts), *inputs], [True] * len(jaxpr.outvars))
    if name == "call_hi_primitive":  # from jax 0.12 on an operation that is made of others
        specs = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in equation.invars]
        closed = jax.make_jaxpr(equation.params["_prim"].expand)(*specs)
        return lower(graph, closed, inputs)
    if all(_is_whole(value, var) for value, var in zip(inputs, equation.invars, strict=True)) and all(
        _is_static(var.aval.shape) for var in equation.outvars
    ):
        found = equation.primitive.bind(*(value.const for value in inputs), **equation.params)
        return [_array(each) for each in (found if equation.primitive.multiple_results else [found])]
    if name == "scan":
        return _scan(graph, equation, inputs)
    if name not in _RULES:
        raise InputError(f"the model computes with JAX's {name}, which has no form in ONNX here; export StableHLO")
    for var in equation.outvars:
        if var.aval.dtype == jax.numpy.bfloat16:
            raise InputError("ONNX Runtime does not compute in bfloat16 on CPUs; export the model in float32")
    answer = _RULES[name](graph, equation, *inputs)
    return answer if isinstance(answer, list) else [answer]


def _array(x: Any) -> Value:
    return constant(x if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x))


def _is_static(shape: Sequence[Any]) -> bool:
    return all(isinstance(size, int) for size in shape)


def _is_whole(value: Value, var: Any) -> bool:
    """A constant that is written out."""
    return value.name is None and tuple(value.shape) == tuple(var.aval.shape)


def _scan(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    """A loop over the first axis: ONNX's Scan, or its only round."""
    closed, n_out = equation.params["jaxpr"], len(equation.outvars)
    body = closed.jaxpr
    # What is carried has the same shape inside and outside; what is run over has an axis more outside.
    carries, rest = (
        sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outside, inside, strict=True))
        for outside, inside in ((equation.outvars, body.outvars), (equation.invars, body.invars))
    )
    consts = rest - carries
    fixed, start, over = inputs[:consts], inputs[consts : consts + carries], inputs[consts + carries :]
    if equation.params["length"] == 1:
        over = [graph.reshaped(value, value.shape[1:]) for value in over]
        found = lower(graph, closed, [*fixed, *start, *over])
        return [*found[:carries], *(graph.reshaped(value, (1, *value.shape)) for value in found[carries:])]
    inner = Graph(outer=graph)
    arguments = [Value(graph.fresh(), None, tuple(v.aval.shape), v.aval.dtype) for v in body.invars[consts:]]
    answers = lower(inner, closed, [*fixed, *arguments])
    if not over:  # Scan counts its rounds by what it runs over
        over = [constant(np.zeros(equation.params["length"], np.float32))]
        arguments.append(Value(graph.fresh(), None, (), over[0].dtype))
    # An output of the body must be a node's, and its own.
    written = [
        inner.node("Identity", [inner.expanded(value, var.aval.shape)], var.aval.shape, var.aval.dtype)
        for value, var in zip(answers, body.outvars, strict=True)
    ]
    names = [str(value.name) for value in written]
    loop = helper.make_graph(inner.live(names), "round", [_info(v) for v in arguments], [_info(v) for v in written])
    whole = [graph.expanded(value, var.aval.shape) for value, var in zip(start, body.invars[consts:], strict=False)]
    for value, var in zip(over, equation.invars[consts + carries :] or [None], strict=True):
        whole.append(value if var is None else graph.expanded(value, var.aval.shape))
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


def _info(value: Value) -> Any:
    """Dtype and rank only: the sizes follow, and the batch's is not known."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    sizes = [size if isinstance(size, int) else BATCH for size in value.shape]
    return helper.make_tensor_value_info(str(value.name), kind, sizes)
