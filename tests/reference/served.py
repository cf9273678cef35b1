"""What the backend's server computes from rows, one after the other: slow, obvious, from its description alone.

Nothing of `ml` is used. One history per machine; numbers are Python floats, as JavaScript's are doubles, added up in
the order of the history.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

LAG_SECONDS = (60, 120)
ROLLING_WINDOWS = (300,)


class Server:
    """Features of each new row of one machine, and the numbers that a model is fed."""

    def __init__(
        self,
        continuous: Sequence[str],
        boolean: Sequence[str] = (),
        lags: Sequence[int] = LAG_SECONDS,
        windows: Sequence[int] = ROLLING_WINDOWS,
        keep: int | None = None,
    ) -> None:
        self._keep = keep
        self._continuous, self._boolean, self._lags, self._windows = continuous, boolean, lags, windows
        self._history: list[tuple[float, Mapping[str, Any]]] = []

    def push(self, seconds: float, row: Mapping[str, Any]) -> dict[str, float]:
        """The features, by name, once the row has arrived; a cell that is None is null, one that is text may be any."""
        self.remember(seconds, row)
        features: dict[str, float] = {}
        for name in self._continuous:
            features[name] = _or_zero(_number(row.get(name)))
        for name in self._boolean:
            features[name] = _truth(row.get(name))
        for lag in self._lags:
            then = self._nearest(seconds - lag)
            for name in self._continuous:
                if then.get(name) is not None:
                    features[f"{name}_lag_{lag}s"] = _or_zero(_number(then[name]))
            for name in self._boolean:
                if then.get(name) is not None:
                    features[f"{name}_lag_{lag}s"] = _truth(then[name])
        for window in self._windows:
            rows = [entry for time, entry in self._history if seconds - window <= time <= seconds]
            for name in self._continuous:
                values = [value for value in (_number(entry.get(name)) for entry in rows) if not math.isnan(value)]
                if values:
                    for statistic, value in _statistics(values).items():
                        features[f"{name}_rolling_{window}s_{statistic}"] = value
            for name in self._boolean:
                on = [_truth(entry.get(name)) for entry in rows]
                features[f"{name}_rolling_{window}s_rate"] = sum(on) / len(on)
                features[f"{name}_rolling_{window}s_count"] = sum(on)
        return features

    def remember(self, seconds: float, row: Mapping[str, Any]) -> None:
        """Put a row into the history, of which the newest `keep` stay."""
        self._history.append((seconds, row))
        if self._keep is not None:
            self._history = self._history[-self._keep :]
        self._history.sort(key=lambda entry: entry[0])

    def _nearest(self, seconds: float) -> Mapping[str, Any]:
        found, best = self._history[0][1], math.inf
        for time, row in self._history:
            if abs(time - seconds) < best:
                found, best = row, abs(time - seconds)
        return found


def model_input(features: Mapping[str, float], names: Sequence[str]) -> list[float]:
    """The numbers as a Float32Array holds them, 0 for a name that the server does not know."""
    return [struct.unpack("<f", struct.pack("<f", features.get(name) or 0.0))[0] for name in names]


def _statistics(values: list[float]) -> dict[str, float]:
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    squares = 0.0
    for value in values:
        squares += (value - mean) * (value - mean)
    low, high = min(values), max(values)
    return {
        "mean": mean,
        "std": math.sqrt(squares / len(values)),
        "min": low,
        "max": high,
        "range": high - low,
    }


def _number(cell: Any) -> float:
    if cell is None:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _truth(cell: Any) -> float:
    return 1.0 if cell else 0.0


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
