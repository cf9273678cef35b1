"""Which columns of a sample may be the time, the machine, the failure and, in long form, tag and value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.ingest.sources.shared_table import USUAL_NAMES
from ml.ingest.summary.mixed_machines import sounds_like_a_machine
from ml.inspect.columns import TIME_NAME, Column
from ml.inspect.sample import Sample
from ml.options.schema import DEFAULT_TIMESTAMP_COLUMNS

_TARGET = re.compile(
    r"fail|fault|breakdown|broken|trip|outage|anomal|defect|alarm|ausfall|st(ö|oe)rung|panne|target|label|error|status"
    r"|state|health|condition|down",
    re.IGNORECASE,
)
_FAILURES = [
    "fail",
    "fault",
    "breakdown",
    "broken",
    "trip",
    "outage",
    "anomal",
    "ausfall",
    "stoer",
    "stör",
]
_TARGETS = [*_FAILURES, "target", "label"]
_WHOLE_TARGET = re.compile(
    r"(machine|asset|is|has)?[\W_]?(fail(ed|ures?)?|faults?|breakdowns?|broken|target|label)([\W_]?(indicator|flag))?",
    re.IGNORECASE,
)
FAILURE_WORDS = re.compile(
    r"(.*[\W_])?(fail(ed|ure)?|fault(ed|y)?|broken|breakdown|trip(ped)?|down|error|defect(ive)?|st(ö|oe)rung|ausfall"
    r"|panne|alarm)([\W_].*)?",
    re.IGNORECASE,
)
HEALTHY_WORDS = re.compile(
    r"ok|okay|normal|healthy|good|run|running|on|up|active|operating|in operation|betrieb|gut|none|no failure"
    r"|no fault|no alarm",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"tag|tag_?(name|id)|variable|signal|point|point_?(name|id)|parameter|sensor|sensor_?(id|name|type)|metric|channel"
    r"|measurement|item|attribute|messstelle|name",
    re.IGNORECASE,
)
_VALUE = re.compile(r"value|val|reading|wert|valeur|valor|(measured|sensor|tag)_?value|v|messwert", re.IGNORECASE)
_QUALITY = re.compile(r"quality|qual|q|status|good", re.IGNORECASE)
_SAME = 0.05  # share of the rows of repeated instants that a machine's name may leave repeated
_ROWS_PER_MACHINE = 2


@dataclass(frozen=True)
class Candidates:
    """Columns by the part that they may have, the likeliest first."""

    time: list[str]
    time_of_day: list[str]
    asset: list[str]
    target: list[str]
    bits: list[str]
    """Two-state columns that each say failed, such as trip bits; empty where a column says it for all."""
    tag: list[str]
    value: list[str]
    quality: list[str]


def candidates_of(columns: Sequence[Column], sample: Sample) -> Candidates:
    """The parts that columns may have."""
    times = sorted((one for one in columns if one.kind == "time"), key=_time_rank)
    words = [one for one in columns if one.kind in ("words", "text") and one.distinct > 1]
    value = [one.name for one in columns if one.kind == "number" and _VALUE.fullmatch(one.name)]
    time = times[0] if times else None
    return Candidates(
        time=[one.name for one in times],
        time_of_day=[one.name for one in columns if one.kind == "time of day"],
        asset=_assets(columns, time, sample),
        target=[one.name for one in sorted(filter(_may_be_target, columns), key=_target_rank)],
        bits=_bits(columns),
        tag=[one.name for one in words if _TAG.fullmatch(one.name)],
        value=value,
        quality=[one.name for one in columns if _QUALITY.fullmatch(one.name)],
    )


def _time_rank(column: Column) -> tuple[bool, bool, int]:
    return column.name not in DEFAULT_TIMESTAMP_COLUMNS, not TIME_NAME.search(column.name), -column.distinct


def _assets(columns: Sequence[Column], time: Column | None, sample: Sample) -> list[str]:
    """Columns that sound like machines, and those that tell rows of one instant apart."""
    rows = sample.table.num_rows
    possible = [
        one
        for one in columns
        if one.kind in ("words", "text", "number", "two-state", "constant")
        and one.name.replace("_", "").lower() not in USUAL_NAMES
        and not _may_be_target(one)
        and (one.distinct > 1 or not sample.complete)
    ]
    sounding = [one for one in possible if sounds_like_a_machine(one.name)]
    possible = [one for one in possible if one.distinct <= max(1, rows / _ROWS_PER_MACHINE)]
    found = [one.name for one in sorted(sounding, key=lambda one: (one.kind == "number", one.distinct))]
    if time is None or time.times is None:
        return found
    repeated = int(pd.Series(time.times).duplicated().sum())
    if repeated:
        for one in possible:
            if one.kind not in ("words", "text") and not all(each.lstrip("+-").isdecimal() for each in one.examples):
                continue
            names = [str(value) for value in sample.table.column(one.name).to_pylist()]
            frame = pd.DataFrame({"time": time.times, "name": np.asarray(names, dtype=object)})
            if one.name not in found and frame.duplicated().sum() <= _SAME * repeated:
                found.append(one.name)
    return found


def _may_be_target(column: Column) -> bool:
    if not _TARGET.search(column.name):
        return False
    if column.kind in ("two-state", "constant") and column.words:
        return True
    if column.kind == "number":
        return bool(column.words) and any(word in column.name.lower() for word in _TARGETS)
    return column.kind == "words" and any(map(FAILURE_WORDS.fullmatch, column.words))


def _bits(columns: Sequence[Column]) -> list[str]:
    states = [one for one in columns if one.kind in ("two-state", "constant") and _may_be_target(one)]
    if any(_WHOLE_TARGET.fullmatch(one.name) for one in states):
        return []
    found = [one for one in states if any(word in one.name.lower() for word in _FAILURES)]
    return [one.name for one in found] if sum(one.kind == "two-state" for one in found) > 1 else []


def _target_rank(column: Column) -> tuple[bool, int, bool]:
    name = column.name.lower()
    rank = next((place for place, word in enumerate(_TARGETS) if word in name), len(_TARGETS))
    return column.kind == "constant", rank, column.kind in ("words", "number")
