"""Several machines that are read as one, because no column was named that tells them apart."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.cleaning.columns import ColumnPlan
from ml.cleaning.counts import Counts
from ml.cleaning.parsing import clean_text, plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, SourceError
from ml.ingest.sources.base import Source
from ml.ingest.sources.shared_table import USUAL_NAMES
from ml.options.base import first_of
from ml.options.schema import SchemaConfig

FIELD = "schemaConfig.assetColumn"

# Of all instants. Where clocks are set back, an hour of local time a year comes twice, and its rows disagree as well.
_MOST_CONTESTED = 0.01
_MOSTLY_CONTESTED = 0.5  # of the instants of named machines: nearly all rows would be thrown away
_ROWS_LOOKED_AT = 200_000
_MOST_COLUMNS = 50
_MOST_MACHINES = 20_000
_ROWS_PER_MACHINE = 2  # on average at least; a column with fewer numbers rows
_ALONE = 0.05  # share of repeated instants that may stay repeated within a machine
MACHINES_SHOWN = 4

_MACHINE_WORDS = frozenset(
    {"asset", "machine", "device", "equipment", "unit", "serial", "serialnumber", "pump", "motor", "turbine", "engine"}
    | {"compressor", "disk", "drive", "robot", "line", "station", "vehicle", "truck", "well", "node", "sensor", "tag"}
    | {"tagname", "plant", "site", "cell", "maschine", "anlage", "geraet", "gerät", "pumpe"}
)
_OTHER_WORDS = frozenset(  # pump_speed and machine_status measure something and name no machine
    {"type", "model", "status", "state", "mode", "code", "count", "value", "temp", "temperature", "pressure", "speed"}
    | {"rpm", "power", "current", "voltage", "load", "flow", "level", "hours", "age", "time", "date", "quality", "on"}
    | {"price", "cost", "version", "capacity", "running"}
)
_TWO_STATES = frozenset(["0", "1", "0.0", "1.0", "true", "false", "t", "f", "yes", "no", "y", "n", "on", "off"])


def note_machine_columns(
    source: Source, plan: ColumnPlan, schema: SchemaConfig, counts: Counts, within: TimeRange
) -> None:
    """Look for an unused column that names machines, and refuse rows of several machines that are read as one.

    What is found is put into `counts`. Without an asset column the source's unused columns are read once more, as far
    as their names or the rows give reason to.

    Raises DataError if there is no asset column and rows of one instant disagree; names the likely column and its
    values. Or if they disagree at most instants of the machines.
    """
    unused = [name for name in source.columns() if name not in plan.source_columns and not _is_spoken_for(name, schema)]
    named = [name for name in unused if sounds_like_a_machine(name)]
    wanted = unused if counts.contested else named if plan.asset is None else []
    if wanted:
        ordered = sorted(wanted, key=lambda name: name not in named)[:_MOST_COLUMNS]
        sample = _sample(source, plan, ordered, within)
        machines = _machines(sample, plan, named, contested=counts.contested > 0)
        counts.machine_columns.update({name: names for name, names in machines.items() if len(names) > 1})
    mostly = counts.contested > _MOSTLY_CONTESTED * counts.instants
    if plan.asset is not None and mostly and not counts.machine_columns:
        raise _times_too_coarse(plan, counts)
    if plan.asset is None and counts.contested:
        certain = bool(counts.machine_columns)
        if certain or counts.contested > _MOST_CONTESTED * counts.instants:
            raise _mixed(counts)


def _is_spoken_for(name: str, schema: SchemaConfig) -> bool:
    return name == schema.organization_column or name.replace("_", "").lower() in USUAL_NAMES


def sounds_like_a_machine(name: str) -> bool:
    """Whether a word of the name is one for machines, and none is one for what is measured.

    >>> [sounds_like_a_machine(name) for name in ("Turbine_ID", "serialNumber", "pump speed", "unit_price")]
    [True, True, False, False]
    """
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-zäöüß]+", name)} | {name.lower()}
    return bool(words & _MACHINE_WORDS) and not words & _OTHER_WORDS


def _sample(source: Source, plan: ColumnPlan, names: list[str], within: TimeRange) -> pd.DataFrame:
    """Time, asset and the named columns of the first rows, as text."""
    keys = [name for name in (plan.timestamp, plan.asset) if name is not None]
    parts: list[pa.Table] = []
    try:
        for batch in source.read([*keys, *names], time_column=plan.timestamp, within=within):
            texts = [clean_text(pc.cast(plain(column), pa.string(), safe=False)) for column in batch.columns]
            parts.append(pa.table(texts, names=batch.schema.names))
            if sum(part.num_rows for part in parts) >= _ROWS_LOOKED_AT:
                break
    except (DataError, SourceError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        # A column that is no text, or that a database does not show to us, names no machines.
        return pd.DataFrame(columns=[*keys, *names])
    return pa.concat_tables(parts).to_pandas() if parts else pd.DataFrame(columns=[*keys, *names])


def _machines(sample: pd.DataFrame, plan: ColumnPlan, named: list[str], *, contested: bool) -> dict[str, list[str]]:
    """Columns that seem to name machines, with their names; the likeliest first."""
    keys = [name for name in (plan.timestamp, plan.asset) if name is not None]
    found: dict[str, list[str]] = {}
    repeated = sample.duplicated(keys).sum()
    for name in sample.columns.drop(keys):
        values = sample[name].dropna()
        distinct = values.drop_duplicates()
        few = 2 <= len(distinct) <= min(_MOST_MACHINES, len(values) / _ROWS_PER_MACHINE)
        if not few or set(distinct.str.lower()) <= _TWO_STATES:
            continue
        apart = sample.duplicated([*keys, name]).sum() <= _ALONE * repeated
        if apart if contested and repeated else name in named:
            found[str(name)] = sorted(distinct)
    return dict(sorted(found.items(), key=lambda item: (item[0] not in named, len(item[1]))))


def _times_too_coarse(plan: ColumnPlan, counts: Counts) -> DataError:
    return DataError(
        f"rows of one asset and instant disagree at {counts.contested:,} of {counts.instants:,} instants (such as "
        f'{counts.conflict_example}), so "{plan.timestamp}" and "{plan.asset}" do not tell readings apart',
        field="schemaConfig.timestampColumn",
        hint="name a time column that says when each reading was taken, not a date or the hour of an export, and an "
        "asset column that names one machine",
    )


def _mixed(counts: Counts) -> DataError:
    message = (
        f"rows of one instant disagree at {counts.contested:,} of {counts.instants:,} instants, so several machines "
        "seem to be read as one"
    )
    if not counts.machine_columns:
        return DataError(
            message,
            field=FIELD,
            hint="name the column that tells machines apart in schemaConfig.assetColumn, or keep one row per instant",
        )
    column, names = next(iter(counts.machine_columns.items()))
    return DataError(
        f'{message}; the column "{column}" tells them apart ({first_of(names, MACHINES_SHOWN)})',
        field=FIELD,
        hint=f'set schemaConfig.assetColumn to "{column}"',
    )
