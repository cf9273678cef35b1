"""Prepared data as CSV: for people and other programs, and back.

The Parquet file is what the steps read by themselves. A CSV file holds the same cells, but nothing of its origin: it is
read as it stands when somebody names it, and what was cut out of it begins a new segment.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from ml.arrays import Bools, Int64s
from ml.cleaning.counts import Counts
from ml.config import OrganizationConfig
from ml.errors import DataError, MissingColumnError, NoRowsError
from ml.grid.regular import median_interval, resolve_max_gap
from ml.ingest.failures.labels import NO_EVENT
from ml.ingest.prepared.data import LEADING_COLUMNS, TRAILING_COLUMNS, Prepared
from ml.ingest.prepared.label_columns import MODES, STATUSES, status_names
from ml.ingest.summary.quality import Summary

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_HINT = "give the CSV file that data_prep.py wrote, or rows of it"


def write_prepared_csv(prepared: Path, target: Path) -> None:
    """Write the Parquet file `prepared` as CSV to `target`: times in UTC, missing values empty; in bounded memory.

    Raises OSError if the disk refuses.
    """
    source = pyarrow.parquet.ParquetFile(prepared)
    schema = pa.schema([(field.name, _text_type(field.type)) for field in source.schema_arrow])
    with pyarrow.csv.CSVWriter(
        target, schema, write_options=pyarrow.csv.WriteOptions(quoting_style="needed")
    ) as writer:
        for batch in source.iter_batches():
            writer.write_batch(pa.record_batch([_as_text(column) for column in batch.columns], schema=schema))


def _text_type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_timestamp(kind) or pa.types.is_dictionary(kind) else kind


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s", tz="UTC")), format=_TIME_FORMAT)
    if pa.types.is_dictionary(column.type):
        return column.cast(pa.string())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def is_prepared_csv(path: Path) -> bool:
    """Whether the header is that of prepared data."""
    if not path.name.lower().endswith(".csv"):
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline(1_000_000).rstrip("\r\n").replace('"', "").split(",")
    except (OSError, UnicodeDecodeError):
        return False
    leading, trailing = list(LEADING_COLUMNS), list(TRAILING_COLUMNS)
    if header[-1] == MODES:
        del header[-1]
    return header[: len(leading)] == leading and header[-len(trailing) :] == trailing


def read_prepared_csv(path: Path, config: OrganizationConfig, *, interval: int | None = None) -> Prepared:
    """Prepared data from CSV; the frame is that of the Parquet file if no row was taken out.

    Raises MissingColumnError, NoRowsError, DataError if a sensor is not there, there are no rows, or a cell is not what
    `write_prepared_csv` writes there.

    Parameters
    ----------
    path
        The file, with a header of prepared data; rows may be missing, and in any order.
    config
        Its sensors are read.
    interval
        Sampling interval in seconds. Default: the configured one, else the usual spacing of the rows.
    """
    schema = config.schema_config
    sensors = {name: np.float64 if name in schema.counter_columns else np.float32 for name in schema.sensor_columns}
    numbers = {"segment": np.int32, "target": np.int8, "event": np.int32, "label": np.int8}
    present = pd.read_csv(path, nrows=0).columns
    absent = [name for name in sensors if name not in present]
    if absent:
        raise MissingColumnError(f'{path.name} has no column "{absent[0]}"', hint=_HINT)
    sensors |= {name: np.float32 for name in schema.event_inputs or () if name in present}
    columns = [*LEADING_COLUMNS, *sensors, *TRAILING_COLUMNS, *([MODES] if MODES in present else [])]
    try:
        frame = pd.read_csv(
            path,
            usecols=columns,
            dtype={"asset_id": str, "status": str, **sensors, **numbers},
            keep_default_na=False,  # words are names of machines and modes; only an empty number is missing
            na_values={name: [""] for name in ("asset_id", *sensors)},
        )
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], format=_TIME_FORMAT, utc=True).astype(
            "datetime64[us, UTC]"
        )
    except (ValueError, TypeError, OverflowError, pd.errors.ParserError) as error:
        raise DataError(f"{path.name} is not prepared data any more: {str(error)[:200]}", hint=_HINT) from None
    if not len(frame):
        raise NoRowsError(f"{path.name} has no rows", hint=_HINT)
    frame = frame[columns].sort_values(["asset_id", "timestamp"], kind="stable", ignore_index=True)
    _check_labels(frame, path)
    seconds = frame["timestamp"].to_numpy(dtype="datetime64[us]").view(np.int64)
    same_asset = frame["asset_id"].to_numpy()[1:] == frame["asset_id"].to_numpy()[:-1]
    interval = interval or config.data_config.sampling_interval_seconds or median_interval(np.diff(seconds)[same_asset])
    frame["segment"] = _segments(frame, np.diff(seconds), same_asset, interval, path)
    for name in ("asset_id", MODES):
        if name in frame.columns:
            frame[name] = frame[name].astype("str")
    with_off = bool(frame["status"].eq(STATUSES[-1]).any())
    frame["status"] = pd.Categorical(frame["status"], categories=status_names(with_off=with_off))
    max_gap = resolve_max_gap(config.data_config.max_gap_seconds, interval)
    counts = Counts(rows_read=len(frame), rows_in_range=len(frame))
    summary = Summary(config, interval=interval, max_gap=max_gap, own_gaps={}, usual={})
    summary.add_assets(frame)
    summary.add_blocks(frame)
    return Prepared(frame, summary.to_json(counts, path.name), interval, max_gap)


def _check_labels(frame: pd.DataFrame, path: Path) -> None:
    for name in ("target", "label"):
        if not frame[name].isin([-1, 0, 1]).all():
            raise DataError(f'the column "{name}" of {path.name} holds something other than -1, 0 and 1', hint=_HINT)
    if not frame["status"].isin(STATUSES).all() or frame["event"].lt(NO_EVENT).any() or frame["asset_id"].isna().any():
        raise DataError(f"{path.name} is not prepared data any more", hint=_HINT)


def _segments(
    frame: pd.DataFrame, spacing: Int64s, same_asset: Bools, interval: int, path: Path
) -> npt.NDArray[np.int32]:
    """Segments anew: one ends where it did, and where rows were taken out."""
    step = interval * 1_000_000
    inside = spacing[same_asset]
    if (inside <= 0).any() or (inside % step).any():
        raise DataError(
            f"{path.name} has rows of one machine that do not lie on a grid of {interval} s, or twice at one instant",
            field="dataConfig.samplingIntervalSeconds",
            hint=_HINT,
        )
    before = frame["segment"].to_numpy()
    begins = ~same_asset | (spacing != step) | (before[1:] != before[:-1])
    return np.concatenate([[0], np.cumsum(begins)]).astype(np.int32)
