"""Elementwise operations: JAX primitives as ONNX nodes that broadcast."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.lax import RoundingMethod

from hepjax.errors import InputError
from hepjax.export.graph import Graph, Value, broadcast, constant

if TYPE_CHECKING:
    from collections.abc import Callable


def apply(graph: Graph, op: str, *values: Value, dtype: Any = None, **attributes: Any) -> Value:
    """Adds an elementwise node; its dtype is that of the first value unless `dtype` is set."""
    shape = broadcast([value.shape for value in values])
    return graph.node(op, values, shape, values[0].dtype if dtype is None else dtype, **attributes)


def _elementwise(op: str, graph: Graph, _: Any, *values: Value) -> Value:
    return apply(graph, op, *values)


def _lower_comparison(op: str, graph: Graph, _: Any, *values: Value) -> Value:
    if values[0].dtype == bool:
        values = tuple(graph.cast(value, np.int32) for value in values)
    return apply(graph, op, *values, dtype=bool)


def _differ(graph: Graph, equation: Any, *values: Value) -> Value:
    return apply(graph, "Not", _lower_comparison("Equal", graph, equation, *values))


def _logical(op: str, bits: str, graph: Graph, _: Any, *values: Value) -> Value:
    return apply(graph, op if values[0].dtype == bool else bits, *values)


def _maximum(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    if a.dtype == bool:
        return apply(graph, "Or", a, b)
    zero = b.name is None and b.shape == () and b.const == 0
    return apply(graph, "Relu", a) if zero else apply(graph, "Max", a, b)


def _minimum(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    return apply(graph, "And" if a.dtype == bool else "Min", a, b)


def _number_constant(value: Value, x: float) -> Value:
    return constant(np.array(x, value.dtype))


def _round(graph: Graph, equation: Any, x: Value) -> Value:
    if equation.params["rounding_method"] is not RoundingMethod.TO_NEAREST_EVEN:
        raise InputError("ONNX export: rounding halves away from zero is not supported; export StableHLO")
    return apply(graph, "Round", x)


def _square(graph: Graph, _: Any, x: Value) -> Value:
    return apply(graph, "Mul", x, x)


def _lower_integer_power(graph: Graph, equation: Any, x: Value) -> Value:
    """Computes an integer power by repeated squaring, as XLA does."""
    exponent, product, factor = abs(equation.params["y"]), None, x
    while exponent:
        if exponent % 2:
            product = factor if product is None else apply(graph, "Mul", product, factor)
        exponent //= 2
        factor = apply(graph, "Mul", factor, factor) if exponent else factor
    unit = _number_constant(x, 1)
    if product is None:
        return unit
    return apply(graph, "Div", unit, product) if equation.params["y"] < 0 else product


def _rsqrt(graph: Graph, _: Any, x: Value) -> Value:
    return apply(graph, "Reciprocal", apply(graph, "Sqrt", x))


def _log1p(graph: Graph, _: Any, x: Value) -> Value:
    return apply(graph, "Log", apply(graph, "Add", x, _number_constant(x, 1)))


def _divide(graph: Graph, equation: Any, a: Value, b: Value) -> Value:
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
    return apply(graph, "Div", a, b)


def _expm1(graph: Graph, _: Any, x: Value) -> Value:
    return apply(graph, "Sub", apply(graph, "Exp", x), _number_constant(x, 1))


def _erfc(graph: Graph, _: Any, x: Value) -> Value:
    return apply(graph, "Sub", _number_constant(x, 1), apply(graph, "Erf", x))


def _atan2(graph: Graph, _: Any, y: Value, x: Value) -> Value:
    """Computes the arctangent of y / x, plus or minus π where x is negative; the sign bit of a zero counts."""

    def is_negative(value: Value) -> Value:
        zero = _number_constant(value, 0)
        sides = [apply(graph, "Less", v, zero, dtype=bool) for v in (value, apply(graph, "Reciprocal", value))]
        return apply(graph, "Or", *sides)

    is_zero = apply(graph, "Equal", y, _number_constant(y, 0), dtype=bool)
    slope = apply(graph, "Atan", apply(graph, "Div", y, x))
    half = apply(graph, "Where", is_negative(y), _number_constant(y, -np.pi), _number_constant(y, np.pi), dtype=y.dtype)
    offset = apply(graph, "Where", is_negative(x), half, _number_constant(y, 0), dtype=y.dtype)
    return apply(graph, "Add", apply(graph, "Where", is_zero, y, slope, dtype=y.dtype), offset)


def _lower_select(graph: Graph, _: Any, condition: Value, *cases: Value) -> Value:
    if len(cases) != 2:
        raise InputError(f"ONNX export: a choice among {len(cases)} arrays is not supported; export StableHLO")
    if condition.dtype != bool:
        condition = graph.cast(condition, bool)
    return apply(graph, "Where", condition, cases[1], cases[0], dtype=cases[0].dtype)


def _clamp(graph: Graph, _: Any, low: Value, x: Value, high: Value) -> Value:
    return apply(graph, "Min", apply(graph, "Max", x, low), high)


def _convert(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.cast(x, equation.params["new_dtype"])


def _remainder(graph: Graph, _: Any, a: Value, b: Value) -> Value:
    return apply(graph, "Mod", a, b, fmod=1)


def _finite(graph: Graph, _: Any, x: Value) -> Value:
    exceptions = [apply(graph, op, x, dtype=bool) for op in ("IsNaN", "IsInf")]
    return apply(graph, "Not", apply(graph, "Or", *exceptions))


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
    **{name: partial(_elementwise, op) for name, op in _ONE_TO_ONE.items()},
    **{name: partial(_lower_comparison, op) for name, op in _COMPARISONS.items()},
    "and": partial(_logical, "And", "BitwiseAnd"),
    "atan2": _atan2,
    "clamp": _clamp,
    "convert_element_type": _convert,
    "div": _divide,
    "copy": _lower_identity,
    "copy_p": _lower_identity,
    "erfc": _erfc,
    "expm1": _expm1,
    "integer_pow": _lower_integer_power,
    "is_finite": _finite,
    "log1p": _log1p,
    "max": _maximum,
    "min": _minimum,
    "ne": _differ,
    "not": partial(_logical, "Not", "BitwiseNot"),
    "optimization_barrier": _lower_identity,
    "or": partial(_logical, "Or", "BitwiseOr"),
    "rem": _remainder,
    "round": _round,
    "rsqrt": _rsqrt,
    "select_n": _lower_select,
    "square": _square,
    "stop_gradient": _lower_identity,
    "xor": partial(_logical, "Xor", "BitwiseXor"),
}
"""The rules of the elementwise JAX primitives, by name."""
