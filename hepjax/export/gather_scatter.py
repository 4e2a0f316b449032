"""Reading and writing at computed indices: JAX's gather and scatter as ONNX nodes."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jax.lax import GatherScatterMode

from hepjax.errors import InputError
from hepjax.export.elementwise import add_elementwise_node
from hepjax.export.graph import Graph, Value, constant_value
from hepjax.export.shapes import broadcast_argument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FEW = 64
"""The largest number of rows for which a matrix product adds rows."""


def _lower_gather(graph: Graph, equation: Any, x: Value, indices: Value) -> Value:
    """Reads whole rows with Gather along one indexed axis, and with GatherND along several or in batches."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    x, indices = broadcast_argument(graph, equation, 0, x), broadcast_argument(graph, equation, 1, indices)
    indexed, batch = _gather_axes(numbers.start_index_map), _gather_axes(numbers.operand_batching_dims)
    if indices.name is None and len(indices.shape) == 1:
        return _lower_slice_gather(graph, equation, x, np.asarray(indices.const))
    rest = [axis for axis in range(len(x.shape)) if axis not in {*indexed, *batch}]
    if any(sizes[axis] != 1 for axis in indexed) or any(sizes[axis] != x.shape[axis] for axis in rest):
        raise InputError("ONNX export: reading parts of rows is not supported; export StableHLO")
    if not set(indexed) <= set(_gather_axes(numbers.collapsed_slice_dims)):
        raise InputError("ONNX export: this form of reading is not supported; export StableHLO")
    limits = [x.shape[axis] for axis in indexed]
    indices, inside = _clip_indices(graph, indices, limits, equation.params["mode"])
    index_batch = _gather_axes(numbers.start_indices_batching_dims)
    unbatched = [axis for axis in range(len(indices.shape) - 1) if axis not in index_batch]
    order = [*index_batch, *unbatched]
    out, shape = equation.outvars[0].aval, [indices.shape[axis] for axis in order]
    indices = graph.transpose(indices, [*order, len(order)])
    x = graph.transpose(x, [*batch, *indexed, *rest])
    shape += [x.shape[len(batch) + len(indexed) + i] for i in range(len(rest))]
    if not batch and len(indexed) == 1:
        rows = graph.node("Gather", [x, graph.reshape(indices, indices.shape[:-1])], shape, out.dtype, axis=0)
    else:
        rows = graph.node("GatherND", [x, graph.cast(indices, np.int64)], shape, out.dtype, batch_dims=len(batch))
    # The position of each axis of the rows in the output.
    offsets = _gather_axes(numbers.offset_dims)
    free = [axis for axis in range(len(out.shape)) if axis not in offsets]
    target = [free[axis] for axis in order] + offsets
    rows = graph.transpose(rows, np.argsort(target).tolist())
    if inside is None:
        return rows
    mask_shape: list[Any] = [1] * len(out.shape)
    for axis, size in zip(free, inside.shape, strict=True):
        mask_shape[axis] = size
    return add_elementwise_node(
        graph,
        "Where",
        graph.reshape(inside, tuple(mask_shape)),
        rows,
        _gather_fill_value(equation, out.dtype),
        dtype=out.dtype,
    )


def _lower_slice_gather(graph: Graph, equation: Any, x: Value, start: np.ndarray) -> Value:
    """Reads a part of an array at a constant position with Slice."""
    numbers, sizes = equation.params["dimension_numbers"], equation.params["slice_sizes"]
    axes, shape = _gather_axes(numbers.start_index_map), list(x.shape)
    last = [x.shape[axis] - sizes[axis] for axis in axes]
    first = np.clip(start, 0, last)
    if (first != start).any() and equation.params["mode"] is not GatherScatterMode.CLIP:
        raise InputError("ONNX export: reading outside of an array is not supported; export StableHLO")
    for axis in axes:
        shape[axis] = sizes[axis]
    bounds = [
        constant_value(np.array(each, np.int64)) for each in (first, first + [sizes[axis] for axis in axes], axes)
    ]
    return graph.reshape(graph.node("Slice", [x, *bounds], shape, x.dtype), equation.outvars[0].aval.shape)


def _lower_scatter(
    reduction: str,
    write_few: Callable[..., Value] | None,
    graph: Graph,
    equation: Any,
    x: Value,
    indices: Value,
    updates: Value,
) -> Value:
    """Writes whole rows, arranged as (batch, index, row), with a matrix product or ScatterElements."""
    numbers, out = equation.params["dimension_numbers"], equation.outvars[0].aval
    x, indices, updates = (
        broadcast_argument(graph, equation, i, value) for i, value in enumerate((x, indices, updates))
    )
    indexed, batch = _gather_axes(numbers.scatter_dims_to_operand_dims), _gather_axes(numbers.operand_batching_dims)
    rest = [axis for axis in range(len(x.shape)) if axis not in {*indexed, *batch}]
    window = _gather_axes(numbers.update_window_dims)
    whole_rows = [updates.shape[axis] for axis in window] == [x.shape[axis] for axis in rest]
    if sorted(indexed) != _gather_axes(numbers.inserted_window_dims) or not whole_rows or len(batch) > 1:
        raise InputError("ONNX export: writing parts of rows is not supported; export StableHLO")
    index_batch = _gather_axes(numbers.scatter_indices_batching_dims)
    unbatched = [axis for axis in range(len(indices.shape) - 1) if axis not in index_batch]
    free = [axis for axis in range(len(updates.shape)) if axis not in window]
    update_batch = [free[axis] for axis in index_batch]
    if not batch:  # a symbolic axis of the rows becomes the batch axis, with the same indices for all its entries
        batch = [axis for axis in rest if not isinstance(x.shape[axis], int)]
        update_batch = [window[rest.index(axis)] for axis in batch]
        window, rest = ([a for a in axes if a not in lead] for axes, lead in ((window, update_batch), (rest, batch)))
    limits = [x.shape[axis] for axis in indexed]
    rows, count = math.prod(limits), math.prod(indices.shape[axis] for axis in unbatched)
    head = tuple(x.shape[axis] for axis in batch) or (1,)
    order = [*batch, *indexed, *rest]
    x = graph.transpose(x, order)
    shape = x.shape
    width = math.prod(shape[len(batch) + len(indexed) :])
    x = graph.reshape(x, (*head, rows, width))
    flat = graph.transpose(
        _flat_row_numbers(graph, indices, limits, equation.params["mode"]), [*index_batch, *unbatched]
    )
    flat = graph.reshape(flat, (*(flat.shape[: len(index_batch)] or (1,)), count, 1))
    updates = graph.transpose(updates, [*update_batch, *(free[axis] for axis in unbatched), *window])
    updates = graph.reshape(updates, (*head, count, width))
    if write_few is not None and rows <= _FEW and out.dtype == np.float32:
        result = write_few(graph, x, flat, updates)
    else:
        result = _scatter_by_elements(reduction, graph, x, flat, updates)
    return graph.transpose(graph.reshape(result, shape), np.argsort(order).tolist())


def _scatter_by_matrix_product(graph: Graph, x: Value, flat: Value, updates: Value) -> Value:
    """Adds rows by a product with a matrix of zeros and ones: (B, N, F), (B, E, 1) and (B, E, F) → (B, N, F).

    ONNX Runtime's ScatterElements runs on one core and is about five times slower for 30 rows.
    """
    head, rows, width = x.shape
    count = updates.shape[1]
    flat = graph.reshape(flat, (flat.shape[0], 1, count))
    same = add_elementwise_node(
        graph, "Equal", flat, constant_value(np.arange(rows, dtype=flat.dtype)[None, :, None]), dtype=bool
    )
    ones = graph.cast(same, x.dtype)
    return add_elementwise_node(graph, "Add", x, graph.node("MatMul", [ones, updates], (head, rows, width), x.dtype))


def _scatter_by_elements(reduction: str, graph: Graph, x: Value, flat: Value, updates: Value) -> Value:
    """Writes rows with ScatterElements; an extra row collects updates outside of the array."""
    head, rows, width = x.shape
    spare = graph.expand(constant_value(np.zeros((1, 1, 1), x.dtype)), (head, 1, width))
    longer = graph.node("Concat", [x, spare], (head, rows + 1, width), x.dtype, axis=1)
    inputs = [longer, graph.expand(flat, updates.shape), updates]
    written = graph.node("ScatterElements", inputs, longer.shape, x.dtype, axis=1, reduction=reduction)
    first, last, axis = (constant_value(np.array([number], np.int64)) for number in (0, rows, 1))
    return graph.node("Slice", [written, first, last, axis], x.shape, x.dtype)


def _gather_axes(numbers: Sequence[Any]) -> list[int]:
    return [int(number) for number in numbers]


def _gather_fill_value(equation: Any, dtype: Any) -> Value:
    """Returns the value that is read outside of an array."""
    value = equation.params["fill_value"]
    if value is None:
        floating = np.issubdtype(dtype, np.floating)
        value = np.nan if floating else (True if np.issubdtype(dtype, np.bool_) else np.iinfo(dtype).min)
    return constant_value(np.array(value, dtype))


def _indices_known_inside(indices: Value, limits: Sequence[int]) -> bool:
    if indices.name is not None:
        return False
    constant_indices = np.asarray(indices.const)
    return bool(((constant_indices >= 0) & (constant_indices < np.array(limits))).all())


def _clip_indices(
    graph: Graph, indices: Value, limits: Sequence[int], mode: GatherScatterMode
) -> tuple[Value, Value | None]:
    """Clips indices to the array, and returns the mask of those inside; None if the mask is not needed."""
    if mode is GatherScatterMode.PROMISE_IN_BOUNDS or _indices_known_inside(indices, limits):
        return indices, None
    zero, last = (constant_value(np.array(number, indices.dtype)) for number in (0, [size - 1 for size in limits]))
    clipped = add_elementwise_node(graph, "Min", add_elementwise_node(graph, "Max", indices, zero), last)
    if mode is GatherScatterMode.CLIP:
        return clipped, None
    return clipped, _rows_all_equal(graph, indices, clipped)


def _rows_all_equal(graph: Graph, a: Value, b: Value) -> Value:
    """Compares (..., K) values along the last axis and returns (...) bool."""
    same = add_elementwise_node(graph, "Equal", a, b, dtype=bool)
    if same.shape[-1] == 1:
        return graph.reshape(same, same.shape[:-1])
    axes = constant_value(np.array([-1], np.int64))
    numbers = graph.node("ReduceMin", [graph.cast(same, np.int32), axes], same.shape[:-1], np.int32, keepdims=0)
    return graph.cast(numbers, bool)


def _flat_row_numbers(graph: Graph, indices: Value, limits: Sequence[int], mode: GatherScatterMode) -> Value:
    """Converts (..., K) indices to (...) row numbers; ignored indices get the number of rows."""
    clipped, inside = _clip_indices(graph, indices, limits, mode)
    steps = np.array([math.prod(limits[i + 1 :]) for i in range(len(limits))], indices.dtype)
    if len(limits) == 1:
        flat = graph.reshape(clipped, clipped.shape[:-1])
    else:
        scaled = add_elementwise_node(graph, "Mul", clipped, constant_value(steps))
        axes = constant_value(np.array([-1], np.int64))
        flat = graph.node("ReduceSum", [scaled, axes], scaled.shape[:-1], indices.dtype, keepdims=0)
    if inside is None:
        return flat
    return add_elementwise_node(
        graph, "Where", inside, flat, constant_value(np.array(math.prod(limits), indices.dtype)), dtype=indices.dtype
    )


INDEXING: dict[str, Callable[..., Any]] = {
    "gather": _lower_gather,
    "scatter": partial(_lower_scatter, "none", None),
    "scatter-add": partial(_lower_scatter, "add", _scatter_by_matrix_product),
    "scatter-max": partial(_lower_scatter, "max", None),
    "scatter-min": partial(_lower_scatter, "min", None),
    "scatter-mul": partial(_lower_scatter, "mul", None),
}
"""The rules of the indexing JAX primitives, by name."""
