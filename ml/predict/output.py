"""Scored rows written as they come, to Parquet or CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

SUFFIXES = (".parquet", ".csv")
"""Kinds of output, by the end of the file's name."""

_ASSET = pa.field("asset_id", pa.string())
_ISO = "%Y-%m-%dT%H:%M:%SZ"  # grid instants are whole seconds
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection"), also behind white space and in full
# width; a number is no formula.
_FORMULA = r"^[\s\p{Z}\p{C}]*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"


@contextmanager
def score_writer(file: Path, score_name: str = "probability") -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends scored rows to `file`, in the format that its name asks for.

    The columns are ``asset_id``, ``timestamp`` (UTC; ISO 8601 to the second in CSV), ``probability`` (float32; CSV
    holds the shortest decimal that reads back as the same float32; empty while the machine is off) and ``label`` (0 or
    1). A score that is no probability has a column of its own name, `score_name`.

    In CSV an asset id that a spreadsheet would take for a formula has an apostrophe before it, so that opening the file
    runs nothing; Parquet holds every id as it is.
    """
    schema = pa.schema(
        [
            _ASSET,
            ("timestamp", pa.timestamp("us", tz="UTC")),
            (score_name, pa.float32()),
            ("label", pa.int8()),
        ]
    )

    def table(rows: pd.DataFrame) -> pa.Table:
        return pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)

    if file.suffix == ".parquet":
        with pq.ParquetWriter(file, schema, compression="zstd") as parquet:
            yield lambda rows: parquet.write_table(table(rows))
        return
    with pyarrow.csv.CSVWriter(file, schema.set(1, pa.field("timestamp", pa.string()))) as text:
        yield lambda rows: text.write_table(_without_formulas(_with_iso_times(table(rows))))


def _without_formulas(table: pa.Table) -> pa.Table:
    assets = table["asset_id"]
    runs = pc.and_not(pc.match_substring_regex(assets, _FORMULA), pc.match_substring_regex(assets, _NUMBER))
    neutral = pc.if_else(runs, pc.binary_join_element_wise("'", assets, ""), assets)
    return table.set_column(0, _ASSET, neutral)


def _with_iso_times(table: pa.Table) -> pa.Table:
    seconds = pc.cast(table["timestamp"], pa.timestamp("s", tz="UTC"))  # else %S would have a fraction
    return table.set_column(1, pa.field("timestamp", pa.string()), pc.strftime(seconds, format=_ISO))
