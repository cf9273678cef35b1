"""What the prepared data is like: the figures of ``data_summary.json``, taken up asset by asset and block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.options.data import DataConfig
from ml.readings.clock import to_text
from ml.readings.counts import Counts
from ml.scada.labels import STATUSES
from ml.scada.sensor_figures import SensorFigures
from ml.scada.unit_outliers import Usual, quantity_of
from ml.scada.verdict import describe, refusal

BLOCK_ROWS = 131_072  # rows whose figures are taken at once; it decides the last digits of a mean, so it is fixed
_SMALLEST_HISTORY = 10  # rows; what an asset with fewer does usually cannot be said
_HOUR = 3_600
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
    usual: Mapping[str, Usual],
) -> dict[str, Any]:
    """Describe prepared data in memory, as `Summary` does.

    Parameters
    ----------
    frame
        The labelled grid.
    counts, config, source, interval, max_gap, usual
        As of `Summary`.
    """
    summary = Summary(config, interval=interval, max_gap=max_gap, usual=usual)
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
    usual
        What is usual for the sensors of which that can be said.
    """

    def __init__(self, config: OrganizationConfig, *, interval: int, max_gap: int, usual: Mapping[str, Usual]) -> None:
        self._config = config
        self._interval = interval
        self._max_gap = max_gap
        self._assets = self._rows = self._segments = self._positive = self._unknown = self._failed_at_once = 0
        self._first, self._last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self._gaps = {"count": 0, "totalSeconds": 0, "longestSeconds": 0}
        self._statuses: Counter[str] = Counter()
        self._failures: dict[str, int] = {}
        self._events: list[dict[str, str]] = []
        self._hidden = self._failed_rows = 0
        self._one_class: dict[str, str] = {}
        self._slow: dict[str, int] = {}
        self._labelled_hours: Counter[int] = Counter()
        self._onset_hours: list[int] = []
        schema = config.schema_config
        self._sensors = {
            name: SensorFigures(_kind(name, config), quantity_of(name, schema), usual.get(name, Usual()))
            for name in schema.sensor_columns
        }
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
        asset, label = str(rows["asset_id"].iloc[0]), rows["label"].to_numpy()
        self._unknown += int((rows["target"] == -1).sum())
        self._failed_rows += int((rows["target"] == 1).sum())
        self._add_classes(asset, label, seconds)
        self._add_pace(asset, seconds, segment)
        self._add_events(asset, rows["event"].to_numpy(), seconds, label)

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
            "assetColumn": config.schema_config.asset_column,
            "assets": self._assets,
            "firstTime": _iso(self._first),
            "lastTime": _iso(self._last),
            "gridRows": self._rows,
            "segments": self._segments,
            "gaps": self._gaps,
            "sensors": {
                name: figures.to_json(self._interval, self._max_gap, stuck_after.get(name))
                for name, figures in self._sensors.items()
            },
            "slowAssets": self._slow,
            "oneClassAssets": self._one_class,
            "failureEvents": {
                "total": sum(self._failures.values()),
                "perAsset": self._failures,
                "failedFromTheStart": self._failed_at_once,
                "hidden": self._hidden,
                "perTimePart": self._failures_per_part(config.data_config),
                "events": self._events,
            },
            "rowsByStatus": {status: self._statuses[status] for status in STATUSES},
            "positiveRows": self._positive,
            "positiveRate": self._positive / labelled if labelled else None,
            "usableHours": labelled * self._interval / 3_600,
            "targetUnknownShare": self._unknown / self._rows,
            "failedShare": self._failed_rows / max(1, self._rows - self._unknown),
        }
        summary["refusal"] = refusal(summary, config.data_config)
        summary["verdict"], findings = describe(summary, counts, config)
        summary["findings"] = [finding.to_json() for finding in findings]
        return summary

    def _failures_per_part(self, settings: DataConfig) -> list[int]:
        """About how many failures each part of a split by time has, which cuts where shares of the rows are reached."""
        hours = np.array(sorted(self._labelled_hours), dtype=np.int64)
        rows = np.cumsum([self._labelled_hours[hour] for hour in hours.tolist()])
        shares = [1 - settings.validation_split - settings.test_split, 1 - settings.test_split]
        cuts = [int(hours[np.searchsorted(rows, share * rows[-1])]) for share in shares if share < 1 and len(hours)]
        part = np.searchsorted(cuts, self._onset_hours, side="left")
        return [int(failures) for failures in np.bincount(part, minlength=len(cuts) + 1)]

    def _add_classes(self, asset: str, label: Ints, seconds: Ints) -> None:
        """Rows with a label, when they are, and whether the asset has rows of one class alone."""
        hours, rows = np.unique(seconds[label >= 0] // _HOUR, return_counts=True)
        self._labelled_hours.update(dict(zip(hours.tolist(), rows.tolist(), strict=True)))
        positive, negative = int((label == 1).sum()), int((label == 0).sum())
        self._positive += positive
        if positive and not negative:
            self._one_class[asset] = "positive"

    def _add_pace(self, asset: str, seconds: Ints, segment: Ints) -> None:
        """Whether the asset's readings are mostly further apart than a gap may be."""
        if len(seconds) >= _SMALLEST_HISTORY and segment[-1] - segment[0] + 1 > len(seconds) / 2:
            self._slow[asset] = int(np.median(np.diff(seconds)))

    def _add_gaps(self, lengths: Ints) -> None:
        """Pauses between the segments of one asset, from the last row before to the first row after."""
        self._gaps["count"] += len(lengths)
        self._gaps["totalSeconds"] += int(lengths.sum())
        self._gaps["longestSeconds"] = max(self._gaps["longestSeconds"], int(lengths.max(initial=0)))

    def _add_events(self, asset: str, event: Ints, seconds: Ints, label: Ints) -> None:
        """Failure events: how many, when they began and for how long they stayed on the grid."""
        inside = np.flatnonzero(event >= 0)
        self._failed_at_once += int(event[0] >= 0)
        if len(inside) == 0:
            return
        numbers = event[inside]
        onsets = inside[np.diff(numbers, prepend=-1) != 0]
        ends = inside[np.diff(numbers, append=-1) != 0]
        self._failures[asset] = len(onsets)
        self._onset_hours += (seconds[onsets] // _HOUR).tolist()
        told = np.unique(np.searchsorted(onsets, np.flatnonzero((label == 1) & (event < 0))))
        self._hidden += len(onsets) - int(event[0] >= 0) - len(told)
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
        "conflictingValues": dict(counts.conflicts),
        "outOfOrderRows": counts.out_of_order,
        "newestFirstRows": counts.newest_first,
        "clockStepsBack": counts.clock_steps,
        "rowsWithImplausibleTime": counts.implausible_times,
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
