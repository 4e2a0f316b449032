"""An ONNX graph under construction: nodes, constants, and shapes with a symbolic batch axis."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hepjax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Shape = Sequence[Any]
    """The sizes of the axes; sizes that depend on the batch are symbolic."""


BATCH = "batch"
"""The symbolic size of the first axis, and the tensor that holds it."""


class Value(NamedTuple):
    """An array of the graph.

    An axis may have size 1 where JAX has a larger size: ONNX broadcasts, so that repeated values are not stored.
    """

    name: str | None
    """The name of the tensor; None for a constant."""
    const: Any
    """The constant as a NumPy or JAX array; None for a named tensor."""
    shape: tuple[Any, ...]
    dtype: Any


@dataclasses.dataclass
class _Shared:
    """The state that a graph shares with the bodies of its loops."""

    nodes: list[NodeProto]
    """The nodes of the outermost graph."""
    constants: dict[tuple[Any, ...], str] = dataclasses.field(default_factory=dict)
    initializers: list[TensorProto] = dataclasses.field(default_factory=list)
    shapes: dict[str, str] = dataclasses.field(default_factory=dict)
    names: int = 0
    largest: int = 0
    """The size of the largest array for one jet, in bytes."""


class Graph:
    """Collects nodes; the body of a loop is a separate graph that can use the names of the outer graph."""

    def __init__(self, batch_of: str | None = None, outer: Graph | None = None) -> None:
        """Creates an outermost graph with the batch axis of the input `batch_of`, or a graph inside `outer`."""
        self.nodes: list[NodeProto] = []
        self.sources: dict[str, tuple[str, tuple[Value | None, ...]]] = {} if outer is None else outer.sources
        """The operator and the inputs that produced each name."""
        self.shared: _Shared = _Shared(self.nodes) if outer is None else outer.shared
        if batch_of is not None:
            self.shared.nodes.append(helper.make_node("Shape", [batch_of], [BATCH], start=0, end=1))

    def fresh(self) -> str:
        """Returns a new, unused name."""
        self.shared.names += 1
        return f"v{self.shared.names}"

    def node(self, op: str, inputs: Sequence[Value | None], shape: Shape, dtype: Any, **attributes: Any) -> Value:
        """Adds a node with one output.

        Args:
          op: ONNX name of the operator.
          inputs: inputs of the node; None for an omitted optional input.
          shape: shape of the output.
          dtype: dtype of the output.
          attributes: attributes of the node.

        Returns:
          The output of the node.
        """
        return self.many(op, inputs, [(shape, dtype)], **attributes)[0]

    def many(
        self, op: str, inputs: Sequence[Value | None], outputs: Sequence[tuple[Shape, Any]], **attributes: Any
    ) -> list[Value]:
        """Adds a node with several outputs, described by their shapes and dtypes."""
        values = [Value(self.fresh(), None, tuple(shape), np.dtype(dtype)) for shape, dtype in outputs]
        for value in values:
            self.sources[str(value.name)] = op, tuple(inputs)
            self.shared.largest = max(self.shared.largest, _bytes_per_jet(value))
        names = ["" if value is None else self.name(value) for value in inputs]
        self.nodes.append(helper.make_node(op, names, [str(value.name) for value in values], **attributes))
        return values

    def name(self, value: Value) -> str:
        """Returns the name of a value; constants become initializers, which equal constants share."""
        if value.name is not None:
            return value.name
        array = np.asarray(value.const)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.shared.constants:
            self.shared.constants[key] = name = f"c{len(self.shared.constants)}"
            self.shared.initializers.append(numpy_helper.from_array(array, name))
        return self.shared.constants[key]

    def sizes(self, shape: Shape) -> Value:
        """Returns a shape as an int64 tensor."""
        if all(isinstance(size, int) for size in shape):
            return constant_value(np.array(shape, np.int64))
        key = str(shape)
        if key not in self.shared.shapes:
            outermost, parts = self.shared.nodes, []
            for size in shape:
                if not isinstance(size, int) and str(size) != BATCH:
                    raise InputError(f"ONNX export: an axis of size {size} is not supported; export StableHLO")
                parts.append(self.name(constant_value(np.array([size], np.int64))) if isinstance(size, int) else BATCH)
            self.shared.shapes[key] = name = self.fresh()
            outermost.append(helper.make_node("Concat", parts, [name], axis=0))
        return Value(self.shared.shapes[key], None, (len(shape),), np.dtype(np.int64))

    def reshape(self, value: Value, shape: Shape) -> Value:
        """Reshapes a value; at most one size may be symbolic."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        if value.name is None:
            return constant_value(np.asarray(value.const).reshape(shape))
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        return self.node("Reshape", [value, constant_value(np.array(sizes, np.int64))], shape, value.dtype)

    def expand(self, value: Value, shape: Shape) -> Value:
        """Broadcasts a value to its full shape."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        if value.name is None and all(isinstance(size, int) for size in shape):
            return constant_value(np.broadcast_to(np.asarray(value.const), shape))
        return self.node("Expand", [value, self.sizes(shape)], shape, value.dtype)

    def transpose(self, value: Value, order: Sequence[int]) -> Value:
        """Permutes the axes of a value."""
        order = [int(axis) for axis in order]
        if order == sorted(order):
            return value
        if value.name is None:
            return constant_value(np.asarray(value.const).transpose(order))
        return self.node("Transpose", [value], [value.shape[axis] for axis in order], value.dtype, perm=order)

    def cast(self, value: Value, dtype: Any) -> Value:
        """Converts a value to another dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        if value.name is None:
            return constant_value(np.asarray(value.const).astype(dtype))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [value], value.shape, dtype, to=kind)

    def inputs_of(self, op: str, value: Value) -> tuple[Value, ...] | None:
        """Returns the inputs of a value if this operator produced it; otherwise None."""
        producer, inputs = self.sources.get(str(value.name), ("", ()))
        return inputs if producer == op else None  # type: ignore[return-value]

    def finish(self, value: Value, name: str) -> tuple[list[NodeProto], list[TensorProto]]:
        """Names a value as output and returns the nodes and constants that it needs."""
        self.nodes.append(helper.make_node("Identity", [self.name(value)], [name]))
        if value.name is not None and value.name in self.sources:
            *before, maker, _ = self.live([name])
            if value.name in maker.output and not any(value.name in _node_inputs(node) for node in before):
                maker.output[list(maker.output).index(value.name)] = name
                self.nodes.pop()
        nodes = self.live([name])
        used = {name for node in nodes for name in _node_inputs(node)}
        return nodes, [array for array in self.shared.initializers if array.name in used]

    def live(self, outputs: Sequence[str]) -> list[NodeProto]:
        """Returns the nodes that the outputs need."""
        return _live_nodes(self.nodes, set(outputs))


def constant_value(array: Any) -> Value:
    """Wraps a constant array as a value."""
    return Value(None, array, tuple(array.shape), array.dtype)


def broadcast_shape(shapes: Sequence[Shape]) -> Shape:
    """Returns the shape of an elementwise result.

    >>> broadcast_shape([(3, 1), (), (1, 2)])
    (3, 2)
    """
    rank = max(len(shape) for shape in shapes)
    full = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*full, strict=True))


def _bytes_per_jet(value: Value) -> int:
    return math.prod(size if isinstance(size, int) else 1 for size in value.shape) * int(value.dtype.itemsize)


def _live_nodes(nodes: Sequence[NodeProto], needed: set[str]) -> list[NodeProto]:
    nodes_reversed = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(_node_inputs(node))
            nodes_reversed.append(node)
    return nodes_reversed[::-1]


def _node_inputs(node: NodeProto) -> Iterator[str]:
    """Yields the names that a node uses, including the bodies of loops."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _node_inputs(inner)
        yield from (output.name for output in attribute.g.output)
