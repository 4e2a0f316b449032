"""Reshaping, joining, slicing and reducing: JAX primitives as ONNX nodes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hepjax.errors import InputError
from hepjax.export.graph import Graph, Value, constant_value

if TYPE_CHECKING:
    from collections.abc import Callable


def _integer_constant(numbers: Any) -> Value:
    return constant_value(np.array([int(number) for number in numbers], np.int64))


def broadcast_argument(graph: Graph, equation: Any, place: int, value: Value) -> Value:
    """Broadcasts an argument of an equation to its full shape."""
    return graph.expand(value, equation.invars[place].aval.shape)


def _lower_broadcast_in_dim(graph: Graph, equation: Any, x: Value, *_: Value) -> Value:
    """Inserts axes of size 1 only and repeats nothing."""
    shape: list[Any] = [1] * len(equation.params["shape"])
    for size, axis in zip(x.shape, equation.params["broadcast_dimensions"], strict=True):
        shape[axis] = size
    return graph.reshape(x, tuple(shape))


def _lower_reshape(graph: Graph, equation: Any, x: Value, *_: Value) -> Value:
    if equation.params["dimensions"] is not None:
        x = graph.transpose(broadcast_argument(graph, equation, 0, x), equation.params["dimensions"])
    old, new = equation.invars[0].aval.shape, equation.params["new_sizes"]
    if [size for size in old if size != 1] == [size for size in new if size != 1]:  # only sizes of 1 come and go
        sizes = iter([real for real, size in zip(x.shape, old, strict=True) if size != 1])
        return graph.reshape(x, tuple(1 if size == 1 else next(sizes) for size in new))
    return graph.reshape(broadcast_argument(graph, equation, 0, x), new)


def _lower_squeeze(graph: Graph, equation: Any, x: Value) -> Value:
    gone = {int(axis) for axis in equation.params["dimensions"]}
    return graph.reshape(x, tuple(size for axis, size in enumerate(x.shape) if axis not in gone))


def _lower_expand_dims(graph: Graph, equation: Any, x: Value) -> Value:
    shape = iter(x.shape)
    new = {int(axis) for axis in equation.params["dimensions"]}
    return graph.reshape(x, tuple(1 if axis in new else next(shape) for axis in range(len(x.shape) + len(new))))


def _lower_transpose(graph: Graph, equation: Any, x: Value) -> Value:
    return graph.transpose(x, equation.params["permutation"])


def _lower_slice(graph: Graph, equation: Any, x: Value) -> Value:
    sizes = equation.invars[0].aval.shape
    starts, limits = equation.params["start_indices"], equation.params["limit_indices"]
    strides = equation.params["strides"] or (1,) * len(sizes)
    cut = [
        axis
        for axis, (size, first, end, step) in enumerate(zip(sizes, starts, limits, strides, strict=True))
        if not (isinstance(first, int) and first == 0 and end == size and step == 1)
    ]
    shape, real = list(x.shape), []
    for axis in cut:
        if x.shape[axis] == 1:  # repeated values stay repeated in each slice
            continue
        real.append(axis)
        shape[axis] = equation.outvars[0].aval.shape[axis]
    if not real:
        return x
    bounds = [_integer_constant(numbers[axis] for axis in real) for numbers in (starts, limits)]
    return graph.node(
        "Slice", [x, *bounds, _integer_constant(real), _integer_constant(strides[a] for a in real)], shape, x.dtype
    )


def _lower_reverse(graph: Graph, equation: Any, x: Value) -> Value:
    axes = [int(axis) for axis in equation.params["dimensions"]]
    many = [[number] * len(axes) for number in (-1, np.iinfo(np.int64).min + 1, -1)]
    return graph.node(
        "Slice",
        [x, *map(_integer_constant, many[:2]), _integer_constant(axes), _integer_constant(many[2])],
        x.shape,
        x.dtype,
    )


def _lower_pad(graph: Graph, equation: Any, x: Value, fill: Value) -> Value:
    widths = equation.params["padding_config"]
    if any(low < 0 or high < 0 or between for low, high, between in widths):
        raise InputError("ONNX export: padding between numbers, or less than none, is not supported; export StableHLO")
    pads = _integer_constant([low for low, _, _ in widths] + [high for _, high, _ in widths])
    x = broadcast_argument(graph, equation, 0, x)
    if x.dtype == bool:  # ONNX Runtime pads numbers only
        numbers = [graph.cast(value, np.int32) for value in (x, fill)]
        shape = equation.outvars[0].aval.shape
        return graph.cast(graph.node("Pad", [numbers[0], pads, numbers[1]], shape, np.int32), bool)
    return graph.node("Pad", [x, pads, fill], equation.outvars[0].aval.shape, x.dtype)


def _lower_concatenate(graph: Graph, equation: Any, *values: Value) -> Value:
    parts = [broadcast_argument(graph, equation, place, value) for place, value in enumerate(values)]
    out = equation.outvars[0].aval
    return graph.node("Concat", parts, out.shape, out.dtype, axis=int(equation.params["dimension"]))


def _lower_stack(graph: Graph, equation: Any, *values: Value) -> Value:
    axis, parts = int(equation.params["axis"]), []
    for place, value in enumerate(values):
        part = broadcast_argument(graph, equation, place, value)
        parts.append(graph.reshape(part, (*part.shape[:axis], 1, *part.shape[axis:])))
    return graph.node("Concat", parts, equation.outvars[0].aval.shape, values[0].dtype, axis=axis)


def _lower_split(graph: Graph, equation: Any, x: Value) -> list[Value]:
    outputs = [(var.aval.shape, var.aval.dtype) for var in equation.outvars]
    x = broadcast_argument(graph, equation, 0, x)
    return graph.many(
        "Split", [x, _integer_constant(equation.params["sizes"])], outputs, axis=int(equation.params["axis"])
    )


def _lower_unstack(graph: Graph, equation: Any, x: Value) -> list[Value]:
    axis, x = int(equation.params["axis"]), broadcast_argument(graph, equation, 0, x)
    single, rest = (*x.shape[:axis], 1, *x.shape[axis + 1 :]), equation.outvars[0].aval.shape
    parts = graph.many(
        "Split", [x, _integer_constant([1] * x.shape[axis])], [(single, x.dtype)] * x.shape[axis], axis=axis
    )
    return [graph.reshape(part, rest) for part in parts]


def _lower_tile(graph: Graph, equation: Any, x: Value) -> Value:
    out = equation.outvars[0].aval
    x = broadcast_argument(graph, equation, 0, x)
    return graph.node("Tile", [x, _integer_constant(equation.params["reps"])], out.shape, out.dtype)


def _lower_iota(graph: Graph, equation: Any) -> Value:
    """Counts along one axis; other axes have size 1."""
    sizes, axis = equation.params["shape"], int(equation.params["dimension"])
    dtype, length = equation.params["dtype"], equation.params["shape"][axis]
    shape = [1] * len(sizes)
    if isinstance(length, int):
        shape[axis] = length
        return constant_value(np.arange(length, dtype=dtype).reshape(shape))
    shape[axis] = length
    first, step = constant_value(np.array(0, np.int64)), constant_value(np.array(1, np.int64))
    end = graph.reshape(graph.sizes((length,)), ())
    return graph.reshape(graph.cast(graph.node("Range", [first, end, step], (length,), np.int64), dtype), shape)


def _lower_reduce(op: str, graph: Graph, equation: Any, x: Value) -> Value:
    axes = [int(axis) for axis in equation.params["axes"]]
    out = equation.outvars[0].aval
    full = equation.invars[0].aval.shape
    # Remaining axes may stay at size 1; reduced axes need their full size.
    x = graph.expand(x, tuple(full[a] if a in axes else size for a, size in enumerate(x.shape)))
    shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    if not axes:
        return x
    return graph.node(op, [x, _integer_constant(axes)], shape, out.dtype, keepdims=0)


def _lower_any_or_all(op: str, graph: Graph, equation: Any, x: Value) -> Value:
    reduced = _lower_reduce(op, graph, equation, graph.cast(x, np.int32))
    return graph.cast(reduced._replace(dtype=np.dtype(np.int32)), bool)


def _lower_argmax(op: str, graph: Graph, equation: Any, x: Value) -> Value:
    (axis,), out = equation.params["axes"], equation.outvars[0].aval
    x = broadcast_argument(graph, equation, 0, x)
    return graph.cast(graph.node(op, [x], out.shape, np.int64, axis=int(axis), keepdims=0), out.dtype)


def _lower_cumulative_sum(graph: Graph, equation: Any, x: Value) -> Value:
    axis = constant_value(np.array(int(equation.params["axis"]), np.int64))
    x = broadcast_argument(graph, equation, 0, x)
    return graph.node("CumSum", [x, axis], x.shape, x.dtype, reverse=int(equation.params["reverse"]))


def _lower_top_k(graph: Graph, equation: Any, x: Value) -> list[Value]:
    values, places = (var.aval for var in equation.outvars)
    count, axis = _integer_constant([equation.params["k"]]), equation.params.get("axis", len(values.shape) - 1)
    x = broadcast_argument(graph, equation, 0, x)
    outputs = [(values.shape, values.dtype), (places.shape, np.int64)]
    largest, positions = graph.many("TopK", [x, count], outputs, axis=int(axis), largest=1, sorted=1)
    return [largest, graph.cast(positions, places.dtype)]


def _lower_empty(_: Graph, equation: Any) -> Value:
    out = equation.outvars[0].aval
    return constant_value(np.zeros((1,) * len(out.shape), out.dtype))


SHAPES: dict[str, Callable[..., Any]] = {
    "argmax": partial(_lower_argmax, "ArgMax"),
    "argmin": partial(_lower_argmax, "ArgMin"),
    "broadcast_in_dim": _lower_broadcast_in_dim,
    "concatenate": _lower_concatenate,
    "cumsum": _lower_cumulative_sum,
    "empty": _lower_empty,
    "expand_dims": _lower_expand_dims,
    "iota": _lower_iota,
    "pad": _lower_pad,
    "reduce_and": partial(_lower_any_or_all, "ReduceMin"),
    "reduce_max": partial(_lower_reduce, "ReduceMax"),
    "reduce_min": partial(_lower_reduce, "ReduceMin"),
    "reduce_or": partial(_lower_any_or_all, "ReduceMax"),
    "reduce_prod": partial(_lower_reduce, "ReduceProd"),
    "reduce_sum": partial(_lower_reduce, "ReduceSum"),
    "reshape": _lower_reshape,
    "rev": _lower_reverse,
    "slice": _lower_slice,
    "split": _lower_split,
    "squeeze": _lower_squeeze,
    "stack": _lower_stack,
    "tile": _lower_tile,
    "top_k": _lower_top_k,
    "transpose": _lower_transpose,
    "unstack": _lower_unstack,
}
"""The rules of the shape-related JAX primitives, by name."""
