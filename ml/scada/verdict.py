"""The data summary in plain sentences for the people at the plant, the weightiest first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ml.options.data import DataConfig

FEW_EVENTS = 10  # fewer failures than this leave every score to chance; worth a warning, not a refusal
MUCH_MISSING = 0.5
MOSTLY_POSITIVE = 0.5
LISTED = 12  # assets or sensors that one sentence names
_UNITS = (("days", 86_400), ("hours", 3_600), ("minutes", 60))


def verdict(summary: dict[str, Any]) -> list[str]:
    """Findings of a data summary, one sentence or two each; the first says what there is."""
    return [
        _overview(summary),
        *_failures(summary),
        *_labels(summary),
        *_sensors(summary["sensors"]),
        *_gaps(summary),
        *_times(summary),
        *_rows(summary),
        *([summary["refusal"]] if summary["refusal"] else []),
    ]


def refusal(summary: dict[str, Any], settings: DataConfig) -> str | None:
    """Why training on this data will be refused, as far as the number of failures tells; None if it need not be."""
    parts = 2 + (settings.test_split > 0)
    total, needed = summary["failureEvents"]["total"], settings.min_failure_events
    if total == 0:
        return "Training will be refused: without a failure there is nothing to learn."
    if settings.split_by == "time" and total < parts * needed:
        return (
            f"Training will be refused: it needs {_count(needed, 'failure event')} in each of its {parts} parts of "
            f"time, {parts * needed} in all, and there are {total}. Use a longer dataRange, or lower "
            "dataConfig.minFailureEvents."
        )
    if summary["positiveRows"] == 0:
        return "Training will be refused: no failure has usable rows before it; the pauses in the data hide them all."
    return None


def _overview(summary: dict[str, Any]) -> str:
    labelled, rows = summary["rowsByStatus"]["labelled"], summary["gridRows"]
    return (
        f"{_count(summary['assets'], 'asset')} from {summary['firstTime']} to {summary['lastTime']}: {rows:,} rows, "
        f"one every {summary['samplingIntervalSeconds']} s, {_percent(labelled / rows)} of them usable: "
        f"{summary['usableHours']:,.0f} hours of history."
    )


def _failures(summary: dict[str, Any]) -> Iterator[str]:
    events = summary["failureEvents"]
    total = events["total"]
    if total == 0:
        column = summary["labelColumn"] or summary["targetColumn"]
        yield f"There is no failure in the data: {column} is never 1. Nothing can be learned from it."
        return
    few = " That is few: scores will depend on chance." if total < FEW_EVENTS else ""
    yield f"{_count(total, 'failure event')} on {_count(len(events['perAsset']), 'asset')}.{few}"
    yield from _per_asset(events["perAsset"], summary["assets"])
    if events["failedFromTheStart"]:
        yield (
            f"{_count(events['failedFromTheStart'], 'asset')} had already failed when the data begins; "
            "such a failure has no history to learn from."
        )


def _per_asset(failures: dict[str, int], assets: int) -> Iterator[str]:
    most = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(most) - LISTED} more assets" if len(most) > LISTED else ""
    yield "Failures per asset: " + ", ".join(f"{name} {count:,}" for name, count in most[:LISTED]) + more + "."
    if assets > len(failures):
        yield f"{_count(assets - len(failures), 'asset')} never failed."


def _labels(summary: dict[str, Any]) -> Iterator[str]:
    statuses, rows = summary["rowsByStatus"], summary["gridRows"]
    horizon, rate = summary["horizonSeconds"], summary["positiveRate"]
    if summary["labelColumn"] is None and summary["targetUnknownShare"] > 0:
        yield (
            f"{summary['targetColumn']} is unknown in {_percent(summary['targetUnknownShare'])} of the rows; "
            "write 0 where there is no failure."
        )
    if statuses["censored"]:
        yield (
            f"{_percent(statuses['censored'] / rows)} of the rows cannot be labelled, because the data does not show "
            f"the {_duration(horizon)} after them."
        )
    if rate is not None and rate > MOSTLY_POSITIVE:
        yield f"{_percent(rate)} of the usable rows are positive; the horizon of {_duration(horizon)} may be too long."


def _sensors(sensors: dict[str, dict[str, Any]]) -> Iterator[str]:
    missing_shares = sorted((-sensor["missingShare"], name) for name, sensor in sensors.items())
    listed = [f"{name} {_percent(-share)}" for share, name in missing_shares if share < 0]
    if listed:
        more = f" and {len(listed) - LISTED} more sensors" if len(listed) > LISTED else ""
        yield f"Missing values: {', '.join(listed[:LISTED])}{more}."
    for name, sensor in sensors.items():
        missing = sensor["missingShare"]
        if missing == 1:
            yield f"{name} never has a value."
        elif missing > MUCH_MISSING:
            yield f"{name} is missing in {_percent(missing)} of the rows."
        if sensor["constant"]:
            yield f"{name} never changes (always {sensor['min']:g}), so it tells nothing."
        if sensor["stuck"]:
            stuck = _duration(sensor["longestUnchangedSeconds"])
            yield (
                f"{name} did not change for {stuck}, though it usually does; check the sensor "
                f"({_count(sensor['stuckRows'], 'row')} in all)."
            )
        if sensor["unitOutliers"]:
            yield (
                f"{name} has {_count(sensor['unitOutliers'], 'value')} far outside the usual, as if "
                f"{sensor['unitOutliersAre']}; they were kept. Bounds in schemaConfig.validRange leave them out."
            )


def _gaps(summary: dict[str, Any]) -> Iterator[str]:
    gaps = summary["gaps"]
    if gaps["count"]:
        yield (
            f"The data pauses {gaps['count']:,} times for more than {_duration(summary['maxGapSeconds'])}, "
            f"{_duration(gaps['totalSeconds'])} in all; the longest pause is {_duration(gaps['longestSeconds'])}."
        )


def _times(summary: dict[str, Any]) -> Iterator[str]:
    if summary["timesWithoutZone"] and not summary["timezoneIsConfigured"]:
        yield (
            f"{summary['timesWithoutZone']:,} times carry no time zone and were read as {summary['timezone']}; "
            "set dataConfig.timezone to the zone that the plant writes them in."
        )
    if summary["clockStepsBack"]:
        yield (
            f"A clock was set back {_count(summary['clockStepsBack'], 'time')}; the rows were sorted by what they say, "
            "and of two at one instant the later one counted."
        )


def _rows(summary: dict[str, Any]) -> Iterator[str]:
    for key, meaning in (
        ("rowsWithoutTime", "have no readable time and were left out"),
        ("rowsWithoutAsset", "name no asset and were left out"),
        ("duplicateRows", "repeat a time of the same asset; the last one counted"),
        ("outOfOrderRows", "came out of order in time and were sorted"),
    ):
        if summary[key]:
            yield f"{summary[key]:,} of {summary['rowsRead']:,} rows {meaning}."
    for name, count in summary["unreadableValues"].items():
        yield f"{name} has {_count(count, 'value')} that cannot be read; treated as missing."
    for name, count in summary["infiniteValues"].items():
        yield f"{name} has {_count(count, 'infinite value')}; treated as missing."
    for name, count in summary["impossibleValues"].items():
        yield f"{name} has {_count(count, 'value')} outside its validRange; treated as missing."


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def _percent(share: float) -> str:
    """A share as people read it; what is not quite nothing or not quite everything does not look so."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{100 * share:.3g} %"


def _duration(seconds: int) -> str:
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds} s"
