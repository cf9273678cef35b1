"""A first configuration for a source, and what only a person can know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml.findings import Finding
from ml.inspect.candidates import FAILURE_WORDS, HEALTHY_WORDS, Candidates
from ml.inspect.columns import Column
from ml.options.schema import RESERVED_COLUMNS

Json = dict[str, Any]

_LISTED = 12


def propose(
    columns: Sequence[Column], candidates: Candidates, units: Mapping[str, str], told: Json
) -> tuple[Json, list[Finding]]:
    """The configuration that the columns suggest, under what `told` says already, and what is missing.

    Parameters
    ----------
    units
        Texts below the names of columns.
    told
        Sections of a configuration, in JSON form; what they say stays.
    """
    by_name = {column.name: column for column in columns}
    schema: Json = {}
    form: Json = {}
    needs: list[Finding] = []
    _name_time(candidates, by_name, schema, form, needs)
    schema |= {"assetColumn": candidates.asset[0]} if candidates.asset else {}
    schema |= dict(told.get("schemaConfig", {}))
    form |= dict(told.get("formatConfig", {}))
    found: Json = {"schemaConfig": schema, "formatConfig": form}
    if candidates.tag and candidates.value and not told.get("schemaConfig", {}).get("continuousColumns"):
        needs += _name_tags(candidates, by_name, schema, found)
    else:
        failures = _name_failures(candidates, by_name, schema, found, told)
        _name_sensors(columns, candidates, schema, found, units)
        sensors = schema.get("continuousColumns") or schema.get("booleanColumns")
        needs += failures if sensors else [_no_sensors(columns)]
    used = {schema.get("timestampColumn"), *schema.get("continuousColumns", []), *schema.get("booleanColumns", [])}
    for trouble in (column.trouble for column in columns if column.name in used and column.trouble is not None):
        needs.append(Finding("TWO_READINGS", f"{trouble.message}.", trouble.field, trouble.hint))
    return {**told, **{key: value for key, value in found.items() if value}}, needs


def _name_time(
    candidates: Candidates, columns: Mapping[str, Column], schema: Json, form: Json, needs: list[Finding]
) -> None:
    if not candidates.time:
        needs.append(
            Finding(
                "TIME_UNKNOWN",
                "No column holds times that can be read.",
                "schemaConfig.timestampColumn",
                "name the column of times in schemaConfig.timestampColumn, and how it is written in "
                "formatConfig.timestampFormat",
            )
        )
        return
    time = columns[candidates.time[0]]
    schema["timestampColumn"] = time.name
    if candidates.time_of_day and all(len(example) <= 10 for example in time.examples):
        form["timeOfDayColumn"] = candidates.time_of_day[0]
    elif time.format is not None and not time.format.is_default and time.trouble is None and not time.format.others:
        form["timestampFormat"] = time.format.name


def _name_tags(candidates: Candidates, columns: Mapping[str, Column], schema: Json, found: Json) -> list[Finding]:
    """Long form: each tag is a sensor."""
    tag = columns[candidates.tag[0]]
    layout = {"layout": "long", "tagColumn": tag.name, "valueColumn": candidates.value[0]}
    if schema.get("assetColumn") == tag.name:
        del schema["assetColumn"]
    needs = [
        Finding(
            "FAILURES_UNKNOWN",
            "The source is in long form, one row per value, and says nowhere when a machine had failed.",
            "schemaConfig.targetColumn",
            "name the tag that is 1 while it has failed, or give a list of failures",
        )
    ]
    if candidates.quality:
        quality = columns[candidates.quality[0]]
        needs.append(
            Finding(
                "QUALITY_UNKNOWN",
                f'The column "{quality.name}" seems to tell the quality of values: {", ".join(quality.examples)}.',
                "layoutConfig.qualityColumn",
                "name it in layoutConfig.qualityColumn, and the codes of good values in acceptedQuality",
            )
        )
    found["layoutConfig"] = layout
    schema["continuousColumns"] = sorted(tag.words)
    return needs


def _name_failures(
    candidates: Candidates, columns: Mapping[str, Column], schema: Json, found: Json, told: Json
) -> list[Finding]:
    """The target, by its name and values; without one, who has to say what."""
    if "targetColumn" in schema or "failureConfig" in told or told.get("dataConfig", {}).get("labelColumn"):
        return []
    if not candidates.target:
        return [
            Finding(
                "FAILURES_UNKNOWN",
                "No column says when a machine had failed.",
                "schemaConfig.targetColumn",
                "name a column that is 1 while a machine has failed in schemaConfig.targetColumn, or give a list of "
                "failures in failureConfig.events",
            )
        ]
    if candidates.bits:
        found["failureConfig"] = {"columns": candidates.bits}
        return [
            Finding(
                "SEVERAL_FAILURES",
                f"{', '.join(candidates.bits[:_LISTED])} each look like they say failed: a machine counts as "
                "failed while any of them does.",
                "failureConfig.columns",
                "take those out that are no failures; group the others by component in failureConfig.modes",
            )
        ]
    target = columns[candidates.target[0]]
    if target.kind == "number":
        schema["targetColumn"] = target.name
        return [_states(target, list(target.words))]
    if target.kind != "words":
        schema["targetColumn"] = target.name
        return []
    failed = [word for word in target.words if FAILURE_WORDS.fullmatch(word)]
    healthy = [word for word in target.words if HEALTHY_WORDS.fullmatch(word)]
    found["failureConfig"] = {"columns": [target.name], "failureValues": failed, "healthyValues": healthy}
    others = [word for word in target.words if word not in (*failed, *healthy)]
    return [_states(target, others)] if others else []


def _states(target: Column, words: list[str]) -> Finding:
    return Finding(
        "STATES_UNKNOWN",
        f'The column "{target.name}" has {", ".join(words[:_LISTED])}: which mean failed, and which healthy?',
        "failureConfig.failureValues",
        "add each to failureConfig.failureValues or healthyValues; what is in neither is not learned from",
    )


def _name_sensors(
    columns: Sequence[Column], candidates: Candidates, schema: Json, found: Json, units: Mapping[str, str]
) -> None:
    if schema.get("continuousColumns") or schema.get("booleanColumns"):
        return
    states = [name for name in candidates.target if name != schema.get("targetColumn")]
    used = {*schema.values(), *found["formatConfig"].values(), *states, *candidates.time} - {None}
    used |= set(found.get("failureConfig", {}).get("columns", []))
    sensors = {column.name: column.kind for column in columns if column.name not in used and _may_be_sensor(column)}
    mapping = {name: f"{name}_value" for name in sensors if name in RESERVED_COLUMNS}
    schema |= {"columnMapping": mapping} if mapping else {}
    ours = {name: mapping.get(name, name) for name in sensors}
    schema["continuousColumns"] = [ours[name] for name, kind in sensors.items() if kind == "number"]
    if states := [ours[name] for name, kind in sensors.items() if kind == "two-state"]:
        schema["booleanColumns"] = states
    named = {ours[name]: text for name, text in units.items() if sensors.get(name) == "number" and len(text) <= 32}
    schema |= {"columnUnits": named} if named else {}


def _may_be_sensor(column: Column) -> bool:
    """A column of numbers; names of more than the configuration takes are left out."""
    good = 0 < len(column.name) <= 128 and column.name.isprintable()
    return good and column.kind in ("number", "two-state")


def _no_sensors(columns: Sequence[Column]) -> Finding:
    words = [column.name for column in columns if column.kind in ("words", "text")]
    return Finding(
        "SENSORS_UNKNOWN",
        "No column holds readings of a sensor" + (f": {', '.join(words[:_LISTED])} hold words." if words else "."),
        "schemaConfig.continuousColumns",
        "give the table of readings; a list of failures or of work orders belongs in failureConfig, a table of "
        "machines or of errors beside the readings",
    )
