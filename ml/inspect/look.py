"""A source looked at: what it is, the configuration that it suggests, and what reading by it would refuse."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pydantic.alias_generators import to_camel

from ml.cleaning.columns import find_timestamp, plan_columns
from ml.cleaning.refusals import refuse_target, refuse_times, refuse_unreadable
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, EagleError
from ml.ingest.read_source import add_rows
from ml.ingest.sorted_readings import SortedReadings
from ml.ingest.source_notation import source_notation
from ml.ingest.sources import open_source, open_table
from ml.ingest.sources.base import Source
from ml.ingest.sources.date_and_time import DateAndTime
from ml.ingest.sources.layouts import with_layout
from ml.ingest.summary.mixed_machines import note_machine_columns
from ml.ingest.summary.reading_findings import tell_reading
from ml.ingest.summary.wording import names_of, sentence
from ml.inspect.candidates import candidates_of
from ml.inspect.columns import Column, describe_columns
from ml.inspect.proposal import propose
from ml.inspect.sample import Sample
from ml.options.access.file_format import NUMBERED_TIMES
from ml.options.layout import LayoutConfig
from ml.progress import silent

Json = dict[str, Any]

_ASSETS_TOLD = 20
_BLOCKING = {"TIME_UNKNOWN", "SENSORS_UNKNOWN"}  # needs without which nothing can be read


def look_at(config: OrganizationConfig, told: Json) -> Json:
    """Look at the first rows of the source that `config` names; what was found, in plain JSON types.

    ``intervalSeconds`` are medians between readings, by asset. ``refusal`` is why `data_prep` would refuse the source
    with ``config``, ``needs`` is what only a person can know; without either the configuration is ``ready``.

    Raises ConfigError, SourceError, DataError, IsolationError if the source cannot be opened or read at all.

    Parameters
    ----------
    config
        Names the source; of its sensors nothing is needed.
    told
        What the person said, as sections in JSON form.
    """
    with closing(open_source(config)) as source:
        sample = Sample(source)
        columns = describe_columns(sample, config.format_config)
        candidates = candidates_of(columns, sample)
        units = dict(getattr(source, "units", {}))
        proposed, needs = propose(columns, candidates, units, told)
        blocked = bool(_BLOCKING & {need.code for need in needs})
        shaped = config.layout_config != LayoutConfig()
        trial = _Trial() if blocked else _try(proposed, source, sample, shaped=shaped)
    refused = trial.refusal
    if refused is not None and refused.field in {need.field for need in needs}:
        refused = None  # a need says it
    parts = {to_camel(part): names for part, names in vars(candidates).items() if part not in ("value", "quality")}
    return {
        "source": source.where,
        "rowsLookedAt": sample.table.num_rows,
        "allRowsLookedAt": sample.complete,
        "notation": dict(sample.found) | trial.notation,
        "columns": [column.to_json() for column in columns],
        "candidates": parts,
        "assets": len(trial.intervals),
        "intervalSeconds": dict(list(trial.intervals.items())[:_ASSETS_TOLD]),
        "refusal": refused and {key: getattr(refused, key) for key in ("code", "message", "field", "hint")},
        "findings": [*trial.told, *_words(columns, proposed)],
        "needs": [need.to_json() for need in needs],
        "ready": refused is None and not needs,
        "config": proposed,
    }


def _words(columns: Sequence[Column], proposed: Json) -> list[str]:
    """What becomes of columns of words that have no other part."""
    schema = proposed["schemaConfig"]
    used = {*schema.get("categoricalColumns", {}), *proposed.get("failureConfig", {}).get("columns", [])}
    used |= {name for name in schema.values() if isinstance(name, str)} | set(proposed.get("layoutConfig", {}).values())
    names = [column.name for column in columns if column.kind == "words" and column.name not in used]
    if not names:
        return []
    return [
        f"{names_of(names)} hold words; schemaConfig.categoricalColumns makes sensors of them, with the words listed."
    ]


@dataclass
class _Trial:
    """What reading the sample by a configuration gave."""

    intervals: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    notation: Json = field(default_factory=dict)
    refusal: EagleError | None = None


def _try(proposed: Json, source: Source, sample: Sample, *, shaped: bool) -> _Trial:
    """Read the sample as `data_prep` would read the source; `shaped` says whether it has its layout already."""
    trial = _Trial()
    try:
        config = OrganizationConfig.from_dict(proposed)
        schema, label = config.schema_config, config.data_config.label_column
        rows: Source = sample
        clock = config.format_config.time_of_day_column
        if clock is not None:
            rows = DateAndTime(sample, find_timestamp(schema, sample.columns(), sample.where), clock)
        if not shaped:
            rows = with_layout(rows, config, open_table)
        plan = plan_columns(
            schema, label, rows.columns(), rows.where, failures=config.failure_config, target_required=False
        )
        whole = source if rows is sample else rows
        notation = source_notation(whole, plan, config)
        readings = SortedReadings(plan, schema, config.data_config.zone, TimeRange(), notation=notation)
        add_rows(readings, rows, plan, TimeRange(), silent)
        readings.finish()
        counts = readings.counts
        trial.notation = dict(counts.notation)
        refuse_times(counts, plan.timestamp)
        if not counts.rows_in_range:
            raise DataError(f"{sample.where} has no usable rows", hint="check that it is the right table or file")
        refuse_unreadable(counts, plan)
        trial.intervals = _intervals(readings)
        if sample.complete and config.data_config.sampling_interval_seconds is None:
            readings.interval()
        refuse_target(counts, plan)
        note_machine_columns(rows, plan, schema, counts, TimeRange())
        trial.told = [sentence(each) for each in tell_reading(counts, schema, label)]
        if counts.without_zone and config.data_config.timezone is None:
            trial.told.append("Times carry no zone and are read as UTC; set dataConfig.timezone to the plant's.")
        if (words := NUMBERED_TIMES.get(config.format_config.timestamp_format or "")) is not None:
            trial.told.append(f"Times are numbers that look like {words}, and are read so.")
    except EagleError as failure:
        trial.refusal = failure
    return trial


def _intervals(readings: SortedReadings) -> dict[str, int]:
    rows = pd.concat(list(readings.batches()), ignore_index=True)
    seconds = rows["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64) / 1e6
    step = pd.Series(seconds).diff().where(rows["asset_id"] == rows["asset_id"].shift())
    median = step.groupby(rows["asset_id"]).median()
    return {str(asset): round(value) for asset, value in median.items() if not np.isnan(value)}
