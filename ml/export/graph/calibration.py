"""How raw scores become probabilities: by the model's own link, or by a map fitted on the validation part.

A map is computed here and in a graph by the same operations in float64, one number at a time, so that both give the
same bits: the sigmoid as the head of every graph computes it, steps by comparisons and a look-up, which round nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator
from pydantic_core import PydanticCustomError

from ml.arrays import Float32s, Float64s
from ml.export.builder import INT64, GraphBuilder
from ml.export.graph.forms import logistic
from ml.options.base import Section


class ScoredModel(Protocol):
    """A fitted model that gives scores and, by its own link, probabilities; its features are scaled."""

    def predict(self, X: Float32s) -> Float64s:
        """Probability of a failure, (n_rows,)."""

    def scores(self, X: Float32s) -> Float64s:
        """Raw score, (n_rows,)."""


class Calibration(Section):
    """A map from raw scores to probabilities that never falls; none: the model's own probabilities stand."""

    method: Literal["none", "sigmoid", "isotonic"] = Field(
        default="none",
        description="sigmoid: 1 / (1 + exp(-(slope * score + intercept))). isotonic: values[i], where i counts the "
        "bounds that the score reaches.",
    )
    slope: Annotated[float, Field(gt=0)] | None = Field(default=None, description="Of the sigmoid.")
    intercept: FiniteFloat | None = Field(default=None, description="Of the sigmoid.")
    bounds: tuple[FiniteFloat, ...] = Field(default=(), description="Of isotonic steps: scores, increasing.")
    values: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        default=(), description="Of isotonic steps: probabilities, increasing, one more than bounds."
    )

    @model_validator(mode="after")
    def constants_of_the_method(self) -> Self:
        """Each method has its own constants, and none of the other's; steps rise."""
        sigmoid = self.slope is not None and self.intercept is not None
        if sigmoid != (self.method == "sigmoid") or (self.slope is None) != (self.intercept is None):
            raise PydanticCustomError("calibration", "slope and intercept belong to the method sigmoid, both")
        if len(self.values) != (len(self.bounds) + 1 if self.method == "isotonic" else 0):
            raise PydanticCustomError("calibration", "isotonic needs one value more than bounds, others none")
        if any(list(part) != sorted(set(part)) for part in (self.bounds, self.values)):
            raise PydanticCustomError("calibration", "bounds and values must increase")
        return self

    def predict(self, model: ScoredModel, X: Float32s) -> Float64s:
        """Probability of a failure, float64 (n_rows,), of scaled float32 features (n_rows, n_features)."""
        return model.predict(X) if self.method == "none" else self.of_scores(model.scores(X))

    def of_scores(self, scores: Float64s) -> Float64s:
        """The probabilities of float64 scores, (n_rows,), by a method other than none."""
        if self.method == "sigmoid":
            return logistic(np.float64(self.slope) * scores + np.float64(self.intercept))
        steps = np.searchsorted(np.array(self.bounds, dtype=np.float64), scores, side="right")
        return np.array(self.values, dtype=np.float64)[steps]

    def add(self, graph: GraphBuilder, score: str) -> str:
        """Add the map of float64 `score` (N, 1), by a method other than none: float64 (N, 1)."""
        if self.method == "sigmoid":
            sloped = graph.node("Mul", [score, graph.constant("slope", np.float64(self.slope))], "sloped")
            moved = graph.node("Add", [sloped, graph.constant("intercept", np.float64(self.intercept))], "moved")
            return add_logistic(graph, moved)
        bounds = graph.constant("bounds", np.array([self.bounds], dtype=np.float64))
        reached = graph.node("GreaterOrEqual", [score, bounds], "reached")
        counted = graph.node("Cast", [reached], "reached_as_numbers", to=INT64)
        axis = graph.constant("step_axis", np.array([1]))
        step = graph.node("ReduceSum", [counted, axis], "step", keepdims=1)
        return graph.node("Gather", [graph.constant("values", np.array(self.values)), step], "calibrated", axis=0)


AS_IT_IS = Calibration()


def add_logistic(graph: GraphBuilder, score: str) -> str:
    """Add 1 / (1 + exp(-score)) of a float64 `score` (N, 1), spelled out as LightGBM computes it.

    The operator ``Sigmoid`` of onnxruntime takes 1 - 1 / (1 + exp(x)) for negative x, which loses every digit of a
    small probability.
    """
    one = graph.constant("one_of_link", np.float64(1.0))
    exponential = graph.node("Exp", [graph.node("Neg", [score], "negated")], "exponential")
    return graph.node("Div", [one, graph.node("Add", [one, exponential], "denominator")], "positive")
