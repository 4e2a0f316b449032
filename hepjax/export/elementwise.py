"""Elementwise operations: JAX primitives as ONNX nodes that broadcast."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.lax import RoundingMethod

from hepjax.errors import InputError
from hepjax.export.graph import Graph, Value, broadcast_shape, constant_value

if TYPE_CHECKING:
    from collections.abc import Callable


def add_elementwise_node(graph: Graph, op: str, *values: Value, dtype: Any = None, **attributes: Any) -> Value:
    """Adds an elementwise node; its dtype is that of the first value unless `dtype` is set."""
    shape = broadcast_shape([value.shape for value in values])
    return graph.node(op, values, shape, values[0].dtype if dtype is None else dtype, **attributes)


def _lower_elementwise(op: str, graph: Graph, _: Any, *values: Value) -> Value:
    return add_elementwise_node(graph, op, *values)


def _lower_comparison(op: str, graph: Graph, _: Any, *values: Value) -> Value:
    if values[0].dtype == bool:
        values = tuple(graph.cast(value, np.int32) for value in values)
    return add_elementwise_node(graph, op, *values, dtype=bool)


def _lower_not_equal(graph: Graph, equation: Any, *values: Value) -> Value:
    return add_elementwise_node(graph, "Not", _lower_comparison("Equal", graph, equation, *values))


def _lower_logical(op: str, bits: str, graph: Graph, _: Any, *values: Value) -> Value:
    return add_elementwise_node(graph, op if values[0].dtype == bool else bits, *values)


def _lower_maximum(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    if a.dtype == bool:
        return add_elementwise_node(graph, "Or", a, b)
    zero = b.name is None and b.shape == () and b.const == 0
    return add_elementwise_node(graph, "Relu", a) if zero else add_elementwise_node(graph, "Max", a, b)


def _lower_minimum(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    return add_elementwise_node(graph, "And" if a.dtype == bool else "Min", a, b)


def _number_constant(value: Value, x: float) -> Value:
    return constant_value(np.array(x, value.dtype))


def _lower_round(graph: Graph, equation: Any, x: Value) -> Value:
    if equation.params["rounding_method"] is not RoundingMethod.TO_NEAREST_EVEN:
        raise InputError("ONNX export: rounding halves away from zero is not supported; export StableHLO")
    return add_elementwise_node(graph, "Round", x)


def _lower_square(graph: Graph, _: Any, x: Value) -> Value:
    return add_elementwise_node(graph, "Mul", x, x)


def _lower_integer_power(graph: Graph, equation: Any, x: Value) -> Value:
    """Computes an integer power by repeated squaring, as XLA does."""
    exponent, product, factor = abs(equation.params["y"]), None, x
    while exponent:
        if exponent % 2:
            product = factor if product is None else add_elementwise_node(graph, "Mul", product, factor)
        exponent //= 2
        factor = add_elementwise_node(graph, "Mul", factor, factor) if exponent else factor
    unit = _number_constant(x, 1)
    if product is None:
        return unit
    return add_elementwise_node(graph, "Div", unit, product) if equation.params["y"] < 0 else product


def _lower_rsqrt(graph: Graph, _: Any, x: Value) -> Value:
    return add_elementwise_node(graph, "Reciprocal", add_elementwise_node(graph, "Sqrt", x))


def _lower_log1p(graph: Graph, _: Any, x: Value) -> Value:
    return add_elementwise_node(graph, "Log", add_elementwise_node(graph, "Add", x, _number_constant(x, 1)))


def _lower_divide(graph: Graph, equation: Any, a: Value, b: Value) -> Value:
    """Adds a quotient, or a softmax if the quotient normalizes exponentials of x minus a constant per row."""
    exponential, total = graph.inputs_of("Exp", a), b
    while (inner := graph.inputs_of("Reshape", total)) is not None:
        total = inner[0]
    summed = graph.inputs_of("ReduceSum", total)
    difference = exponential and graph.inputs_of("Sub", exponential[0])
    if summed and difference and summed[0] == a and np.asarray(summed[1].const).tolist() == [len(a.shape) - 1]:
        x, shift = difference
        if x.shape == a.shape == equation.outvars[0].aval.shape and b.shape[-1:] == shift.shape[-1:] == (1,):
            return graph.node("Softmax", [x], x.shape, x.dtype, axis=-1)
    return add_elementwise_node(graph, "Div", a, b)


def _lower_expm1(graph: Graph, _: Any, x: Value) -> Value:
    return add_elementwise_node(graph, "Sub", add_elementwise_node(graph, "Exp", x), _number_constant(x, 1))


def _lower_erfc(graph: Graph, _: Any, x: Value) -> Value:
    return add_elementwise_node(graph, "Sub", _number_constant(x, 1), add_elementwise_node(graph, "Erf", x))


def _lower_atan2(graph: Graph, _: Any, y: Value, x: Value) -> Value:
    """Computes the arctangent of y / x, plus or minus π where x is negative; the sign bit of a zero counts."""

    def is_negative(value: Value) -> Value:
        zero = _number_constant(value, 0)
        sides = [
            add_elementwise_node(graph, "Less", v, zero, dtype=bool)
            for v in (value, add_elementwise_node(graph, "Reciprocal", value))
        ]
        return add_elementwise_node(graph, "Or", *sides)

    is_zero = add_elementwise_node(graph, "Equal", y, _number_constant(y, 0), dtype=bool)
    slope = add_elementwise_node(graph, "Atan", add_elementwise_node(graph, "Div", y, x))
    half = add_elementwise_node(
        graph, "Where", is_negative(y), _number_constant(y, -np.pi), _number_constant(y, np.pi), dtype=y.dtype
    )
    offset = add_elementwise_node(graph, "Where", is_negative(x), half, _number_constant(y, 0), dtype=y.dtype)
    return add_elementwise_node(
        graph, "Add", add_elementwise_node(graph, "Where", is_zero, y, slope, dtype=y.dtype), offset
    )


def _lower_select(graph: Graph, _: Any, condition: Value, *cases: Value) -> Value:
    if len(cases) != 2:
        raise InputError(f"ONNX export: a choice among {len(cases)} arrays is not supported; export StableHLO")
    if condition.dtype != bool:
        condition = graph.cast(condition, bool)
    return add_elementwise_node(graph, "Where", condition, cases[1], cases[0], dtype=cases[0].dtype)


def _lower_clamp(graph: Graph, _: Any, low: Value, x: Value, high: Value) -> Value:
    return add_elementwise_node(graph, "Min", add_elementwise_node(graph, "Max", x, low), high)


def _lower_convert(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.cast(x, equation.params["new_dtype"])


def _lower_remainder(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    return add_elementwise_node(graph, "Mod", a, b, fmod=1)


def _lower_is_finite(graph: Graph, _: Any, x: Value) -> Value:
    exceptions = [add_elementwise_node(graph, op, x, dtype=bool) for op in ("IsNaN", "IsInf")]
    return add_elementwise_node(graph, "Not", add_elementwise_node(graph, "Or", *exceptions))


def _lower_identity(_graph: Graph, _: Any, *values: Value) -> list[Value]:
    return list(values)


_ONE_TO_ONE = {
    "abs": "Abs", "acos": "Acos", "acosh": "Acosh", "add": "Add", "add_any": "Add", "asin": "Asin", "asinh": "Asinh",
    "atan": "Atan", "atanh": "Atanh", "ceil": "Ceil", "cos": "Cos", "cosh": "Cosh", "erf": "Erf", "exp": "Exp",
    "floor": "Floor", "log": "Log", "logistic": "Sigmoid", "mul": "Mul", "neg": "Neg", "pow": "Pow", "sign": "Sign",
    "sin": "Sin", "sinh": "Sinh", "sqrt": "Sqrt", "sub": "Sub", "tan": "Tan", "tanh": "Tanh",
}  # fmt: skip
_COMPARISONS = {"eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}

ELEMENTWISE: dict[str, Callable[..., Any]] = {
    **{name: partial(_lower_elementwise, op) for name, op in _ONE_TO_ONE.items()},
    **{name: partial(_lower_comparison, op) for name, op in _COMPARISONS.items()},
    "and": partial(_lower_logical, "And", "BitwiseAnd"),
    "atan2": _lower_atan2,
    "clamp": _lower_clamp,
    "convert_element_type": _lower_convert,
    "div": _lower_divide,
    "copy": _lower_identity,
    "copy_p": _lower_identity,
    "erfc": _lower_erfc,
    "expm1": _lower_expm1,
    "integer_pow": _lower_integer_power,
    "is_finite": _lower_is_finite,
    "log1p": _lower_log1p,
    "max": _lower_maximum,
    "min": _lower_minimum,
    "ne": _lower_not_equal,
    "not": partial(_lower_logical, "Not", "BitwiseNot"),
    "optimization_barrier": _lower_identity,
    "or": partial(_lower_logical, "Or", "BitwiseOr"),
    "rem": _lower_remainder,
    "round": _lower_round,
    "rsqrt": _lower_rsqrt,
    "select_n": _lower_select,
    "square": _lower_square,
    "stop_gradient": _lower_identity,
    "xor": partial(_lower_logical, "Xor", "BitwiseXor"),
}
"""The rules of the elementwise JAX primitives, by name."""
