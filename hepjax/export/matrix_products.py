"""Matrix products and convolutions: JAX primitives as ONNX nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from hepjax.errors import InputError
from hepjax.export.shapes import broadcast_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from hepjax.export.graph import Graph, Value


def _lower_dot_general(graph: Graph, equation: Any, a: Value, b: Value) -> Value:
    """Merges the axes into (batch, free, contracted) and (batch, contracted, free), and adds a MatMul."""
    (a_sum, b_sum), (a_batch, b_batch) = equation.params["dimension_numbers"]
    out = equation.outvars[0].aval
    a, b = broadcast_argument(graph, equation, 0, a), broadcast_argument(graph, equation, 1, b)
    a_free = [axis for axis in range(len(a.shape)) if axis not in {*a_sum, *a_batch}]
    b_free = [axis for axis in range(len(b.shape)) if axis not in {*b_sum, *b_batch}]
    a, b = graph.transpose(a, [*a_batch, *a_free, *a_sum]), graph.transpose(b, [*b_batch, *b_sum, *b_free])
    batch, summed = len(a_batch), len(a_sum)
    rows, columns = a.shape[batch : len(a.shape) - summed], b.shape[batch + summed :]
    if not batch and summed == 1 and len(columns) == 1:  # a dense layer
        return graph.node("MatMul", [a, b], out.shape, out.dtype)
    head, inner = a.shape[:batch], math.prod(a.shape[len(a.shape) - summed :])
    if sum(not isinstance(size, int) for size in head) and len(head) > 1:
        head = (math.prod(head),)
    height, width = math.prod(rows), math.prod(columns)
    a, b = graph.reshape(a, (*head, height, inner)), graph.reshape(b, (*head, inner, width))
    product = graph.node("MatMul", [a, b], (*head, height, width), out.dtype)
    return graph.reshape(product, out.shape)


def _lower_convolution(graph: Graph, equation: Any, x: Value, kernel: Value) -> Value:
    params, out = equation.params, equation.outvars[0].aval
    numbers = params["dimension_numbers"]
    if params["batch_group_count"] != 1 or any(step != 1 for step in params["lhs_dilation"]):
        raise InputError("ONNX export: a transposed convolution is not supported; export StableHLO")
    x = graph.transpose(broadcast_argument(graph, equation, 0, x), numbers.lhs_spec)
    kernel = graph.transpose(broadcast_argument(graph, equation, 1, kernel), numbers.rhs_spec)
    output = graph.node(
        "Conv",
        [x, kernel],
        [out.shape[axis] for axis in numbers.out_spec],
        out.dtype,
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        pads=[low for low, _ in params["padding"]] + [high for _, high in params["padding"]],
        group=params["feature_group_count"],
    )
    return graph.transpose(output, sorted(range(len(out.shape)), key=numbers.out_spec.__getitem__))


PRODUCTS: dict[str, Callable[..., Any]] = {
    "conv_general_dilated": _lower_convolution,
    "dot_general": _lower_dot_general,
}
"""The rules of the JAX primitives for products, by name."""
