"""What the prepared data is like: the figures of ``data_summary.json``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.config import OrganizationConfig
from ml.readings.clock import to_text
from ml.readings.collector import Counts
from ml.scada.labels import STATUSES
from ml.scada.unit_outliers import UnitOutliers, find_unit_outliers
from ml.scada.verdict import refusal, verdict

# A sensor that varies counts as stuck when it shows one value for longer than all three: an hour, and so many times
# the interval and its own usual run of equal values (so that coarse or slow sensors are not accused).
STUCK_SECONDS = 3_600
STUCK_FACTOR = 20
LISTED_EVENTS = 1_000  # onsets in the summary; more would make it unreadable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def summarize(
    frame: pd.DataFrame, counts: Counts, config: OrganizationConfig, *, source: str, interval: int, max_gap: int
) -> dict[str, Any]:
    """Describe prepared data in plain JSON types (NaN as None), with camelCase keys.

    Parameters
    ----------
    frame
        The labelled grid.
    counts
        What happened to the source's rows.
    source
        The source in words.
    interval, max_gap
        Seconds.
    """
    seconds = frame["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64) // 1_000_000
    summary: dict[str, Any] = {
        "source": source,
        "rowsRead": counts.rows_read,
        "rowsInRange": counts.rows_in_range,
        "rowsWithoutTime": counts.unreadable_times,
        "rowsWithoutAsset": counts.without_asset,
        "duplicateRows": counts.duplicates,
        "outOfOrderRows": counts.out_of_order,
        "clockStepsBack": counts.clock_steps,
        "timesWithoutZone": counts.without_zone,
        "timezone": config.data_config.timezone,
        "timezoneIsConfigured": "timezone" in config.data_config.model_fields_set,
        "unreadableValues": dict(counts.unreadable),
        "infiniteValues": dict(counts.infinite),
        "impossibleValues": dict(counts.out_of_range),
        "samplingIntervalSeconds": interval,
        "maxGapSeconds": max_gap,
        "horizonSeconds": config.data_config.prediction_horizon_seconds,
        "labelColumn": config.data_config.label_column,
        "targetColumn": config.schema_config.target_column,
        "assets": int(frame["asset_id"].nunique()),
        "firstTime": _iso(seconds.min()),
        "lastTime": _iso(seconds.max()),
        "gridRows": len(frame),
        "segments": int(frame["segment"].iloc[-1]) + 1,
        "gaps": _gaps(frame, seconds),
        "sensors": dict(_sensors(frame, config, interval)),
        "failureEvents": _events(frame, seconds),
        **_labels(frame, interval),
    }
    summary["refusal"] = refusal(summary, config.data_config)
    summary["verdict"] = verdict(summary)
    return summary


def _gaps(frame: pd.DataFrame, seconds: Ints) -> dict[str, int]:
    """Pauses between the segments of one asset, from the last row before to the first row after."""
    asset = pd.factorize(frame["asset_id"])[0]
    between = (np.diff(frame["segment"].to_numpy()) != 0) & (np.diff(asset) == 0)
    lengths = np.diff(seconds)[between]
    return {
        "count": len(lengths),
        "totalSeconds": int(lengths.sum()),
        "longestSeconds": int(lengths.max(initial=0)),
    }


def _sensors(frame: pd.DataFrame, config: OrganizationConfig, interval: int) -> Iterator[tuple[str, dict[str, Any]]]:
    segment = frame["segment"].to_numpy()
    same_segment = np.diff(segment) == 0
    for name in config.schema_config.sensor_columns:
        kind = _kind(name, config)
        values = frame[name].to_numpy(dtype=np.float64)
        known = values[~np.isnan(values)]
        runs = _runs_of_equal_values(values, same_segment)
        unchanged = max(0, int(runs.max(initial=0)) - 1) * interval
        constant = len(known) > 0 and bool(known.min() == known.max())
        usual = float(runs.mean()) if len(runs) else 0.0
        limit = config.schema_config.stuck_after_seconds.get(
            name, max(STUCK_SECONDS, STUCK_FACTOR * interval, STUCK_FACTOR * usual * interval)
        )
        stuck = runs[(runs - 1) * interval > limit] if kind == "continuous" and not constant else runs[:0]
        foreign = UnitOutliers(0, None) if kind in ("boolean", "counter") else find_unit_outliers(known)
        yield (
            name,
            {
                "kind": kind,
                "missingShare": 1 - len(known) / len(values),
                **_moments(known),
                "constant": constant,
                "longestUnchangedSeconds": unchanged,
                "stuck": len(stuck) > 0,
                "stuckRows": int(stuck.sum()),
                "unitOutliers": foreign.count,
                "unitOutliersAre": foreign.would_be,
            },
        )


def _kind(name: str, config: OrganizationConfig) -> str:
    schema = config.schema_config
    if name in schema.boolean_columns:
        return "boolean"
    if name in schema.counter_columns:
        return "counter"
    return "operating" if name in schema.operating_columns else "continuous"


def _moments(known: Floats) -> dict[str, float | None]:
    """Minimum, maximum, mean and standard deviation (ddof = 1) of values without NaN."""
    empty = len(known) == 0
    return {
        "min": None if empty else float(known.min()),
        "max": None if empty else float(known.max()),
        "mean": None if empty else float(known.mean()),
        "std": None if len(known) < 2 else float(known.std(ddof=1)),
    }


def _runs_of_equal_values(values: Floats, same_segment: npt.NDArray[np.bool_]) -> Ints:
    """Rows of each run of one value within a segment; NaN is in no run."""
    starts = np.ones(len(values), dtype=bool)
    starts[1:] = ~(same_segment & (values[1:] == values[:-1]))
    positions = np.flatnonzero(starts)
    lengths = np.diff(np.append(positions, len(values)))
    return lengths[~np.isnan(values[positions])]


def _events(frame: pd.DataFrame, seconds: Ints) -> dict[str, Any]:
    """Failure events: how many, on which assets, when they began and for how long they stayed on the grid."""
    inside = frame.loc[frame["event"] >= 0, ["asset_id", "event"]].assign(time=seconds[frame["event"] >= 0])
    events = inside.groupby("event").agg(asset=("asset_id", "first"), onset=("time", "first"), end=("time", "last"))
    first_rows = ~frame["asset_id"].duplicated()
    return {
        "total": len(events),
        "perAsset": {str(asset): int(count) for asset, count in events["asset"].value_counts(sort=False).items()},
        "failedFromTheStart": int((first_rows & (frame["event"] >= 0)).sum()),
        "events": [
            {"asset": str(row.asset), "onset": _iso(row.onset), "lastFailedRow": _iso(row.end)}
            for row in events.head(LISTED_EVENTS).itertuples()
        ],
    }


def _labels(frame: pd.DataFrame, interval: int) -> dict[str, Any]:
    statuses = frame["status"].value_counts()
    positive = int((frame["label"] == 1).sum())
    labelled = int(statuses["labelled"])
    return {
        "rowsByStatus": {status: int(statuses[status]) for status in STATUSES},
        "positiveRows": positive,
        "positiveRate": positive / labelled if labelled else None,
        "usableHours": labelled * interval / 3_600,
        "targetUnknownShare": float((frame["target"] == -1).mean()),
    }


def _iso(seconds: int) -> str:
    return to_text(int(seconds) * 1_000_000)
