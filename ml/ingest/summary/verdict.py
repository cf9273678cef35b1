"""The data summary in plain sentences for the people at the plant, and the findings among them.

A finding is what is wrong or odd, with what to do about it; the other sentences say what there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ml.cleaning.counts import Counts
from ml.config import OrganizationConfig
from ml.findings import Finding
from ml.ingest.summary.mixed_machines import FIELD as ASSET_COLUMN
from ml.ingest.summary.reading_findings import tell_reading
from ml.ingest.summary.wording import LISTED, Told, duration, names_of, percent, sentence
from ml.options.data import DataConfig
from ml.options.models.normal_behaviour import LEARN_WITHOUT_FAILURES
from ml.wording import plural

FEW_EVENTS = 10  # fewer failures than this leave every score to chance; worth a warning, not a refusal
MUCH_MISSING = 0.5
MOSTLY_POSITIVE = 0.5


def describe(
    summary: dict[str, Any], counts: Counts, config: OrganizationConfig, of_lists: Sequence[Finding] = ()
) -> tuple[list[str], list[Finding]]:
    """A data summary in sentences, the weightiest first, and the findings that are among them.

    Parameters
    ----------
    counts
        What happened to the source's rows, with examples that the summary does not keep.
    config
        The columns, and how the rows are split.
    of_lists
        Findings about lists of failures, maintenance and downtime.
    """
    told = [
        _overview(summary),
        *_failures(summary, config),
        *_lists(summary),
        *of_lists,
        *_labels(summary),
        *_assets(summary),
        *_sensors(summary["sensors"]),
        *_gaps(summary),
        *_zones(summary),
        *tell_reading(counts, config.schema_config, config.data_config.label_column),
        *([Finding("TRAINING_REFUSED", summary["refusal"])] if summary["refusal"] else []),
    ]
    return [sentence(each) for each in told], [each for each in told if isinstance(each, Finding)]


def refusal(summary: dict[str, Any], settings: DataConfig, *, needs_failures: bool = True) -> str | None:
    """Why training on this data will be refused, as far as the number of failures tells; None if it need not be."""
    if not needs_failures:
        return None
    parts = 2 + (settings.test_split > 0)
    total, needed = summary["failureEvents"]["total"], settings.min_failure_events
    if total == 0:
        return "Training will be refused: without a failure there is nothing to learn."
    if not summary["rowsByStatus"]["labelled"]:
        if summary["targetUnknownShare"] > MUCH_MISSING:
            return (
                f"Training will be refused: no row can be labelled; {summary['targetColumn']} is unknown in "
                f"{percent(summary['targetUnknownShare'])} of the rows. If it is written down only when it changes, "
                "set failureConfig.holdUntilChanged."
            )
        return "Training will be refused: no row can be labelled; the pauses in the data hide what comes after each."
    if settings.split_by == "time" and total < parts * needed:
        return (
            f"Training will be refused: it needs {plural(needed, 'failure event')} in each of its {parts} parts of "
            f"time, {parts * needed} in all, and there are {total}. Use a longer dataRange, or lower "
            "dataConfig.minFailureEvents."
        )
    if summary["positiveRows"] == 0:
        return "Training will be refused: no failure has usable rows before it; the pauses in the data hide them all."
    return None


def _overview(summary: dict[str, Any]) -> str:
    labelled, rows = summary["rowsByStatus"]["labelled"], summary["gridRows"]
    return (
        f"{plural(summary['assets'], 'asset')} from {summary['firstTime']} to {summary['lastTime']}: {rows:,} rows, "
        f"one every {summary['samplingIntervalSeconds']} s, {percent(labelled / rows)} of them usable: "
        f"{summary['usableHours']:,.0f} hours of history."
    )


def _failures(summary: dict[str, Any], config: OrganizationConfig) -> Told:
    events, settings = summary["failureEvents"], config.data_config
    total = events["total"]
    if total == 0 and config.training_config.model_type in LEARN_WITHOUT_FAILURES:
        yield Finding(
            "NO_FAILURE_KNOWN",
            "No failure is known, so the model learns what is normal; whether it finds failures cannot be measured.",
            "schemaConfig.targetColumn",
            "confirm or dismiss the episodes that the report lists, and give a list of failures once there are some",
        )
        return
    if total == 0:
        column = summary["labelColumn"] or summary["targetColumn"]
        listed = "events" in summary.get("lists", {})
        yield Finding(
            "NO_FAILURES",
            f"There is no failure in the data: {column} "
            + ("has none within the readings" if listed else "never says so")
            + ". Nothing can be learned from it.",
            column if listed else "schemaConfig.targetColumn",
        )
        return
    counted = f"{plural(total, 'failure event')} on {plural(len(events['perAsset']), 'asset')}."
    few = Finding("FEW_FAILURES", f"{counted} That is few: scores will depend on chance.", "dataRange")
    yield few if total < FEW_EVENTS else counted
    yield from _per_asset(events["perAsset"], summary["assets"])
    if events["failedFromTheStart"]:
        yield (
            f"{plural(events['failedFromTheStart'], 'asset')} had already failed when the data begins; "
            "such a failure has no history to learn from."
        )
    if summary["failedShare"] > MOSTLY_POSITIVE >= summary["targetUnknownShare"]:
        yield Finding(
            "TARGET_MOSTLY_FAILED",
            f"{summary['targetColumn']} is 1 in {percent(summary['failedShare'])} of the rows in which it is known.",
            "schemaConfig.targetColumn",
            "check that 1 means failed, and not running or healthy",
        )
    unknown = summary["targetUnknownShare"] > MUCH_MISSING  # which is told, and no pause is to blame then
    if events["hidden"] and summary["horizonSeconds"] and summary["labelColumn"] is None and not unknown:
        resting = "the machine is off, " if "off" in summary["rowsByStatus"] else ""
        yield Finding(
            "FAILURES_HIDDEN",
            f"{events['hidden']:,} of {total:,} failures have no usable row before them: {resting}the data pauses "
            "there, or does not say whether the machine is failed.",
            "dataConfig.maxGapSeconds",
            "set dataConfig.maxGapSeconds above the usual pause if values may be carried so far",
        )
    if _should_split_by_asset(summary, settings):
        yield Finding(
            "SPLIT_BY_ASSET",
            "Each machine fails once, and a split by time leaves a part with too few failures.",
            "dataConfig.splitBy",
            'set dataConfig.splitBy to "asset"',
        )


def _lists(summary: dict[str, Any]) -> Iterator[str]:
    """What was taken from lists, and which modes failures have."""
    for name, counts in summary.get("lists", {}).items():
        yield f"{counts['used']:,} of {plural(counts['rows'], 'row')} of failureConfig.{name} are used."
    if "perMode" in summary["failureEvents"]:
        modes, together = summary["failureEvents"]["perMode"], summary["failureEvents"]["together"]
        at_once = f"; {plural(together, 'time')} several began at once" if together else ""
        yield "Failures by mode: " + ", ".join(f"{name} {count:,}" for name, count in modes.items()) + at_once + "."


def _should_split_by_asset(summary: dict[str, Any], settings: DataConfig) -> bool:
    """Whether machines fail once each, at times that leave a part of a split by time without enough of them."""
    per_asset, per_part = summary["failureEvents"]["perAsset"], summary["failureEvents"]["perTimePart"]
    enough = len(per_asset) >= len(per_part) * max(1, settings.min_failure_events)
    few = min(per_part) < settings.min_failure_events
    return bool(settings.split_by == "time" and enough and few and max(per_asset.values()) == 1)


def _per_asset(failures: dict[str, int], assets: int) -> Iterator[str]:
    most = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(most) - LISTED} more assets" if len(most) > LISTED else ""
    yield "Failures per asset: " + ", ".join(f"{name} {count:,}" for name, count in most[:LISTED]) + more + "."
    if assets > len(failures):
        yield f"{plural(assets - len(failures), 'asset')} never failed."


def _labels(summary: dict[str, Any]) -> Told:
    statuses, rows = summary["rowsByStatus"], summary["gridRows"]
    horizon, rate = summary["horizonSeconds"], summary["positiveRate"]
    if summary["labelColumn"] is None and summary["targetUnknownShare"] > 0:
        yield Finding(
            "TARGET_UNKNOWN",
            f"{summary['targetColumn']} is unknown in {percent(summary['targetUnknownShare'])} of the rows.",
            "schemaConfig.targetColumn",
            "write 0 where there is no failure, or set failureConfig.holdUntilChanged if it is written down only when "
            "it changes",
        )
    if "off" in statuses:
        yield f"{percent(statuses['off'] / rows)} of the rows are while the machine is off and count for nothing."
    if statuses["censored"]:
        yield (
            f"{percent(statuses['censored'] / rows)} of the rows cannot be labelled, because the data does not show "
            f"the {duration(horizon)} after them."
        )
    if horizon and rate is not None and rate > MOSTLY_POSITIVE >= summary["failedShare"]:
        yield Finding(
            "HORIZON_LONG",
            f"{percent(rate)} of the usable rows are positive; the horizon of {duration(horizon)} may be too long.",
            "dataConfig.predictionHorizonSeconds",
        )


def _assets(summary: dict[str, Any]) -> Told:
    slow, alone, own = summary["slowAssets"], summary["oneClassAssets"], summary["maxGapSecondsOfSlowAssets"]
    if own:
        longest = duration(max(own.values()))
        yield (
            f"{names_of(own)} {_have(own, 'reports', 'report')} more slowly than the others; there, values are carried "
            f"forward and a pause is allowed for up to five of {_have(own, 'its', 'their')} own intervals ({longest} "
            "at most)."
        )
    if slow:
        pace = max(slow.values())
        yield Finding(
            "ASSETS_SAMPLED_SLOWLY",
            f"{names_of(slow)} {_have(slow, 'reports', 'report')} about every {duration(pace)}, and a pause of more "
            f"than {duration(summary['maxGapSeconds'])} breaks the history; few such rows can be labelled, if any.",
            "dataConfig.samplingIntervalSeconds",
            f"set dataConfig.samplingIntervalSeconds to {pace} for all machines, or leave the slow ones out",
        )
    if summary["assetsSpelledAlike"]:
        groups = [" and ".join(names) for names in summary["assetsSpelledAlike"]]
        yield Finding(
            "ASSETS_SPELLED_ALIKE",
            f"Names of assets differ in case, blanks or hyphens only: {names_of(groups)}; each was taken for a machine "
            "of its own.",
            ASSET_COLUMN,
            "write one machine's name in one way",
        )
    if alone:
        yield Finding(
            "ASSETS_WITH_ONE_CLASS",
            f"{names_of(alone)} {_have(alone, 'has', 'have')} only positive rows; a model may learn to know the "
            "machine and not the failure.",
            ASSET_COLUMN,
            "give healthy history of these machines, or leave them out",
        )


def _have(things: dict[str, Any], one: str, several: str) -> str:
    return one if len(things) == 1 else several


def _sensors(sensors: dict[str, dict[str, Any]]) -> Told:
    missing_shares = sorted((-sensor["missingShare"], name) for name, sensor in sensors.items())
    listed = [f"{name} {percent(-share)}" for share, name in missing_shares if share < 0]
    if listed:
        more = f" and {len(listed) - LISTED} more sensors" if len(listed) > LISTED else ""
        yield f"Missing values: {', '.join(listed[:LISTED])}{more}."
    for name, sensor in sensors.items():
        missing = sensor["missingShare"]
        if missing == 1:
            yield Finding("SENSOR_EMPTY", f"{name} never has a value.", name)
        elif missing > MUCH_MISSING:
            yield Finding("SENSOR_MOSTLY_MISSING", f"{name} is missing in {percent(missing)} of the rows.", name)
        if sensor["constant"]:
            yield Finding(
                "SENSOR_CONSTANT", f"{name} never changes (always {sensor['min']:g}), so it tells nothing.", name
            )
        if sensor["stuck"]:
            stuck = duration(sensor["longestUnchangedSeconds"])
            yield Finding(
                "SENSOR_STUCK",
                f"{name} did not change for {stuck}, though it usually does "
                f"({plural(sensor['stuckRows'], 'row')} in all).",
                name,
                "check the sensor",
            )
        if sensor["unitOutliers"] and not sensor["repeatedValues"]:
            yield Finding(
                "UNIT_OUTLIERS",
                f"{name} has {plural(sensor['unitOutliers'], 'value')} far outside the usual, as if "
                f"{sensor['unitOutliersAre']}; they were kept.",
                name,
                "bounds in schemaConfig.validRange leave them out",
            )
        for repeated in sensor["repeatedValues"]:
            yield _repeated(name, repeated)


def _repeated(name: str, repeated: dict[str, Any]) -> Finding:
    value, low, high = repeated["value"], repeated["othersFrom"], repeated["othersTo"]
    # Well beyond the others: a bound at the last of them would leave out the next reading that is a little further.
    far = min(high - low, abs(value - (low if value < low else high)) / 2)
    bounds = f"[{low - far:.3g}, null]" if value < low else f"[null, {high + far:.3g}]"
    return Finding(
        "REPEATED_VALUE",
        f"{name} is exactly {value:g} in {percent(repeated['share'])} of its readings, far from all others "
        f"({low:g} to {high:g}); it was kept.",
        name,
        f'if it stands for no value, add "{value:g}" to formatConfig.nullWords, or leave it out by '
        f'schemaConfig.validRange, such as {{"{name}": {bounds}}}',
    )


def _gaps(summary: dict[str, Any]) -> Iterator[str]:
    gaps = summary["gaps"]
    if gaps["count"]:
        yield (
            f"The data pauses {gaps['count']:,} times for more than {duration(summary['maxGapSeconds'])}, "
            f"{duration(gaps['totalSeconds'])} in all; the longest pause is {duration(gaps['longestSeconds'])}."
        )


def _zones(summary: dict[str, Any]) -> Told:
    local, rows = summary["timesWithoutZone"], summary["rowsRead"]
    if 0 < local < rows - summary["rowsWithoutTime"]:
        yield Finding(
            "TIMES_OF_SEVERAL_FORMATS",
            f"{local:,} of {rows:,} times carry no time zone and were read as {summary['timezone']}; the others do.",
            "schemaConfig.timestampColumn",
            "write all times in one way",
        )
    elif local and not summary["timezoneIsConfigured"]:
        yield Finding(
            "TIMEZONE_UNKNOWN",
            f"{local:,} times carry no time zone and were read as {summary['timezone']}.",
            "dataConfig.timezone",
            "set dataConfig.timezone to the zone that the plant writes them in",
        )
