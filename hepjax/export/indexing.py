"""Reading and writing at computed places: JAX's gather and scatter as ONNX nodes."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.lax import GatherScatterMode

from hepjax.errors import InputError
from hepjax.export.elementwise import apply
from hepjax.export.graph import Graph, Value, constant
from hepjax.export.shapes import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FEW = 64
"""Places up to which rows are added by a matrix product."""


def _gather(graph: Graph, equation: Any, x: Value, places: Value) -> Value:
    """Whole rows along the axes that are not indexed: Gather along one axis, GatherND along several or in batches."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    x, places = whole(graph, equation, 0, x), whole(graph, equation, 1, places)
    indexed, batch = _axes(numbers.start_index_map), _axes(numbers.operand_batching_dims)
    if places.name is None and len(places.shape) == 1:
        return _window(graph, equation, x, np.asarray(places.const))
    rest = [axis for axis in range(len(x.shape)) if axis not in {*indexed, *batch}]
    if any(sizes[axis] != 1 for axis in indexed) or any(sizes[axis] != x.shape[axis] for axis in rest):
        raise InputError("ONNX export: reading parts of rows is not supported; export StableHLO")
    if not set(indexed) <= set(_axes(numbers.collapsed_slice_dims)):
        raise InputError("ONNX export: this form of reading is not supported; export StableHLO")
    limits = [x.shape[axis] for axis in indexed]
    places, there = _inside(graph, places, limits, equation.params["mode"])
    index_batch = _axes(numbers.start_indices_batching_dims)
    others = [axis for axis in range(len(places.shape) - 1) if axis not in index_batch]
    order = [*index_batch, *others]
    out, shape = equation.outvars[0].aval, [places.shape[axis] for axis in order]
    places = graph.transposed(places, [*order, len(order)])
    x = graph.transposed(x, [*batch, *indexed, *rest])
    shape += [x.shape[len(batch) + len(indexed) + i] for i in range(len(rest))]
    if not batch and len(indexed) == 1:
        found = graph.node("Gather", [x, graph.reshaped(places, places.shape[:-1])], shape, out.dtype, axis=0)
    else:
        found = graph.node("GatherND", [x, graph.cast(places, np.int64)], shape, out.dtype, batch_dims=len(batch))
    # Where each axis of what was found belongs.
    offsets = _axes(numbers.offset_dims)
    free = [axis for axis in range(len(out.shape)) if axis not in offsets]
    target = [free[axis] for axis in order] + offsets
    found = graph.transposed(found, np.argsort(target).tolist())
    if there is None:
        return found
    seen: list[Any] = [1] * len(out.shape)
    for axis, size in zip(free, there.shape, strict=True):
        seen[axis] = size
    return apply(graph, "Where", graph.reshaped(there, tuple(seen)), found, _fill(equation, out.dtype), dtype=out.dtype)


def _window(graph: Graph, equation: Any, x: Value, start: np.ndarray) -> Value:
    """A part of an array at a place that is known: Slice."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes, shape = _axes(numbers.start_index_map), list(x.shape)
    last = [x.shape[axis] - sizes[axis] for axis in axes]
    first = np.clip(start, 0, last)
    if (first != start).any() and equation.params["mode"] is not GatherScatterMode.CLIP:
        raise InputError("ONNX export: reading outside of an array is not supported; export StableHLO")
    for axis in axes:
        shape[axis] = sizes[axis]
    bounds = [constant(np.array(each, np.int64)) for each in (first, first + [sizes[axis] for axis in axes], axes)]
    return graph.reshaped(graph.node("Slice", [x, *bounds], shape, x.dtype), equation.outvars[0].aval.shape)


def _scatter(
    reduction: str,
    few: Callable[..., Value] | None,
    graph: Graph,
    equation: Any,
    x: Value,
    places: Value,
    updates: Value,
) -> Value:
    """Whole rows as (batch, place, row), added by a product or written by ScatterElements."""
    numbers, out = equation.params["dimension_numbers"], equation.outvars[0].aval
    x, places, updates = (whole(graph, equation, i, value) for i, value in enumerate((x, places, updates)))
    indexed, batch = _axes(numbers.scatter_dims_to_operand_dims), _axes(numbers.operand_batching_dims)
    rest = [axis for axis in range(len(x.shape)) if axis not in {*indexed, *batch}]
    window = _axes(numbers.update_window_dims)
    whole_rows = [updates.shape[axis] for axis in window] == [x.shape[axis] for axis in rest]
    if sorted(indexed) != _axes(numbers.inserted_window_dims) or not whole_rows or len(batch) > 1:
        raise InputError("ONNX export: writing parts of rows is not supported; export StableHLO")
    index_batch = _axes(numbers.scatter_indices_batching_dims)
    others = [axis for axis in range(len(places.shape) - 1) if axis not in index_batch]
    free = [axis for axis in range(len(updates.shape)) if axis not in window]
    update_batch = [free[axis] for axis in index_batch]
    if not batch:  # then the axis of unknown size leads, if rows have one, and all of it is written at the same places
        batch = [axis for axis in rest if not isinstance(x.shape[axis], int)]
        update_batch = [window[rest.index(axis)] for axis in batch]
        window, rest = ([a for a in axes if a not in lead] for axes, lead in ((window, update_batch), (rest, batch)))
    limits = [x.shape[axis] for axis in indexed]
    rows, count = math.prod(limits), math.prod(places.shape[axis] for axis in others)
    head = tuple(x.shape[axis] for axis in batch) or (1,)
    turn = [*batch, *indexed, *rest]
    x = graph.transposed(x, turn)
    turned = x.shape
    width = math.prod(turned[len(batch) + len(indexed) :])
    x = graph.reshaped(x, (*head, rows, width))
    flat = graph.transposed(_flat(graph, places, limits, equation.params["mode"]), [*index_batch, *others])
    flat = graph.reshaped(flat, (*(flat.shape[: len(index_batch)] or (1,)), count, 1))
    updates = graph.transposed(updates, [*update_batch, *(free[axis] for axis in others), *window])
    updates = graph.reshaped(updates, (*head, count, width))
    if few is not None and rows <= _FEW and out.dtype == np.float32:
        found = few(graph, x, flat, updates)
    else:
        found = _write_many(reduction, graph, x, flat, updates)
    return graph.transposed(graph.reshaped(found, turned), np.argsort(turn).tolist())


def _sum_few(graph: Graph, x: Value, flat: Value, updates: Value) -> Value:
    """Adds rows by a product with ones and zeros: (B, N, F), (B, E, 1) and (B, E, F) → (B, N, F).

    ONNX Runtime's ScatterElements runs on one core and is some five times slower for 30 places.
    """
    head, rows, width = x.shape
    count = updates.shape[1]
    flat = graph.reshaped(flat, (flat.shape[0], 1, count))
    same = apply(graph, "Equal", flat, constant(np.arange(rows, dtype=flat.dtype)[None, :, None]), dtype=bool)
    ones = graph.cast(same, x.dtype)
    return apply(graph, "Add", x, graph.node("MatMul", [ones, updates], (head, rows, width), x.dtype))


def _write_many(reduction: str, graph: Graph, x: Value, flat: Value, updates: Value) -> Value:
    """The same by ScatterElements; one more row takes what lies outside."""
    head, rows, width = x.shape
    spare = graph.expanded(constant(np.zeros((1, 1, 1), x.dtype)), (head, 1, width))
    longer = graph.node("Concat", [x, spare], (head, rows + 1, width), x.dtype, axis=1)
    inputs = [longer, graph.expanded(flat, updates.shape), updates]
    found = graph.node("ScatterElements", inputs, longer.shape, x.dtype, axis=1, reduction=reduction)
    first, last, axis = (constant(np.array([number], np.int64)) for number in (0, rows, 1))
    return graph.node("Slice", [found, first, last, axis], x.shape, x.dtype)


def _axes(numbers: Sequence[Any]) -> list[int]:
    return [int(number) for number in numbers]


def _fill(equation: Any, dtype: Any) -> Value:
    """What is read outside of an array."""
    value = equation.params["fill_value"]
    if value is None:
        floating = np.issubdtype(dtype, np.floating)
        value = np.nan if floating else (True if np.issubdtype(dtype, np.bool_) else np.iinfo(dtype).min)
    return constant(np.array(value, dtype))


def _known_inside(places: Value, limits: Sequence[int]) -> bool:
    if places.name is not None:
        return False
    indices = np.asarray(places.const)
    return bool(((indices >= 0) & (indices < np.array(limits))).all())


def _inside(graph: Graph, places: Value, limits: Sequence[int], mode: GatherScatterMode) -> tuple[Value, Value | None]:
    """Places inside of the array, and where they were so; None where that does not matter."""
    if mode is GatherScatterMode.PROMISE_IN_BOUNDS or _known_inside(places, limits):
        return places, None
    zero, last = (constant(np.array(number, places.dtype)) for number in (0, [size - 1 for size in limits]))
    clipped = apply(graph, "Min", apply(graph, "Max", places, zero), last)
    if mode is GatherScatterMode.CLIP:
        return clipped, None
    return clipped, _all_equal(graph, places, clipped)


def _all_equal(graph: Graph, a: Value, b: Value) -> Value:
    """(..., K) → (...) bool."""
    same = apply(graph, "Equal", a, b, dtype=bool)
    if same.shape[-1] == 1:
        return graph.reshaped(same, same.shape[:-1])
    axes = constant(np.array([-1], np.int64))
    numbers = graph.node("ReduceMin", [graph.cast(same, np.int32), axes], same.shape[:-1], np.int32, keepdims=0)
    return graph.cast(numbers, bool)


def _flat(graph: Graph, places: Value, limits: Sequence[int], mode: GatherScatterMode) -> Value:
    """(..., K) places → (...) numbers of rows; one more than there are for what is left out."""
    clipped, there = _inside(graph, places, limits, mode)
    steps = np.array([math.prod(limits[i + 1 :]) for i in range(len(limits))], places.dtype)
    if len(limits) == 1:
        flat = graph.reshaped(clipped, clipped.shape[:-1])
    else:
        scaled = apply(graph, "Mul", clipped, constant(steps))
        axes = constant(np.array([-1], np.int64))
        flat = graph.node("ReduceSum", [scaled, axes], scaled.shape[:-1], places.dtype, keepdims=0)
    if there is None:
        return flat
    return apply(graph, "Where", there, flat, constant(np.array(math.prod(limits), places.dtype)), dtype=places.dtype)


INDEXING: dict[str, Callable[..., Any]] = {
    "gather": _gather,
    "scatter": partial(_scatter, "none", None),
    "scatter-add": partial(_scatter, "add", _sum_few),
    "scatter-max": partial(_scatter, "max", None),
    "scatter-min": partial(_scatter, "min", None),
    "scatter-mul": partial(_scatter, "mul", None),
}
"""JAX primitive → its rule."""
