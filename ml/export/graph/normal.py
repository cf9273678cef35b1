"""A model of normal behaviour as a form: expected readings, deviations over a time, and one score against limits.

Every operation is one that numpy and ONNX round alike: sums go one after the other, there is no exponential, no root
and no product of matrices, and a clipped value is chosen by comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar, Self

import numpy as np

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.errors import ParityError
from ml.export.builder import DOUBLE, GraphBuilder
from ml.export.trees.ensemble import Link

MOST_AT_ONCE = 10.0
"""Deviations, in trimmed standard deviations, that one sample counts at most: one wild reading carries no window."""
MOST_IN_MEAN = 4.0
"""Deviations that one sensor counts at most in the mean over sensors."""
_BATCH_CELLS = 2_000_000


@dataclass(frozen=True, eq=False)
class Expectation:
    """What some sensors should show: a polynomial of standardised operating columns, or a constant without any.

    Attributes
    ----------
    sensors, operating
        Positions among the channels, (n_sensors,) and (n_operating,).
    low, high, mean, std
        Of each operating column: what it is clipped to, and standardised by.
    weights
        (n_terms, n_sensors), terms as in `terms`.
    intercept
        (n_sensors,).
    """

    sensors: Int64s
    operating: Int64s
    low: Float64s
    high: Float64s
    mean: Float64s
    std: Float64s
    weights: Float64s
    intercept: Float64s

    def only(self, kept: Bools) -> Expectation:
        """For some of the sensors, (n_sensors,)."""
        return replace(self, sensors=self.sensors[kept], weights=self.weights[:, kept], intercept=self.intercept[kept])

    def expected(self, operating: Float64s) -> Float64s:
        """Expected readings (..., n_sensors) at operating values (..., n_operating); at the mean where one is NaN."""
        total = np.broadcast_to(self.intercept, (*operating.shape[:-1], len(self.sensors)))
        for weights, term in zip(self.weights, self.terms(operating), strict=True):
            total = total + weights * term[..., None]
        return total

    def terms(self, operating: Float64s) -> list[Float64s]:
        """Powers 1 to 3 of each clipped, standardised operating column, then products of two."""
        known = np.where(np.isnan(operating), self.mean, operating)
        above = np.where(known < self.low, self.low, known)
        z = (np.where(above > self.high, self.high, above) - self.mean) / self.std
        single = [z[..., at] for at in range(z.shape[-1])]
        squares = [each * each for each in single]
        cubes = [square * each for square, each in zip(squares, single, strict=True)]
        return [*single, *squares, *cubes, *(left * right for left, right in combinations(single, 2))]


@dataclass(frozen=True)
class RunsWhen:
    """At which values of a channel the machine runs; others are no example of normal operation."""

    channel: int
    bound: float
    equals: bool


def residuals_of(groups: Sequence[Expectation], values: Float64s, runs_when: RunsWhen | None) -> Float64s:
    """Readings less what is expected, (..., n_sensors), of channels (..., n_channels); NaN where missing or off."""
    parts = []
    for group in groups:
        operating = values[..., group.operating]
        rest = values[..., group.sensors] - group.expected(operating)
        absent = np.logical_or.reduce(np.isnan(operating), axis=-1, keepdims=True)
        parts.append(np.where(absent, np.nan, rest))
    residual = np.concatenate(parts, axis=-1)
    if runs_when is None:
        return residual
    told = values[..., runs_when.channel]
    runs = np.equal(told, runs_when.bound) if runs_when.equals else np.greater(told, runs_when.bound)
    known = np.expand_dims(np.isnan(told), -1)
    return np.where(np.expand_dims(runs, -1) | known, residual, np.nan)


@dataclass(frozen=True, eq=False)
class NormalForm:
    """The score of a row; its alarm is at 1, which is a value of 0.5.

    Attributes
    ----------
    places
        (n_samples, n_channels): which feature holds a channel so many samples ago; `recent` samples, then those of the
        asset's baseline.
    center, spread, mean_center, mean_spread
        Per sensor: of residuals, and of their means over the recent samples.
    mean_limit, single_limit
        What the mean square over sensors, and the largest square, are divided by.
    """

    n_features: int
    places: Int64s
    recent: int
    groups: tuple[Expectation, ...]
    center: Float64s
    spread: Float64s
    mean_center: Float64s
    mean_spread: Float64s
    mean_limit: float
    single_limit: float
    runs_when: RunsWhen | None = None
    divisor: ClassVar[int] = 1
    link: ClassVar[Link] = "identity"

    def __post_init__(self) -> None:
        numbers = [self.center, self.mean_center, *(each.weights for each in self.groups)]
        positive = [self.spread, self.mean_spread, np.array([self.mean_limit, self.single_limit])]
        positive += [each.std for each in self.groups]
        if not all(np.isfinite(each).all() for each in (*numbers, *positive)) or any((p <= 0).any() for p in positive):
            raise ParityError("the model of normal behaviour holds a number that is not finite or not positive")

    @property
    def fewest(self) -> float:
        """Recent samples that a mean is taken over at least, missing ones counted as normal."""
        return float(-(-self.recent // 4))

    @property
    def fewest_of_baseline(self) -> float:
        """Samples, taken as normal, that the asset's baseline is shrunk by."""
        return float(-(-(len(self.places) - self.recent) // 4))

    def clipped(self, residual: Float64s) -> Float64s:
        """Residuals (..., n_sensors) as standard deviations, clipped."""
        z = (residual - self.center) / self.spread
        return np.where(z > MOST_AT_ONCE, MOST_AT_ONCE, np.where(z < -MOST_AT_ONCE, -MOST_AT_ONCE, z))

    def means(self, residual: Callable[[int], Float64s]) -> tuple[Float64s, Float64s]:
        """Mean residual and number of recent samples, (n_rows, n_sensors); `residual` gives those of one sample."""

        def summed(samples: range) -> tuple[Float64s, Float64s]:
            total = count = np.zeros(1)
            for at in samples:
                z = residual(at)
                missing = np.isnan(z)
                total, count = total + np.where(missing, 0.0, z), count + np.where(missing, 0.0, 1.0)
            return total, count

        total, count = summed(range(self.recent))
        mean = total / np.where(count < self.fewest, self.fewest, count)
        if len(self.places) > self.recent:
            total, past = summed(range(self.recent, len(self.places)))
            mean = mean - total / (past + self.fewest_of_baseline)
        return mean, count

    def combine(self, mean: Float64s, count: Float64s) -> tuple[Float64s, Float64s, Float64s]:
        """Mean square over sensors and largest square, (n_rows,), of mean residuals; and the squares of each sensor."""
        size = np.abs(np.where(count > 0, (mean - self.mean_center) / self.mean_spread, 0.0))
        kept = np.where(size > MOST_IN_MEAN, MOST_IN_MEAN, size)
        total = np.cumsum(kept * kept, axis=1)[:, -1]
        sensors = np.cumsum(np.where(count > 0, 1.0, 0.0), axis=1)[:, -1]
        largest = size.max(axis=1)
        return total / np.where(sensors < 1.0, 1.0, sensors), largest * largest, size * size

    def scores(self, rows: Float32s) -> Float64s:
        """The score of float32 rows (n_rows, n_features), (n_rows,); 1 and above is an alarm."""
        parts = [np.empty(0), *(self._score(*self.combine(*self._means(part))[:2]) for part in self._batches(rows))]
        return np.concatenate(parts)

    def predict(self, rows: Float32s) -> Float64s:
        """score / (score + 1) of each row, (n_rows,)."""
        score = self.scores(rows)
        return score / (score + 1.0)

    def shares(self, rows: Float32s) -> Float64s:
        """What each sensor has of the score: in proportion to its squared deviation, (n_rows, n_sensors)."""
        parts = [np.empty((0, len(self.center)))]
        for part in self._batches(rows):
            mean, largest, squares = self.combine(*self._means(part))
            total = np.cumsum(squares, axis=1)[:, -1]
            whole = self._score(mean, largest) / np.where(total > 0, total, 1.0)
            parts.append(squares * whole[:, None])
        return np.concatenate(parts)

    def used_features(self) -> Int64s:
        """Those that hold a sample of a channel."""
        return np.unique(self.places)

    def with_columns(self, place: Int64s, width: int) -> Self:
        """The same for rows of `width` columns that have feature i at ``place[i]``."""
        return replace(self, places=place[self.places], n_features=width)

    def add_score(self, graph: GraphBuilder, features: str) -> str:
        """score / (score + 1) of float32 `features` (N, n_features): float64 (N, 1)."""
        return _Nodes(graph).bounded(self, features)

    def add_shares(self, graph: GraphBuilder, features: str) -> str:
        """As `shares`, of float32 `features` (N, n_features): float64 (N, n_sensors)."""
        return _Nodes(graph).shares(self, features)

    def sensors(self, channels: Sequence[str]) -> tuple[str, ...]:
        """Names of the sensors, in order, by those of the channels."""
        return tuple(channels[at] for group in self.groups for at in group.sensors)

    def _score(self, mean: Float64s, largest: Float64s) -> Float64s:
        of_mean, of_largest = mean / self.mean_limit, largest / self.single_limit
        return np.where(of_mean < of_largest, of_largest, of_mean)

    def _means(self, rows: Float32s) -> tuple[Float64s, Float64s]:
        with np.errstate(over="ignore", invalid="ignore"):
            return self.means(lambda at: self.clipped(self._residuals(rows[:, self.places[at]].astype(np.float64))))

    def _residuals(self, values: Float64s) -> Float64s:
        return residuals_of(self.groups, values, self.runs_when)

    def _batches(self, rows: Float32s) -> list[Float32s]:
        size = max(1, _BATCH_CELLS // max(1, rows.shape[1]))
        return [rows[start : start + size] for start in range(0, len(rows), size)]


class _Nodes:
    """The arithmetic of `NormalForm` as nodes, on float64 tensors (N, n_samples, n)."""

    def __init__(self, graph: GraphBuilder) -> None:
        self._graph = graph

    def bounded(self, form: NormalForm, features: str) -> str:
        score, _ = self._score(form, features)
        return self._do("Div", score, self._do("Add", score, 1.0))

    def shares(self, form: NormalForm, features: str) -> str:
        score, size = self._score(form, features)
        squares = self._do("Mul", size, size)
        total = self._last(squares, len(form.center))
        whole = self._do("Div", score, self._do("Where", self._do("Greater", total, 0.0), total, 1.0))
        return self._do("Mul", squares, whole)

    def _score(self, form: NormalForm, features: str) -> tuple[str, str]:
        """The score (N, 1), and the size of each sensor's deviation (N, n_sensors)."""
        (held,) = self._graph.shared_node("Gather", [features, self._constant(form.places)], axis=1)
        (values,) = self._graph.shared_node("Cast", [held], to=DOUBLE)
        known, z = self._residuals(form, values)
        total, count = self._summed(known, z, 0, form.recent)
        mean = self._do("Div", total, self._at_least(count, form.fewest))
        if len(form.places) > form.recent:
            before, past = self._summed(known, z, form.recent, len(form.places))
            mean = self._do("Sub", mean, self._do("Div", before, self._do("Add", past, form.fewest_of_baseline)))
        present = self._do("Greater", count, 0.0)
        distance = self._do("Div", self._do("Sub", mean, form.mean_center), form.mean_spread)
        size = self._do("Abs", self._do("Where", present, distance, 0.0))
        kept = self._do("Where", self._do("Greater", size, MOST_IN_MEAN), MOST_IN_MEAN, size)
        sensors = self._last(self._do("Where", present, 1.0, 0.0), len(form.center))
        squares = self._last(self._do("Mul", kept, kept), len(form.center))
        of_mean = self._do("Div", self._do("Div", squares, self._at_least(sensors, 1.0)), form.mean_limit)
        (largest,) = self._graph.shared_node("ReduceMax", [size, self._constant(np.array([1]))], keepdims=1)
        of_largest = self._do("Div", self._do("Mul", largest, largest), form.single_limit)
        return self._do("Where", self._do("Less", of_mean, of_largest), of_largest, of_mean), size

    def _residuals(self, form: NormalForm, values: str) -> tuple[str, str]:
        """Whether there is a residual, and the clipped residual, 0 where there is none."""
        known, rest = [], []
        for group in form.groups:
            readings = self._channels(values, group.sensors)
            expected, there = self._expected(group, values)
            rest.append(self._do("Sub", readings, expected))
            known.append(self._do("Not", self._do("IsNaN", readings)))
            if there:
                known[-1] = self._do("And", known[-1], there)
        there, whole = (self._joined(each) for each in (known, rest))
        if form.runs_when is not None:
            rule = form.runs_when
            told = self._channels(values, np.array([rule.channel]))
            runs = self._do("Equal" if rule.equals else "Greater", told, rule.bound)
            there = self._do("And", there, self._do("Or", runs, self._do("IsNaN", told)))
        z = self._do("Div", self._do("Sub", whole, form.center), form.spread)
        return there, self._clipped(self._do("Where", there, z, 0.0), -MOST_AT_ONCE, MOST_AT_ONCE)

    def _expected(self, group: Expectation, values: str) -> tuple[str | Float64s, str | None]:
        """What sensors should show, and whether all operating columns are known; None where there are none."""
        if not len(group.operating):
            return group.intercept, None
        raw = [self._channels(values, group.operating[at : at + 1]) for at in range(len(group.operating))]
        missing = [self._do("IsNaN", each) for each in raw]
        single = []
        for at, (value, absent) in enumerate(zip(raw, missing, strict=True)):
            clipped = self._clipped(self._do("Where", absent, group.mean[at], value), group.low[at], group.high[at])
            single.append(self._do("Div", self._do("Sub", clipped, group.mean[at]), group.std[at]))
        squares = [self._do("Mul", each, each) for each in single]
        cubes = [self._do("Mul", square, each) for square, each in zip(squares, single, strict=True)]
        products = [self._do("Mul", left, right) for left, right in combinations(single, 2)]
        total: str | Float64s = group.intercept
        for weights, term in zip(group.weights, [*single, *squares, *cubes, *products], strict=True):
            total = self._do("Add", total, self._do("Mul", weights, term))
        absent = missing[0]
        for each in missing[1:]:
            absent = self._do("Or", absent, each)
        return total, self._do("Not", absent)

    def _summed(self, known: str, z: str, first: int, end: int) -> tuple[str, str]:
        """Sum and number of the residuals of some samples, (N, n_sensors)."""
        samples = self._constant(np.arange(first, end))
        counted = self._do("Where", known, 1.0, 0.0)
        total, count = (
            self._last(self._graph.shared_node("Gather", [each, samples], axis=1)[0], end - first, drop=True)
            for each in (z, counted)
        )
        return total, count

    def _last(self, tensor: str, size: int, *, drop: bool = False) -> str:
        """The sum along axis 1, one after the other."""
        (sums,) = self._graph.shared_node("CumSum", [tensor, self._constant(np.int64(1))])
        place = np.int64(size - 1) if drop else np.array([size - 1])
        return self._graph.shared_node("Gather", [sums, self._constant(place)], axis=1)[0]

    def _clipped(self, value: str, low: float, high: float) -> str:
        above = self._do("Where", self._do("Less", value, low), low, value)
        return self._do("Where", self._do("Greater", above, high), high, above)

    def _at_least(self, value: str, least: float) -> str:
        return self._do("Where", self._do("Less", value, least), least, value)

    def _channels(self, values: str, which: Int64s) -> str:
        return self._graph.shared_node("Gather", [values, self._constant(which)], axis=2)[0]

    def _joined(self, parts: list[str]) -> str:
        return parts[0] if len(parts) == 1 else self._graph.shared_node("Concat", parts, axis=2)[0]

    def _constant(self, value: Int64s | Float64s | np.generic) -> str:
        return self._graph.shared_constant(value)

    def _do(self, operator: str, *inputs: str | float | Float64s) -> str:
        names = [each if isinstance(each, str) else self._constant(np.asarray(each, np.float64)) for each in inputs]
        return self._graph.shared_node(operator, names)[0]
