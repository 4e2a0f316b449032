"""An ONNX graph while it is built: nodes, constants, and shapes of which one axis is the batch's."""

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
    """Sizes; those that depend on the batch are symbolic."""


BATCH = "batch"
"""The symbolic size of the first axis, and the tensor that holds it."""


class Value(NamedTuple):
    """An array of the graph.

    An axis may have size 1 where JAX has more: ONNX broadcasts, and what only repeats itself is never written out.
    """

    name: str | None
    """None for a constant."""
    const: Any
    """The constant, NumPy or JAX; None where the name says it."""
    shape: tuple[Any, ...]
    dtype: Any


@dataclasses.dataclass
class _Shared:
    """What a graph and the bodies of its loops have in common."""

    nodes: list[NodeProto]
    """Of the outermost graph."""
    constants: dict[tuple[Any, ...], str] = dataclasses.field(default_factory=dict)
    initializers: list[TensorProto] = dataclasses.field(default_factory=list)
    shapes: dict[str, str] = dataclasses.field(default_factory=dict)
    names: int = 0
    largest: int = 0
    """Bytes of the largest array, for one jet."""


class Graph:
    """Collects nodes; the body of a loop is a graph of its own that sees the names of the outer one."""

    def __init__(self, batch_of: str | None = None, outer: Graph | None = None) -> None:
        """Args: batch_of, the input whose first axis is the batch's; or the outer graph."""
        self.nodes: list[NodeProto] = []
        self.sources: dict[str, tuple[str, tuple[Value | None, ...]]] = {} if outer is None else outer.sources
        """Name → the operator that made it, and of what."""
        self.shared: _Shared = _Shared(self.nodes) if outer is None else outer.shared
        if batch_of is not None:
            self.shared.nodes.append(helper.make_node("Shape", [batch_of], [BATCH], start=0, end=1))

    def fresh(self) -> str:
        """A name that nothing has."""
        self.shared.names += 1
        return f"v{self.shared.names}"

    def node(self, op: str, inputs: Sequence[Value | None], shape: Shape, dtype: Any, **attributes: Any) -> Value:
        """Adds a node of one output.

        Args:
          op: its ONNX name.
          inputs: its inputs; None is one left out.
          shape: of the output.
          dtype: of the output.
          attributes: of the node.

        Returns:
          The output.
        """
        return self.many(op, inputs, [(shape, dtype)], **attributes)[0]

    def many(
        self, op: str, inputs: Sequence[Value | None], outputs: Sequence[tuple[Shape, Any]], **attributes: Any
    ) -> list[Value]:
        """Adds a node of several outputs, each given as shape and dtype."""
        found = [Value(self.fresh(), None, tuple(shape), np.dtype(dtype)) for shape, dtype in outputs]
        for value in found:
            self.sources[str(value.name)] = op, tuple(inputs)
            self.shared.largest = max(self.shared.largest, _bytes_for_one(value))
        names = ["" if value is None else self.name(value) for value in inputs]
        self.nodes.append(helper.make_node(op, names, [str(value.name) for value in found], **attributes))
        return found

    def name(self, value: Value) -> str:
        """The name of a value; a constant becomes an initializer, equal ones the same."""
        if value.name is not None:
            return value.name
        array = np.asarray(value.const)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.shared.constants:
            self.shared.constants[key] = name = f"c{len(self.shared.constants)}"
            self.shared.initializers.append(numpy_helper.from_array(array, name))
        return self.shared.constants[key]

    def sizes(self, shape: Shape) -> Value:
        """A shape as an int64 tensor."""
        if all(isinstance(size, int) for size in shape):
            return constant(np.array(shape, np.int64))
        key = str(shape)
        if key not in self.shared.shapes:
            outermost, parts = self.shared.nodes, []
            for size in shape:
                if not isinstance(size, int) and str(size) != BATCH:
                    raise InputError(f"ONNX export: an axis of size {size} is not supported; export StableHLO")
                parts.append(self.name(constant(np.array([size], np.int64))) if isinstance(size, int) else BATCH)
            self.shared.shapes[key] = name = self.fresh()
            outermost.append(helper.make_node("Concat", parts, [name], axis=0))
        return Value(self.shared.shapes[key], None, (len(shape),), np.dtype(np.int64))

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """The value in another shape; one size at most may be symbolic."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        if value.name is None:
            return constant(np.asarray(value.const).reshape(shape))
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        return self.node("Reshape", [value, constant(np.array(sizes, np.int64))], shape, value.dtype)

    def expanded(self, value: Value, shape: Shape) -> Value:
        """The value with every axis written out."""
        shape = tuple(shape)
        if shape == value.shape:
            return value
        if value.name is None and all(isinstance(size, int) for size in shape):
            return constant(np.broadcast_to(np.asarray(value.const), shape))
        return self.node("Expand", [value, self.sizes(shape)], shape, value.dtype)

    def transposed(self, value: Value, order: Sequence[int]) -> Value:
        """The value with its axes in another order."""
        order = [int(axis) for axis in order]
        if order == sorted(order):
            return value
        if value.name is None:
            return constant(np.asarray(value.const).transpose(order))
        return self.node("Transpose", [value], [value.shape[axis] for axis in order], value.dtype, perm=order)

    def cast(self, value: Value, dtype: Any) -> Value:
        """The value as another dtype."""
        if value.dtype == np.dtype(dtype):
            return value
        if value.name is None:
            return constant(np.asarray(value.const).astype(dtype))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [value], value.shape, dtype, to=kind)

    def made_by(self, op: str, value: Value) -> tuple[Value, ...] | None:
        """What a value was made of where this operator made it; None where another did."""
        found, inputs = self.sources.get(str(value.name), ("", ()))
        return inputs if found == op else None  # type: ignore[return-value]

    def finish(self, value: Value, name: str) -> tuple[list[NodeProto], list[TensorProto]]:
        """The nodes and the constants that a value needs, under a name of its own."""
        self.nodes.append(helper.make_node("Identity", [self.name(value)], [name]))
        if value.name is not None and value.name in self.sources:
            *before, maker, _ = self.live([name])
            if value.name in maker.output and not any(value.name in _reads(node) for node in before):
                maker.output[list(maker.output).index(value.name)] = name
                self.nodes.pop()
        nodes = self.live([name])
        read = {each for node in nodes for each in _reads(node)}
        return nodes, [array for array in self.shared.initializers if array.name in read]

    def live(self, outputs: Sequence[str]) -> list[NodeProto]:
        """The nodes that the outputs need."""
        return _live(self.nodes, set(outputs))


def constant(array: Any) -> Value:
    """A constant as a value."""
    return Value(None, array, tuple(array.shape), array.dtype)


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of an elementwise answer.

    >>> broadcast([(3, 1), (), (1, 2)])
    (3, 2)
    """
    rank = max(len(shape) for shape in shapes)
    full = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*full, strict=True))


def _bytes_for_one(value: Value) -> int:
    return math.prod(size if isinstance(size, int) else 1 for size in value.shape) * int(value.dtype.itemsize)


def _live(nodes: Sequence[NodeProto], wanted: set[str]) -> list[NodeProto]:
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(_reads(node))
            kept.append(node)
    return kept[::-1]


def _reads(node: NodeProto) -> Iterator[str]:
    """What a node reads, the body of a loop included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)
        yield from (output.name for output in attribute.g.output)
