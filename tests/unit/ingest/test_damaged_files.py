"""Files that are damaged, endless or made to be: refused in words, in bounded time and memory."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from ml.cleaning import clock
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import DataError, IntegrityError
from ml.ingest.prepare import prepare
from ml.ingest.prepared.fingerprint import METADATA_KEY, read_fingerprint
from ml.ingest.sources.base import Source
from ml.ingest.sources.files import CsvSource, ParquetSource

CSV = "time,x,asset\n" + "".join(f"2024-01-01T{hour:02d}:00:00Z,{hour},pump\n" for hour in range(24)) * 40
LIMIT_SECONDS = 10.0  # of CPU, beside other tests; what was endless took minutes


def read_all(source: Source, *columns: str) -> int:
    return sum(batch.num_rows for batch in source.read(columns, time_column=columns[0], within=TimeRange()))


def configured(path: Path, **schema: str) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": {"timestampColumn": "time", "continuousColumns": ["x"], "targetColumn": "target", **schema},
            "dataConfig": {"samplingIntervalSeconds": 1},
            "dataSource": {"path": str(path)},
        }
    )


def refused_quickly(path: Path, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(DataError, match=reason):
        read_all((CsvSource if ".csv" in path.name else ParquetSource)(path), "time", "x", "asset")
    assert time.process_time() - started < LIMIT_SECONDS


@pytest.mark.parametrize("place", [10, 0.2, 0.5, 0.9, -5])
def test_a_gzip_file_with_flipped_bits(tmp_path: Path, place: float) -> None:
    content = bytearray(gzip.compress(CSV.encode()))
    content[int(place if isinstance(place, int) else place * len(content))] ^= 0xFF
    (tmp_path / "a.csv.gz").write_bytes(content)
    refused_quickly(tmp_path / "a.csv.gz", r"the file a\.csv\.gz")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f'"{"x" * 200_000}",{CSV}', "cannot be read: field larger"),
        ("x" * 5_000_000, "no end of the line in 4,194,304 characters at line 1"),
        (CSV + "x" * 5_000_000, "no end of the line in 4,194,304 characters"),
        (",".join(f"c{number}" for number in range(100_000)) + "\n", "100,000 columns; up to 10,000"),
        (",".join(["c"] * 9_000) + "\n", "more than once"),
        ("\0" * 5_000_000, "zero bytes"),
    ],
)
def test_a_header_or_line_that_is_none(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    refused_quickly(tmp_path / "a.csv", reason)
    with gzip.open(tmp_path / "a.csv.gz", "wt", compresslevel=1) as file:
        file.write(content)
    refused_quickly(tmp_path / "a.csv.gz", reason)


def test_a_small_parquet_file_of_one_long_name(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.parquet", 65_536
    name = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 60_000]))
    columns = {"time": np.arange(rows), "x": np.zeros(rows), "asset": name}
    pyarrow.parquet.write_table(pa.table(columns), path, compression="zstd")
    assert path.stat().st_size < 800_000
    before = pa.total_allocated_bytes()
    refused_quickly(path, 'holds 3,750 MB of text in 65,536 rows of the column "asset"')
    assert pa.default_memory_pool().max_memory() - before < 300 << 20


def test_a_parquet_file_of_too_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pa.table({f"c{number}": [1] for number in range(10_001)}), path)
    refused_quickly(path, "10,001 columns")


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_texts_of_every_kind_come_through(tmp_path: Path, kind: str) -> None:
    names = pa.array(["a", None, "b"] * 3)
    types = {"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view()}
    column = names.dictionary_encode() if kind == "dictionary" else names.cast(types[kind])
    frame = pa.table({"time": pa.array(range(1_700_000_000, 1_700_000_009)), "asset": column, "x": [1.0] * 9})
    pyarrow.parquet.write_table(frame.append_column("target", [[0.0] * 9]), tmp_path / "a.parquet")
    prepared = prepare(configured(tmp_path / "a.parquet", assetColumn="asset"))
    assert set(prepared.frame["asset_id"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (pa.timestamp("s", tz="UTC"), 2**40),
        (pa.timestamp("s"), 2**62),
        (pa.timestamp("ms"), -(2**62)),
        (pa.timestamp("us", tz="UTC"), 2**63 - 1),
        (pa.timestamp("ns"), 2**63 - 1),
        (pa.date32(), 2**31 - 1),
        (pa.date64(), 2**62 // 86_400_000 * 86_400_000),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_times_beyond_any_calendar_are_unreadable(kind: pa.DataType, number: int, zone: str) -> None:
    raw = pa.array([number, 0, None], pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    found = clock.to_microseconds(raw, zone, "time").tolist()
    assert found[0] == found[2] == clock.UNREADABLE
    assert abs(found[1]) <= 3_600_000_000


def test_nothing_but_such_times_is_told(tmp_path: Path) -> None:
    frame = pa.table({"time": pa.array([2**40] * 3, pa.timestamp("s", tz="UTC")), "x": [1.0] * 3, "target": [0.0] * 3})
    pyarrow.parquet.write_table(frame, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"can be read as a time \(such as '1099511627776000'\)"):
        prepare(configured(tmp_path / "a.parquet"))


GOOD = {
    "formatVersion": 2, "organizationId": "plant_a", "interval": 60, "maxGap": 600, "ownGaps": {}, "horizon": 0,
    "configDigest": "x", "sensors": ["a"], "summary": {"rows": 3},
}  # fmt: skip
DAMAGED = {
    "a list": "[]",
    "nested": "[" * 200_000,
    "nested summary": json.dumps(GOOD).replace('{"rows": 3}', '{"rows": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "infinite": json.dumps(GOOD).replace("60,", "1e999,"),
    "infinite summary": json.dumps(GOOD).replace("3}", "-1e999}"),
    "not a number": json.dumps(GOOD).replace("3}", "NaN}"),
    "many digits": json.dumps(GOOD).replace("60,", "9" * 5000 + ","),
    **{f"{key}: {value!r}": json.dumps({**GOOD, key: value}) for key, value in [
        ("interval", -1), ("interval", 0), ("interval", 10**12), ("interval", 1.5), ("maxGap", 0), ("maxGap", None),
        ("ownGaps", {"a": 0}), ("ownGaps", []),
        ("horizon", -1), ("organizationId", "../x"), ("organizationId", 1), ("sensors", "abc"), ("sensors", [1]),
        ("summary", {"findings": 1}), ("summary", {"findings": [{"code": 1, "message": "x"}]}),
        ("summary", {"findings": [{}]}), ("summary", []),
        ("formatVersion", 1), ("formatVersion", "2"), ("formatVersion", None), ("more", 1),
    ]},
    **{f"without {key}": json.dumps({name: value for name, value in GOOD.items() if name != key}) for key in GOOD},
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_fingerprint(tmp_path: Path, case: str) -> None:
    path = tmp_path / "a.parquet"
    table = pa.Table.from_pandas(pd.DataFrame({"time": [1]}))
    pyarrow.parquet.write_table(table.replace_schema_metadata({METADATA_KEY: DAMAGED[case].encode()}), path)
    with pytest.raises(IntegrityError, match=r"damaged|format"):
        read_fingerprint(path)
    pyarrow.parquet.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(GOOD).encode()}), path)
    fingerprint = read_fingerprint(path)
    assert fingerprint is not None
    assert fingerprint.to_metadata() == {METADATA_KEY: json.dumps(GOOD, sort_keys=True, separators=(",", ":")).encode()}


def test_a_text_that_is_no_text_is_a_damaged_file(tmp_path: Path) -> None:
    broken = pa.array([b"A", b"\xff\xfe"] * 5).view(pa.string())  # what a flipped bit leaves; Arrow believes the type
    table = pa.table({"time": pa.array(range(1_700_000_000, 1_700_000_010)), "asset": broken, "x": [1.0] * 10})
    pyarrow.parquet.write_table(table.append_column("target", [[0.0] * 10]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="UTF8"):
        prepare(configured(tmp_path / "a.parquet", assetColumn="asset"))
