"""What a fitted model is to the export: trees, a weighted sum, or a graph that skl2onnx has written.

Each form gives a graph one score per row; the head that follows (division, link, threshold) is common to all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from ml.arrays import Float32s, Float64s, Int64s
from ml.errors import ParityError
from ml.export.builder import DOUBLE, GraphBuilder
from ml.export.graph.normal import NormalForm
from ml.export.trees.ensemble import Link, TreeEnsemble


@dataclass(frozen=True, eq=False)
class LinearForm:
    """A logistic regression: the score is the sum of weight * (x - center) / scale, plus the intercept.

    The terms are added one after the other, in float64: an order that numpy and ONNX share, unlike that of a product
    of matrices. A missing or infinite value counts as the center.

    Attributes
    ----------
    center, scale, weight
        Per feature, (n_features,), finite; scale positive.
    """

    center: Float64s
    scale: Float64s
    weight: Float64s
    intercept: float
    divisor: ClassVar[int] = 1
    link: ClassVar[Link] = "sigmoid"

    def __post_init__(self) -> None:
        parts = (self.center, self.scale, self.weight, np.array([self.intercept]))
        if not all(np.isfinite(part).all() for part in parts) or not (self.scale > 0).all():
            raise ParityError("the linear model holds a number that is not finite, or a scale that is not positive")
        if len({len(self.center), len(self.scale), len(self.weight)}) != 1 or not len(self.weight):
            raise ParityError("the linear model does not hold one center, scale and weight per feature")

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return len(self.weight)

    def predict(self, rows: Float32s) -> Float64s:
        """Probability of class 1, (n_rows,), of float32 rows (n_rows, n_features)."""
        return logistic(self.scores(rows))

    def scores(self, rows: Float32s) -> Float64s:
        """The score before the link, (n_rows,)."""
        return np.cumsum(self.terms(rows), axis=1)[:, -1] + self.intercept

    def terms(self, rows: Float32s) -> Float64s:
        """What each feature adds to the score, (n_rows, n_features)."""
        values = rows.astype(np.float64)
        known = np.isfinite(values)
        return np.where(known, (np.where(known, values, 0.0) - self.center) / self.scale, 0.0) * self.weight

    def add_score(self, graph: GraphBuilder, features: str) -> str:
        """The score of float32 `features` (N, n_features): float64 (N, 1)."""
        constant, node = graph.shared_constant, graph.shared_node
        (values,) = node("Cast", [features], to=DOUBLE)
        (unknown,) = node("IsNaN", [node("Sub", [values, values])[0]])  # of infinities as well
        (distance,) = node("Div", [node("Sub", [values, constant(self.center)])[0], constant(self.scale)])
        (settled,) = node("Where", [unknown, constant(np.float64(0)), distance])
        (terms,) = node("Mul", [settled, constant(self.weight)])
        (sums,) = node("CumSum", [terms, constant(np.int64(1))])
        (total,) = node("Gather", [sums, constant(np.array([self.n_features - 1]))], axis=1)
        return node("Add", [total, constant(np.float64(self.intercept))])[0]

    def used_features(self) -> Int64s:
        """All of them."""
        return np.arange(self.n_features)

    def with_columns(self, place: Int64s, width: int) -> MovedForm:
        """The same for rows of `width` columns that have feature i at ``place[i]``."""
        return MovedForm(self, place, width)


@dataclass(frozen=True, eq=False)
class ConvertedForm:
    """A scikit-learn classifier as skl2onnx writes it, in float64; see `ml.export.graph.converted`.

    Attributes
    ----------
    model
        Its input is float64 (N, n_features); `output` names its probabilities, float64 (N, 2).
    fill
        What stands in the place of missing and infinite values, per feature.
    """

    model: onnx.ModelProto
    output: str
    fill: Float64s
    divisor: ClassVar[int] = 1
    link: ClassVar[Link] = "identity"

    @property
    def n_features(self) -> int:
        """Width of a row."""
        return len(self.fill)

    def filled(self, rows: Float32s) -> Float64s:
        """What the classifier is given for float32 rows (n_rows, n_features)."""
        values = rows.astype(np.float64)
        return np.where(np.isfinite(values), values, self.fill)

    def add_score(self, graph: GraphBuilder, features: str) -> str:
        """The probability of class 1 of float32 `features` (N, n_features): float64 (N, 1)."""
        constant, node = graph.shared_constant, graph.shared_node
        (values,) = node("Cast", [features], to=DOUBLE)
        (unknown,) = node("IsNaN", [node("Sub", [values, values])[0]])
        (filled,) = node("Where", [unknown, constant(self.fill), values])
        probabilities = graph.splice(self.model.graph, filled, self.output)
        return node("Gather", [probabilities, constant(np.array([1]))], axis=1)[0]

    def used_features(self) -> Int64s:
        """All of them."""
        return np.arange(self.n_features)

    def with_columns(self, place: Int64s, width: int) -> MovedForm:
        """The same for rows of `width` columns that have feature i at ``place[i]``."""
        return MovedForm(self, place, width)


@dataclass(frozen=True, eq=False)
class MovedForm:
    """A form for rows of `n_features` columns that have its feature i at ``place[i]``.

    The columns are put in order first: where the score is a sum, another order would have other bits.
    """

    form: LinearForm | ConvertedForm
    place: Int64s
    n_features: int

    @property
    def divisor(self) -> int:
        """As of the form."""
        return self.form.divisor

    @property
    def link(self) -> Link:
        """As of the form."""
        return self.form.link

    def add_score(self, graph: GraphBuilder, features: str) -> str:
        """As of the form."""
        (ordered,) = graph.shared_node("Gather", [features, graph.shared_constant(self.place)], axis=1)
        return self.form.add_score(graph, ordered)


ModelForm = TreeEnsemble | LinearForm | ConvertedForm | NormalForm
PlacedForm = ModelForm | MovedForm


def logistic(scores: Float64s) -> Float64s:
    """1 / (1 + exp(-score)) of each score, as the graph's head computes it; 0 where exp overflows.

    The C library's exp, one number at a time: numpy's own differs from it in last bits.
    """
    return np.array([_logistic(score) for score in scores.tolist()], dtype=np.float64)


def _logistic(score: float) -> float:
    try:
        return 1.0 / (1.0 + math.exp(-score))
    except OverflowError:
        return 0.0
