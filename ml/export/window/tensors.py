"""Formulas over a graph's tensors, written as formulas: each operator adds one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ml.arrays import Float64s, Int64s
from ml.export.builder import BOOL, DOUBLE, FLOAT, ML_DOMAIN, GraphBuilder


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph under construction.

    Arithmetic is in float64 unless said otherwise, broadcasts as in numpy, and rounds after each operation, as numpy
    does: onnxruntime keeps the order and never contracts two operations into one.
    """

    graph: GraphBuilder
    name: str
    __array_ufunc__: ClassVar[None] = None  # an array beside an operator leaves the arithmetic to the tensor

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

    def below(self, bound: Operand) -> Tensor:
        """True where less than the bound; false for NaN."""
        return self._apply("Less", self, bound)

    def above(self, bound: Operand) -> Tensor:
        """True where greater than the bound; false for NaN."""
        return self._apply("Greater", self, bound)

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

    def filled(self, value: float) -> Tensor:
        """Float32 values with `value` in place of NaN."""
        options = {"imputed_value_floats": [value], "replaced_value_float": np.nan}
        return self._apply("Imputer", self, domain=ML_DOMAIN, **options)

    def or_zero(self) -> Tensor:
        """Float64 values rounded to float32 and widened again; 0 in place of NaN and of what is infinite by then."""
        rounded = self.rounded()
        return where(abs(rounded).below(np.inf), rounded, 0.0)

    def at_least(self, bound: float) -> Tensor:
        """The larger of value and bound; NaN stays NaN."""
        return where(self.below(bound), bound, self)

    def sum(self, axis: int, *, keep: bool = False) -> Tensor:
        """Sum over one axis, which disappears unless kept. Over axis 0 it runs from first to last, like a loop."""
        return self._reduce("ReduceSum", axis, keep)

    def min(self, axis: int, *, keep: bool = False) -> Tensor:
        """Minimum over one axis, which disappears unless kept; no value may be NaN."""
        return self._reduce("ReduceMin", axis, keep)

    def max(self, axis: int, *, keep: bool = False) -> Tensor:
        """Maximum over one axis, which disappears unless kept; no value may be NaN."""
        return self._reduce("ReduceMax", axis, keep)

    def sum_of_all(self) -> Tensor:
        """Sum of all entries in any order, a scalar."""
        return self._apply("ReduceSum", self, keepdims=0)

    def newest_first_sum(self) -> Tensor:
        """Running sum over axis 0, from its end."""
        return self._apply("CumSum", self, np.array(0), reverse=1)

    def is_odd(self) -> Tensor:
        """True where an integer is odd."""
        return self._apply("BitwiseAnd", self, np.array(1, dtype=np.int32)).cast(BOOL)

    def repeated(self, *shape: int) -> Tensor:
        """The values repeated to a shape, as in broadcasting; then to meet another tensor is several times as fast."""
        return self._apply("Expand", self, np.array(shape))

    def matmul_of(self, left: Float64s) -> Tensor:
        """Matrix product ``left @ self``; its sums run in any order, so they must be exact."""
        return self._apply("MatMul", left, self)

    def rounded_to_even(self) -> Tensor:
        """The nearest whole number; of two as near, the even one."""
        return self._apply("Round", self)

    def reshape(self, *shape: int) -> Tensor:
        """The same values in another shape; -1 stands for the one dimension that follows from the others."""
        return self._apply("Reshape", self, np.array(shape))

    def transpose(self, *axes: int) -> Tensor:
        """The axes in another order."""
        return self._apply("Transpose", self, perm=list(axes))

    def take(self, indices: Int64s | Tensor, axis: int) -> Tensor:
        """Entries of one axis by index; a scalar index removes the axis."""
        return self._apply("Gather", self, indices, axis=axis)

    def slice(self, start: int, stop: int, axis: int) -> Tensor:
        """Entries start to stop (exclusive) of one axis."""
        return self._apply("Slice", self, *(np.array([number]) for number in (start, stop, axis)))

    def take_each(self, index: Tensor) -> Tensor:
        """One entry of axis 1 for each entry of axis 0, by an index of shape (N,); axis 1 disappears."""
        return self._apply("GatherND", self, index.as_column(), batch_dims=1)

    def as_column(self) -> Tensor:
        """A tensor (N,) as (N, 1)."""
        return self._apply("Unsqueeze", self, np.array([1]))

    def first_smallest(self, axis: int) -> Tensor:
        """Index of the minimum along one axis, which disappears; the first on ties; no value may be NaN."""
        return self._apply("ArgMin", self, axis=axis, keepdims=0)

    def split(self, lengths: Sequence[int]) -> list[Tensor]:
        """Consecutive parts of axis 0."""
        if len(lengths) == 1:
            return [self]
        inputs = [self.name, self.graph.shared_constant(np.array(lengths))]
        names = self.graph.shared_node("Split", inputs, outputs=len(lengths), axis=0)
        return [Tensor(self.graph, name) for name in names]

    def top(self, count: int, axis: int, *, largest: bool, ordered: bool) -> Tensor:
        """The `count` largest or smallest entries along one axis; no value may be NaN.

        Ordered, the outermost comes first; else they come in any order, which is faster.
        """
        inputs = [self.name, self.graph.shared_constant(np.array([count]))]
        values, _ = self.graph.shared_node(
            "TopK", inputs, outputs=2, axis=axis, largest=int(largest), sorted=int(ordered)
        )
        return Tensor(self.graph, values)

    def _reduce(self, operator: str, axis: int, keep: bool) -> Tensor:
        return self._apply(operator, self, np.array([axis]), keepdims=int(keep))

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
