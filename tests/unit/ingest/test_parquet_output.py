from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ml.errors import DataError, StorageError
from ml.ingest.prepared.parquet_output import ParquetOutput

ROWS = pa.table({"value": [1.0, 2.0, 3.0]})


def test_tables_and_batches_become_row_groups_of_at_most_the_given_size(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with ParquetOutput(path, ROWS.schema, 2, compression="zstd") as output:
        output.write(ROWS)
        output.write(ROWS.to_batches()[0])
        output.describe({b"of": b"whom"})
    written = pyarrow.parquet.ParquetFile(path)
    assert written.read().to_pydict() == {"value": [1.0, 2.0, 3.0] * 2}
    assert [written.metadata.row_group(number).num_rows for number in range(written.num_row_groups)] == [2, 1, 2, 1]
    assert written.metadata.metadata[b"of"] == b"whom"


@pytest.fixture
def full_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        monkeypatch.undo()  # the library closes the file once more when it forgets it
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.close", full)


def write(path: Path, failure: Exception | None = None) -> None:
    with ParquetOutput(path, ROWS.schema, 2) as output:
        output.write(ROWS)
        if failure is not None:
            raise failure


@pytest.mark.usefixtures("full_at_the_end")
def test_a_disk_that_is_full_at_the_end_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"rows\.parquet cannot be written: the disk is full"):
        write(tmp_path / "rows.parquet")


@pytest.mark.usefixtures("full_at_the_end")
def test_what_ended_the_block_is_told_rather_than_that_the_file_could_not_be_closed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="bad row"):
        write(tmp_path / "rows.parquet", DataError("bad row"))
