"""Figures of one sensor on the grid, taken up block by block so that memory does not grow with the history."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ml.arrays import Bools, Float64s
from ml.ingest.summary.unit_outliers import UnitOutliers, Usual

# A sensor that varies counts as stuck when it shows one value for longer than all three: an hour, and so many times
# the interval and its own usual run of equal values (so that coarse or slow sensors are not accused). Never counted is
# what one reading alone makes on the grid, where it is carried for as long as the gap limit.
STUCK_SECONDS = 3_600
STUCK_FACTOR = 20


class SensorFigures:
    """Counts, moments, runs of equal values, and values in another unit.

    Parameters
    ----------
    kind
        continuous, operating, counter, boolean or categorical.
    quantity
        What it measures, as `ml.ingest.summary.unit_outliers.quantity_of` tells.
    usual
        What is usual for the sensor.
    """

    def __init__(self, kind: str, quantity: str | None, usual: Usual) -> None:
        self.kind = kind
        self._usual = usual
        self._outliers = UnitOutliers(usual.fences, quantity)
        self._rows = self._known = 0
        self._mean = self._squares = 0.0
        self._min, self._max = np.inf, -np.inf
        self._runs: Counter[int] = Counter()
        self._last, self._run = np.nan, 0

    def add(self, values: Float64s, segment_starts: Bools, carried: Bools | None = None) -> None:
        """Take the next rows.

        Parameters
        ----------
        values, segment_starts
            (n_rows,) values, and whether each row is the first of its segment.
        carried
            (n_rows,) rows of slow assets, where most values repeat the last reading: no run of equal values is counted.
        """
        known = values[~np.isnan(values)]
        if len(known):
            self._add_moments(known)
        self._add_runs(values if carried is None else np.where(carried, np.nan, values), segment_starts)
        self._outliers.add(values)
        self._rows += len(values)

    def to_json(self, interval: int, max_gap: int, stuck_after: int | None) -> dict[str, Any]:
        """The figures, once all rows were taken; `stuck_after` is the configured limit in seconds."""
        runs = self._runs + (Counter({self._run: 1}) if self._run and not np.isnan(self._last) else Counter())
        number = runs.total()
        usual = sum(length * count for length, count in runs.items()) / number if number else 0.0
        default = max(STUCK_SECONDS, STUCK_FACTOR * interval, STUCK_FACTOR * usual * interval)
        limit = max(max_gap, default if stuck_after is None else stuck_after)
        constant = self._known > 0 and self._min == self._max
        judged = runs if self.kind == "continuous" and not constant else Counter[int]()
        stuck = sum(length * count for length, count in judged.items() if (length - 1) * interval > limit)
        return {
            "kind": self.kind,
            "missingShare": (self._rows - self._known) / self._rows,
            "min": float(self._min) if self._known else None,
            "max": float(self._max) if self._known else None,
            "mean": self._mean if self._known else None,
            "std": float(np.sqrt(self._squares / (self._known - 1))) if self._known > 1 else None,
            "constant": bool(constant),
            "longestUnchangedSeconds": max(0, max(runs, default=1) - 1) * interval,
            "stuck": stuck > 0,
            "stuckRows": stuck,
            **self._outliers.to_json(),
            "repeatedValues": list(self._usual.repeated),
        }

    def _add_moments(self, known: Float64s) -> None:
        """Join the moments of a block to those before it (Chan, Golub and LeVeque, 1979)."""
        count, mean = len(known), float(known.mean())
        squares = float(np.square(known - mean).sum())
        total, shift = self._known + count, mean - self._mean
        self._squares += squares + shift * shift * self._known * count / total
        self._mean += shift * count / total
        self._known = total
        self._min, self._max = min(self._min, float(known.min())), max(self._max, float(known.max()))

    def _add_runs(self, values: Float64s, segment_starts: Bools) -> None:
        """Lengths of runs of one value within a segment; NaN, which equals nothing, is in no run."""
        before = np.concatenate([[self._last], values[:-1]])
        starts = np.flatnonzero(segment_starts | (values != before))
        if len(starts) == 0:
            self._run += len(values)
            return
        if self._run + starts[0] and not np.isnan(self._last):
            self._runs[self._run + int(starts[0])] += 1
        lengths = np.diff(np.append(starts, len(values)))
        whole = lengths[:-1][~np.isnan(values[starts[:-1]])]
        for length, count in zip(*np.unique(whole, return_counts=True), strict=True):
            self._runs[int(length)] += int(count)
        self._run, self._last = int(lengths[-1]), float(values[-1])
