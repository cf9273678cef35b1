"""Prepared data: the labelled grid in memory, and its Parquet file with a fingerprint of its origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from ml.errors import DataError, IntegrityError, MissingArtifactError
from ml.ingest.prepared.fingerprint import Fingerprint, read_fingerprint, refuse_foreign
from ml.ingest.prepared.label_columns import MODES, STATUSES, status_names
from ml.ingest.prepared.parquet_output import ParquetOutput

ROW_GROUP_ROWS = 131_072
_LEADING = {"asset_id": pa.string(), "timestamp": pa.timestamp("us", tz="UTC"), "segment": pa.int32()}
_TRAILING = {
    "target": pa.int8(),
    "event": pa.int32(),
    "label": pa.int8(),
    "status": pa.dictionary(pa.int8(), pa.string()),
}
_WITH_MODES = {**_TRAILING, MODES: pa.string()}
LEADING_COLUMNS, TRAILING_COLUMNS = tuple(_LEADING), tuple(_TRAILING)
"""Columns before and after the sensors; `MODES` follows them where there are modes of failure."""


@dataclass(frozen=True)
class Prepared:
    """An organisation's history, ready for features.

    ``frame`` is sorted by asset and time and has ``asset_id, timestamp, segment``, the sensors, ``target, event,
    label, status``, and ``modes`` (text of `ml.modes`, empty outside failures) where failures are of several modes.
    ``summary`` is what `ml.ingest.summary.quality.Summary` found. ``interval`` and ``max_gap`` are seconds, and so
    are ``own_gaps``, the gap limits of slow assets.
    """

    frame: pd.DataFrame
    summary: dict[str, Any]
    interval: int
    max_gap: int
    own_gaps: Mapping[str, int] = field(default_factory=dict)

    @property
    def sensors(self) -> tuple[str, ...]:
        """Sensor columns, in order."""
        return tuple(name for name in self.frame.columns if name not in _LEADING and name not in _WITH_MODES)

    @property
    def modes(self) -> tuple[str, ...]:
        """Modes of failure by name; none where all failures are of one."""
        return tuple(self.summary.get("failureModes", ()))


class PreparedWriter:
    """Writes prepared data as it is made; the file is the same however the rows were cut into pieces.

    Raises StorageError if the disk refuses; from every method.

    Parameters
    ----------
    path
        The file.
    sensors
        Types of the sensors by name, in order.
    on_block
        Called with every `ROW_GROUP_ROWS` rows, and the rest, as they are written.
    modes
        Whether failures are of several modes.
    """

    def __init__(
        self,
        path: Path,
        sensors: Mapping[str, type[np.floating[Any]]],
        on_block: Callable[[pd.DataFrame], None],
        *,
        modes: bool = False,
    ) -> None:
        types = {name: pa.from_numpy_dtype(np.dtype(kind)) for name, kind in sensors.items()}
        self._schema = pa.schema(list({**_LEADING, **types, **_trailing(modes)}.items()))
        self._on_block = on_block
        self._waiting: list[pd.DataFrame] = []
        self._output = ParquetOutput(path, self._schema, ROW_GROUP_ROWS, compression="zstd")

    def add(self, rows: pd.DataFrame) -> None:
        """Take the next rows."""
        self._waiting.append(rows)
        if sum(len(piece) for piece in self._waiting) >= ROW_GROUP_ROWS:
            whole = pd.concat(self._waiting, ignore_index=True)
            full = len(whole) // ROW_GROUP_ROWS * ROW_GROUP_ROWS
            for start in range(0, full, ROW_GROUP_ROWS):
                self._write(whole.iloc[start : start + ROW_GROUP_ROWS])
            self._waiting = [whole.iloc[full:].copy()]  # not a part that keeps the whole

    def flush(self) -> None:
        """Write the rows that still wait; nothing can be added afterwards."""
        rest = pd.concat(self._waiting, ignore_index=True)
        self._waiting = []
        if len(rest):
            self._write(rest)

    def describe(self, fingerprint: Fingerprint) -> None:
        """Say in the file what it is; without that it is none that anybody takes for prepared data."""
        self._output.describe(fingerprint.to_metadata())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: Any) -> None:
        self._output.__exit__(*failure)

    def _write(self, block: pd.DataFrame) -> None:
        self._on_block(block)
        arrays = [
            pa.array(block[field.name], type=field.type, from_pandas=field.name in {**_LEADING, **_WITH_MODES})
            for field in self._schema
        ]
        self._output.write(pa.table(arrays, schema=self._schema))


def read_prepared(path: Path, *, organization_id: str, sensors: bool = True) -> Prepared:
    """Read what `PreparedWriter` wrote for this organisation; the frame comes back equal.

    Raises MissingArtifactError if there is no such file; DataError if the file is not prepared data; IsolationError if
    it was prepared for another organisation; IntegrityError if it is of an unknown format, or its columns are not those
    that its fingerprint names.

    Parameters
    ----------
    sensors
        Whether to read the sensors, too; the other columns take a tenth of the memory.
    """
    if not path.is_file():
        raise MissingArtifactError(f"there is no prepared data {path.name}", hint="run scripts/data_prep.py first")
    fingerprint = refuse_foreign(path, organization_id=organization_id)
    if fingerprint is None:
        raise DataError(
            f"{path.name} is not prepared data", hint="give the prepared_data.parquet that scripts/data_prep.py wrote"
        )
    trailing = _trailing(bool(fingerprint.modes))
    try:
        _check_columns(path, pyarrow.parquet.read_schema(path), fingerprint)
        table = pyarrow.parquet.read_table(path, columns=None if sensors else [*_LEADING, *trailing])
    except (pa.ArrowInvalid, OSError):
        raise IntegrityError(f"{path.name} is damaged", hint="prepare the data again") from None
    _check_rows(path, table, [*_LEADING, *trailing])
    # Column by column, each given up once it is converted: long histories are held once, not twice.
    frame = table.replace_schema_metadata(None).to_pandas(split_blocks=True, self_destruct=True)
    del table
    pa.default_memory_pool().release_unused()
    frame["asset_id"] = frame["asset_id"].astype("str")
    with_off = STATUSES[-1] in frame["status"].cat.categories
    frame["status"] = frame["status"].cat.set_categories(status_names(with_off=with_off))
    if fingerprint.modes:
        frame[MODES] = frame[MODES].astype("str")
    return Prepared(frame, fingerprint.summary, fingerprint.interval, fingerprint.max_gap, fingerprint.own_gaps)


def is_prepared(path: Path) -> bool:
    """Whether the file is prepared data, of whichever organisation.

    Raises IntegrityError if it is, but damaged or of an unknown format.
    """
    return read_fingerprint(path) is not None


def _trailing(modes: bool) -> dict[str, pa.DataType]:
    """Columns after the sensors, with their types."""
    return _WITH_MODES if modes else _TRAILING


def _check_columns(path: Path, schema: pa.Schema, fingerprint: Fingerprint) -> None:
    trailing = _trailing(bool(fingerprint.modes))
    expected = [*_LEADING, *fingerprint.sensors, *trailing]
    if schema.names != expected:
        odd = sorted(set(schema.names) ^ set(expected))
        raise IntegrityError(
            f"{path.name} does not have the columns that it was written with"
            + (f" ({', '.join(odd[:5])})" if odd else ""),
            hint="prepare the data again",
        )
    for name, kind in {**_LEADING, **trailing}.items():
        found = schema.field(name).type
        if found != kind:
            raise IntegrityError(f'the column "{name}" of {path.name} holds {found}, not {kind}')
    for name in fingerprint.sensors:
        found = schema.field(name).type
        if not (pa.types.is_float32(found) or pa.types.is_float64(found)):
            raise IntegrityError(f'the column "{name}" of {path.name} holds {found}, not numbers')


def _check_rows(path: Path, table: pa.Table, names: list[str]) -> None:
    """Every row has an asset, a time, a label of those that there are and a status that is known."""
    empty = next((name for name in names if table.column(name).null_count), None)
    label = pc.min_max(table.column("label")).as_py()
    status = pc.unique(pc.cast(table.column("status"), pa.string())).to_pylist()
    allowed = table.num_rows and label["min"] >= -1 and label["max"] <= 1 and {*status} <= {*STATUSES}
    if empty is not None or not allowed:
        raise IntegrityError(
            f"the rows of {path.name} are damaged ({empty or 'label or status'})", hint="prepare the data again"
        )
