from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from ml.errors import DataError, StorageError
from ml.scada.parquet_output import ParquetOutput

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


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (None, StorageError, r"rows\.parquet cannot be written: the disk is full"),
        (DataError("bad row"), DataError, "bad row"),
    ],
    ids=["the end of a good block", "the block's own failure"],
)
def test_a_disk_that_is_full_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception | None, expected: type[Exception], words: str
) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.close", full)
    with pytest.raises(expected, match=words), ParquetOutput(tmp_path / "rows.parquet", ROWS.schema, 2) as output:
        output.write(ROWS)
        if raised is not None:
            raise raised
