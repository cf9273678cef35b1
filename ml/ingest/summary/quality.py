"""What the prepared data is like: the figures of ``data_summary.json``, taken up block by block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Int64s
from ml.cleaning.clock import to_text
from ml.cleaning.counts import Counts
from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.ingest.failures.copies import TargetCorrelation, copies_finding
from ml.ingest.prepared.label_columns import MODES, status_names
from ml.ingest.summary.sensor_figures import SensorFigures
from ml.ingest.summary.unit_outliers import Usual, quantity_of
from ml.ingest.summary.verdict import describe, refusal
from ml.modes import split_modes
from ml.options.data import DataConfig
from ml.options.models.normal_behaviour import LEARN_WITHOUT_FAILURES

BLOCK_ROWS = 131_072  # rows whose figures are taken at once; it decides the last digits of a mean, so it is fixed
_SMALLEST_HISTORY = 10  # rows; what an asset with fewer does usually cannot be said
_HOUR = 3_600
LISTED_EVENTS = 1_000  # onsets in the summary; more would make it unreadable


class Summary:
    """Figures of prepared data: what lies in time, by groups of assets, and what sensors show, block after block.

    Parameters
    ----------
    config
        Which columns there are, and what was asked for.
    interval, max_gap, own_gaps
        Seconds; the last by the names of slow assets.
    usual
        What is usual for the sensors of which that can be said.
    """

    def __init__(
        self,
        config: OrganizationConfig,
        *,
        interval: int,
        max_gap: int,
        own_gaps: Mapping[str, int],
        usual: Mapping[str, Usual],
    ) -> None:
        self._config = config
        self._interval = interval
        self._max_gap = max_gap
        self._own_gaps = own_gaps
        self._assets = self._rows = self._segments = self._positive = self._unknown = self._failed_at_once = 0
        self._first, self._last = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        self._gaps = {"count": 0, "totalSeconds": 0, "longestSeconds": 0}
        self._statuses: Counter[str] = Counter()
        self._failures: dict[str, int] = {}
        self._events: list[dict[str, Any]] = []
        self._hidden = self._failed_rows = 0
        self._one_class: dict[str, str] = {}
        self._slow: dict[str, int] = {}
        self._spellings: dict[str, list[str]] = {}
        self._labelled_hours: Counter[int] = Counter()
        self._onset_hours: list[int] = []
        self._by_mode: Counter[str] = Counter()
        self._together = 0
        schema = config.schema_config
        self._sensors = {
            name: SensorFigures(_kind(name, config), quantity_of(name, schema), usual.get(name, Usual()))
            for name in schema.sensor_columns
        }
        self._copies = {name: TargetCorrelation() for name in schema.sensor_columns}
        self._segment_before = -1

    def add_assets(self, rows: pd.DataFrame) -> None:
        """Take all rows of the next assets, in order; columns of sensors may be missing."""
        assets = _Assets.of(rows)
        label, target, event = (rows[name].to_numpy() for name in ("label", "target", "event"))
        self._assets += len(assets.names)
        for name in assets.names:
            self._spellings.setdefault(_spelling(name), []).append(name)
        self._rows += len(rows)
        self._segments += int(assets.segments.sum())
        self._first = min(self._first, int(assets.seconds.min()))
        self._last = max(self._last, int(assets.seconds.max()))
        self._add_gaps(np.diff(assets.seconds)[assets.pauses])
        self._statuses.update({str(name): int(count) for name, count in rows["status"].value_counts().items()})
        self._unknown += int((target == -1).sum())
        self._failed_rows += int((target == 1).sum())
        self._add_classes(assets, label)
        self._add_pace(assets)
        self._add_events(assets, event, label, rows[MODES].to_numpy() if MODES in rows.columns else None)

    def add_blocks(self, frame: pd.DataFrame) -> None:
        """Take all rows, with their sensors, where they are held at once."""
        for start in range(0, len(frame), BLOCK_ROWS):
            self.add_block(frame.iloc[start : start + BLOCK_ROWS])

    def add_block(self, rows: pd.DataFrame) -> None:
        """Take the next `BLOCK_ROWS` rows, or the rest, with their sensors."""
        segment = rows["segment"].to_numpy()
        starts = np.diff(segment, prepend=self._segment_before) != 0
        self._segment_before = int(segment[-1])
        slow = rows["asset_id"].isin(list(self._own_gaps)).to_numpy() if self._own_gaps else None
        target = rows["target"].to_numpy()
        for name, figures in self._sensors.items():
            values = rows[name].to_numpy(dtype=np.float64)
            figures.add(values, starts, slow)
            self._copies[name].add(values, target)

    def to_json(
        self,
        counts: Counts,
        source: str,
        *,
        modes: Sequence[str] = (),
        lists: Mapping[str, Any] | None = None,
        findings: Sequence[Finding] = (),
    ) -> dict[str, Any]:
        """The figures in plain JSON types (NaN as None), with camelCase keys.

        Parameters
        ----------
        counts
            What happened to the source's rows.
        source
            The source in words.
        modes
            Names of the modes of failure. Default: those that occur.
        lists, findings
            Figures of lists of failures, maintenance and downtime, and what was odd about them.
        """
        config, labelled = self._config, self._statuses["labelled"]
        stuck_after = config.schema_config.stuck_after_seconds
        summary: dict[str, Any] = {
            "source": source,
            **_account(counts, config),
            "samplingIntervalSeconds": self._interval,
            "maxGapSeconds": self._max_gap,
            "maxGapSecondsOfSlowAssets": dict(self._own_gaps),
            "horizonSeconds": config.data_config.prediction_horizon_seconds,
            "labelColumn": config.data_config.label_column,
            "targetColumn": _recorded_in(config),
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
            "assetsSpelledAlike": [names for names in self._spellings.values() if len(names) > 1],
            "failureEvents": {
                "total": sum(self._failures.values()),
                "perAsset": self._failures,
                "failedFromTheStart": self._failed_at_once,
                "hidden": self._hidden,
                "perTimePart": self._failures_per_part(config.data_config),
                "events": self._events,
            },
            "rowsByStatus": {
                status: self._statuses[status]
                for status in status_names(with_off=config.schema_config.running_when is not None)
            },
            "positiveRows": self._positive,
            "positiveRate": self._positive / labelled if labelled else None,
            "usableHours": labelled * self._interval / 3_600,
            "targetUnknownShare": self._unknown / self._rows,
            "failedShare": self._failed_rows / max(1, self._rows - self._unknown),
        }
        modes = modes or sorted(self._by_mode)
        if modes:
            summary["failureModes"] = list(modes)
            per_mode = {name: self._by_mode[name] for name in modes}
            summary["failureEvents"] |= {"perMode": per_mode, "together": self._together}
        allowed = config.failure_config.allow_as_features
        copies = [name for name, one in self._copies.items() if one.is_copy and name not in allowed]
        if copies:
            summary["copiesOfTarget"] = copies
            findings = [*findings, copies_finding(copies)]
        if lists:
            summary["lists"] = dict(lists)
        summary["refusal"] = refusal(
            summary,
            config.data_config,
            needs_failures=config.training_config.model_type not in LEARN_WITHOUT_FAILURES,
        )
        summary["verdict"], found = describe(summary, counts, config, findings)
        summary["findings"] = [finding.to_json() for finding in found]
        return summary

    def _failures_per_part(self, settings: DataConfig) -> list[int]:
        """About how many failures each part of a split by time has, which cuts where shares of the rows are reached."""
        hours = np.array(sorted(self._labelled_hours), dtype=np.int64)
        rows = np.cumsum([self._labelled_hours[hour] for hour in hours.tolist()])
        shares = [1 - settings.validation_split - settings.test_split, 1 - settings.test_split]
        cuts = [int(hours[np.searchsorted(rows, share * rows[-1])]) for share in shares if share < 1 and len(hours)]
        part = np.searchsorted(cuts, self._onset_hours, side="left")
        return [int(failures) for failures in np.bincount(part, minlength=len(cuts) + 1)]

    def _add_classes(self, assets: _Assets, label: Int64s) -> None:
        """Rows with a label, when they are, and whether an asset has rows of one class alone."""
        hours, rows = np.unique(assets.seconds[label >= 0] // _HOUR, return_counts=True)
        self._labelled_hours.update(dict(zip(hours.tolist(), rows.tolist(), strict=True)))
        positive, negative = assets.count(label == 1), assets.count(label == 0)
        self._positive += int(positive.sum())
        for asset in np.flatnonzero((positive > 0) & (negative == 0)):
            self._one_class[assets.names[asset]] = "positive"

    def _add_pace(self, assets: _Assets) -> None:
        """Whether an asset's readings are mostly further apart than a gap may be."""
        for asset in np.flatnonzero((assets.sizes >= _SMALLEST_HISTORY) & (assets.segments > assets.sizes / 2)):
            own = assets.seconds[assets.starts[asset] :][: assets.sizes[asset]]
            self._slow[assets.names[asset]] = int(np.median(np.diff(own)))

    def _add_gaps(self, lengths: Int64s) -> None:
        """Pauses between segments of an asset, from the last row before to the first row after."""
        self._gaps["count"] += len(lengths)
        self._gaps["totalSeconds"] += int(lengths.sum())
        self._gaps["longestSeconds"] = max(self._gaps["longestSeconds"], int(lengths.max(initial=0)))

    def _add_events(self, assets: _Assets, event: Int64s, label: Int64s, modes: npt.NDArray[np.object_] | None) -> None:
        """Failure events: how many, when they began and for how long they stayed on the grid."""
        at_once = int((event[assets.starts] >= 0).sum())
        self._failed_at_once += at_once
        inside = np.flatnonzero(event >= 0)
        if len(inside) == 0:
            return
        numbers = event[inside]
        onsets = inside[np.diff(numbers, prepend=-1) != 0]
        ends = inside[np.diff(numbers, append=-1) != 0]
        owner = assets.of_row[onsets]
        failures = np.bincount(owner, minlength=len(assets.names))
        self._failures.update({assets.names[one]: int(failures[one]) for one in np.flatnonzero(failures)})
        self._onset_hours += (assets.seconds[onsets] // _HOUR).tolist()
        before = np.flatnonzero((label == 1) & (event < 0))
        following = np.searchsorted(onsets, before)
        before, following = before[following < len(onsets)], following[following < len(onsets)]
        announced = np.unique(following[owner[following] == assets.of_row[before]])
        self._hidden += len(onsets) - at_once - len(announced)
        if modes is not None:
            self._add_modes(event[inside], modes[inside])
        self._events += [
            {
                "asset": assets.names[assets.of_row[onset]],
                "onset": _iso(assets.seconds[onset]),
                "lastFailedRow": _iso(assets.seconds[end]),
                **({} if modes is None else {"modes": split_modes(modes[onset])}),
            }
            for onset, end in zip(onsets[: LISTED_EVENTS - len(self._events)], ends, strict=False)
        ]

    def _add_modes(self, event: Int64s, modes: npt.NDArray[np.object_]) -> None:
        """How often each mode began, of rows inside failures; and how often several began at once."""
        begins = np.flatnonzero((np.diff(event, prepend=-1) != 0) | (modes != np.roll(modes, 1)))
        for at in begins.tolist():
            before = modes[at - 1] if at and event[at] == event[at - 1] else ""
            new = [name for name in split_modes(modes[at]) if name not in split_modes(before)]
            self._by_mode.update(new)
            self._together += len(new) > 1


@dataclass(frozen=True)
class _Assets:
    """Where the rows of each asset are, and when."""

    names: list[str]
    starts: Int64s  # (n_assets,) first row
    sizes: Int64s  # (n_assets,) rows
    segments: Int64s  # (n_assets,) segments
    of_row: Int64s  # (n_rows,) position of the asset
    seconds: Int64s  # (n_rows,)
    pauses: Bools  # (n_rows - 1,) whether a segment ends and the same asset goes on

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Assets:
        """Of rows sorted by asset and time."""
        codes, names = pd.factorize(rows["asset_id"])
        of_row = codes.astype(np.int64)
        starts = np.flatnonzero(np.diff(of_row, prepend=-1))
        sizes = np.diff(np.append(starts, len(rows)))
        segment = rows["segment"].to_numpy()
        seconds = rows["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64) // 1_000_000
        pauses = (np.diff(segment) != 0) & (np.diff(of_row) == 0)
        segments = segment[starts + sizes - 1] - segment[starts] + 1
        return cls([str(name) for name in names], starts, sizes, segments, of_row, seconds, pauses)

    def count(self, chosen: Bools) -> Int64s:
        """How many of the chosen rows each asset has."""
        return np.bincount(self.of_row[chosen], minlength=len(self.names))


def comparable_sensors(config: OrganizationConfig) -> list[str]:
    """Sensors in which values of another unit can be told: not counters, two-state signals or words."""
    kinds = {name: _kind(name, config) for name in config.schema_config.sensor_columns}
    return [name for name, kind in kinds.items() if kind not in ("boolean", "counter", "categorical")]


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
        **({"nullValues": dict(counts.null_values)} if counts.null_values else {}),
        **({"notation": dict(counts.notation)} if counts.notation else {}),
    }


def _spelling(name: str) -> str:
    """A name without regard to case, and with one mark for blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]+", "-", name).casefold()


def _recorded_in(config: OrganizationConfig) -> str:
    """What says whether an asset has failed, in words."""
    failures = config.failure_config
    if failures.events is not None:
        return "failureConfig.events"
    return ", ".join(failures.columns) or config.schema_config.target_column


def _kind(name: str, config: OrganizationConfig) -> str:
    schema = config.schema_config
    if name in schema.boolean_columns:
        return "boolean"
    if name in schema.categorical_columns:
        return "categorical"
    if name in schema.counter_columns:
        return "counter"
    return "operating" if name in schema.operating_columns else "continuous"


def _iso(seconds: int) -> str:
    return to_text(int(seconds) * 1_000_000)
