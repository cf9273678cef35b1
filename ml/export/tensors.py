"""Formulas over a graph's tensors, written as formulas: each operator adds one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.export.graph_builder import DOUBLE, FLOAT, GraphBuilder


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph under construction.

    Arithmetic is in float64 unless said otherwise, broadcasts as in numpy, and rounds after each operation, as numpy
    does: onnxruntime keeps the order and never contracts two operations into one.
    """

    graph: GraphBuilder
    name: str

    def __add__(self, other: Operand) -> Tensor:
        return self._apply("Add", self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return self._apply("Add", other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return self._apply("Sub", self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return self._apply("Sub", other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return self._apply("Mul", self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return self._apply("Mul", other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return self._apply("Div", self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return self._apply("Div", other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return self._apply("Mod", self, other)

    def __abs__(self) -> Tensor:
        return self._apply("Abs", self)

    def __lt__(self, other: Operand) -> Tensor:
        return self._apply("Less", self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return self._apply("Greater", self, other)

    def sqrt(self) -> Tensor:
        """Square root; NaN below zero."""
        return self._apply("Sqrt", self)

    def is_nan(self) -> Tensor:
        """True where NaN."""
        return self._apply("IsNaN", self)

    def logical_not(self) -> Tensor:
        """The opposite of a tensor of booleans."""
        return self._apply("Not", self)

    def cast(self, element_type: int) -> Tensor:
        """The values in another type, rounded to nearest."""
        return self._apply("Cast", self, to=element_type)

    def rounded(self) -> Tensor:
        """Float64 values rounded to float32 and widened again."""
        return self.cast(FLOAT).cast(DOUBLE)

    def finite(self) -> Tensor:
        """NaN in place of infinities, and 0 in place of -0, because x - x is NaN for those and 0 for the rest."""
        return self + (self - self)

    def at_least(self, bound: float) -> Tensor:
        """The larger of value and bound; NaN stays NaN."""
        return where(self < bound, bound, self)

    def where_missing(self, value: float) -> Tensor:
        """`value` in place of NaN."""
        return where(self.is_nan(), value, self)

    def sum(self, axis: int) -> Tensor:
        """Sum over one axis, which disappears. Over axis 0 it runs from first to last, like a loop."""
        return self._apply("ReduceSum", self, np.array([axis]), keepdims=0)

    def min(self, axis: int) -> Tensor:
        """Minimum over one axis, which disappears; no value may be NaN."""
        return self._apply("ReduceMin", self, np.array([axis]), keepdims=0)

    def max(self, axis: int) -> Tensor:
        """Maximum over one axis, which disappears; no value may be NaN."""
        return self._apply("ReduceMax", self, np.array([axis]), keepdims=0)

    def transpose(self, *axes: int) -> Tensor:
        """The axes in another order."""
        return self._apply("Transpose", self, perm=list(axes))

    def take(self, indices: NDArray[np.int64] | Tensor, axis: int) -> Tensor:
        """Entries of one axis by index; a scalar index removes the axis."""
        return self._apply("Gather", self, indices, axis=axis)

    def slice(self, start: int, stop: int, axis: int) -> Tensor:
        """Entries start to stop (exclusive) of one axis."""
        return self._apply("Slice", self, *(np.array([number]) for number in (start, stop, axis)))

    def as_column(self) -> Tensor:
        """A tensor (N,) as (N, 1)."""
        return self._apply("Unsqueeze", self, np.array([1]))

    def take_along(self, indices: Tensor, axis: int) -> Tensor:
        """Entries of one axis, by an index for each cell of the result."""
        return self._apply("GatherElements", self, indices, axis=axis)

    def first_smallest(self, axis: int) -> Tensor:
        """Index of the minimum along one axis, which disappears; the first on ties; no value may be NaN."""
        return self._apply("ArgMin", self, axis=axis, keepdims=0)

    def smallest(self, count: int, axis: int) -> Tensor:
        """The `count` smallest entries along one axis, in ascending order; no value may be NaN."""
        inputs = [self.name, self.graph.shared_constant(np.array([count]))]
        return Tensor(self.graph, self.graph.shared_node("TopK", inputs, outputs=2, axis=axis, largest=0, sorted=1)[0])

    def _apply(self, operator: str, *operands: Operand, **attributes: Any) -> Tensor:
        return apply(self.graph, operator, *operands, **attributes)


Operand = Tensor | float | NDArray[Any]
"""A plain number stands for a float64 constant; an array keeps its type."""


def apply(graph: GraphBuilder, operator: str, *operands: Operand, **attributes: Any) -> Tensor:
    """The first output of an ONNX operator."""
    inputs = [operand.name if isinstance(operand, Tensor) else _constant(graph, operand) for operand in operands]
    return Tensor(graph, graph.shared_node(operator, inputs, **attributes)[0])


def where(condition: Tensor, chosen: Operand, other: Operand) -> Tensor:
    """`chosen` where the condition holds, else `other`."""
    return apply(condition.graph, "Where", condition, chosen, other)


def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Tensors side by side; one alone stays as it is."""
    return parts[0] if len(parts) == 1 else apply(parts[0].graph, "Concat", *parts, axis=axis)


def _constant(graph: GraphBuilder, value: float | NDArray[Any]) -> str:
    return graph.shared_constant(value if isinstance(value, np.ndarray) else np.float64(value))
