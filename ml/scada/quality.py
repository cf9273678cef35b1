"""What the prepared data is like: the figures of ``data_summary.json``, taken up asset by asset and block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.readings.clock import to_text
from ml.readings.counts import Counts
from ml.scada.labels import STATUSES
from ml.scada.sensor_figures import SensorFigures
from ml.scada.unit_outliers import Fences
from ml.scada.verdict import refusal, verdict

BLOCK_ROWS = 131_072  # rows whose figures are taken at once; it decides the last digits of a mean, so it is fixed
LISTED_EVENTS = 1_000  # onsets in the summary; more would make it unreadable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def summarize(
    frame: pd.DataFrame,
    counts: Counts,
    config: OrganizationConfig,
    *,
    source: str,
    interval: int,
    max_gap: int,
    fences: Mapping[str, Fences],
) -> dict[str, Any]:
    """Describe prepared data in memory, as `Summary` does.

    Parameters
    ----------
    frame
        The labelled grid.
    counts, config, source, interval, max_gap, fences
        As of `Summary`.
    """
    summary = Summary(config, interval=interval, max_gap=max_gap, fences=fences)
    for _, rows in frame.groupby("asset_id", sort=False, observed=True):
        summary.add_asset(rows)
    for start in range(0, len(frame), BLOCK_ROWS):
        summary.add_block(frame.iloc[start : start + BLOCK_ROWS])
    return summary.to_json(counts, source)


class Summary:
    """Figures of prepared data: what lies in time of one asset after the other, what sensors show of block after block.

    Parameters
    ----------
    config
        Which columns there are, and what was asked for.
    interval, max_gap
        Seconds.
    fences
        What is usual for the sensors of which that can be said.
    """

    def __init__(
        self, config: OrganizationConfig, *, interval: int, max_gap: int, fences: Mapping[str, Fences]
    ) -> None:
        self._config = config
        self._interval = interval
        self._max_gap = max_gap
        self._assets = self._rows = self._segments = self._positive = self._unknown = self._failed_at_once = 0
        self._first, self._last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self._gaps = {"count": 0, "totalSeconds": 0, "longestSeconds": 0}
        self._statuses: Counter[str] = Counter()
        self._failures: dict[str, int] = {}
        self._events: list[dict[str, str]] = []
        kinds = {name: _kind(name, config) for name in config.schema_config.sensor_columns}
        self._sensors = {name: SensorFigures(kind, fences.get(name)) for name, kind in kinds.items()}
        self._segment_before = -1

    def add_asset(self, rows: pd.DataFrame) -> None:
        """Take all rows of one asset, in order; columns of sensors may be missing."""
        seconds = rows["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64) // 1_000_000
        segment = rows["segment"].to_numpy()
        self._assets += 1
        self._rows += len(rows)
        self._segments += int(segment[-1] - segment[0]) + 1
        self._first, self._last = min(self._first, int(seconds[0])), max(self._last, int(seconds[-1]))
        self._add_gaps(np.diff(seconds)[np.diff(segment) != 0])
        self._statuses.update({str(name): int(count) for name, count in rows["status"].value_counts().items()})
        self._positive += int((rows["label"] == 1).sum())
        self._unknown += int((rows["target"] == -1).sum())
        self._add_events(str(rows["asset_id"].iloc[0]), rows["event"].to_numpy(), seconds)

    def add_block(self, rows: pd.DataFrame) -> None:
        """Take the next `BLOCK_ROWS` rows, or the rest, with their sensors."""
        segment = rows["segment"].to_numpy()
        starts = np.diff(segment, prepend=self._segment_before) != 0
        self._segment_before = int(segment[-1])
        for name, figures in self._sensors.items():
            figures.add(rows[name].to_numpy(dtype=np.float64), starts)

    def to_json(self, counts: Counts, source: str) -> dict[str, Any]:
        """The figures in plain JSON types (NaN as None), with camelCase keys.

        Parameters
        ----------
        counts
            What happened to the source's rows.
        source
            The source in words.
        """
        config, labelled = self._config, self._statuses["labelled"]
        stuck_after = config.schema_config.stuck_after_seconds
        summary: dict[str, Any] = {
            "source": source,
            **_account(counts, config),
            "samplingIntervalSeconds": self._interval,
            "maxGapSeconds": self._max_gap,
            "horizonSeconds": config.data_config.prediction_horizon_seconds,
            "labelColumn": config.data_config.label_column,
            "targetColumn": config.schema_config.target_column,
            "assets": self._assets,
            "firstTime": _iso(self._first),
            "lastTime": _iso(self._last),
            "gridRows": self._rows,
            "segments": self._segments,
            "gaps": self._gaps,
            "sensors": {
                name: figures.to_json(self._interval, stuck_after.get(name)) for name, figures in self._sensors.items()
            },
            "failureEvents": {
                "total": sum(self._failures.values()),
                "perAsset": self._failures,
                "failedFromTheStart": self._failed_at_once,
                "events": self._events,
            },
            "rowsByStatus": {status: self._statuses[status] for status in STATUSES},
            "positiveRows": self._positive,
            "positiveRate": self._positive / labelled if labelled else None,
            "usableHours": labelled * self._interval / 3_600,
            "targetUnknownShare": self._unknown / self._rows,
        }
        summary["refusal"] = refusal(summary, config.data_config)
        summary["verdict"] = verdict(summary)
        return summary

    def _add_gaps(self, lengths: Ints) -> None:
        """Pauses between the segments of one asset, from the last row before to the first row after."""
        self._gaps["count"] += len(lengths)
        self._gaps["totalSeconds"] += int(lengths.sum())
        self._gaps["longestSeconds"] = max(self._gaps["longestSeconds"], int(lengths.max(initial=0)))

    def _add_events(self, asset: str, event: Ints, seconds: Ints) -> None:
        """Failure events: how many, when they began and for how long they stayed on the grid."""
        inside = np.flatnonzero(event >= 0)
        self._failed_at_once += int(event[0] >= 0)
        if len(inside) == 0:
            return
        numbers = event[inside]
        onsets = inside[np.diff(numbers, prepend=-1) != 0]
        ends = inside[np.diff(numbers, append=-1) != 0]
        self._failures[asset] = len(onsets)
        self._events += [
            {"asset": asset, "onset": _iso(seconds[onset]), "lastFailedRow": _iso(seconds[end])}
            for onset, end in zip(onsets[: LISTED_EVENTS - len(self._events)], ends, strict=False)
        ]


def comparable_sensors(config: OrganizationConfig) -> list[str]:
    """Sensors in which values of another unit can be told: not counters, and not two-state signals."""
    kinds = {name: _kind(name, config) for name in config.schema_config.sensor_columns}
    return [name for name, kind in kinds.items() if kind not in ("boolean", "counter")]


def _account(counts: Counts, config: OrganizationConfig) -> dict[str, Any]:
    """What happened to the source's rows."""
    return {
        "rowsRead": counts.rows_read,
        "rowsInRange": counts.rows_in_range,
        "rowsWithoutTime": counts.unreadable_times,
        "rowsWithoutAsset": counts.without_asset,
        "duplicateRows": counts.duplicates,
        "outOfOrderRows": counts.out_of_order,
        "clockStepsBack": counts.clock_steps,
        "timesWithoutZone": counts.without_zone,
        "timezone": config.data_config.zone,
        "timezoneIsConfigured": config.data_config.timezone is not None,
        "unreadableValues": dict(counts.unreadable),
        "infiniteValues": dict(counts.infinite),
        "impossibleValues": dict(counts.out_of_range),
    }


def _kind(name: str, config: OrganizationConfig) -> str:
    schema = config.schema_config
    if name in schema.boolean_columns:
        return "boolean"
    if name in schema.counter_columns:
        return "counter"
    return "operating" if name in schema.operating_columns else "continuous"


def _iso(seconds: int) -> str:
    return to_text(int(seconds) * 1_000_000)
