"""A quotation mark that nobody closes takes every row after it into one cell; that is no shorter history."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.ingest.sources.files import open_file

ROWS = [f"P{number % 2},2024-01-{number:02d} 01:00,pump" for number in range(1, 20)]


def rows_of(folder: Path, lines: list[str], columns: list[str], end: str = "\n") -> int:
    file = folder / "list.csv"
    file.write_text(end.join(["machine,time,kind", *lines, ""]), newline="")
    source = open_file(file, organization_id="o")
    return sum(batch.num_rows for batch in source.read(columns, time_column="time", within=TimeRange()))


@pytest.mark.parametrize("columns", [["machine"], ["kind", "time"]])
@pytest.mark.parametrize("place", [0, 9, 17])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_is_refused_wherever_it_stands_and_whatever_is_read(
    columns: list[str], place: int, end: str, tmp_path: Path
) -> None:
    lines = [*ROWS]
    lines[place] = lines[place].replace("pump", '"pump')
    with pytest.raises(DataError, match="quotation mark"):
        rows_of(tmp_path, lines, columns, end)


@pytest.mark.parametrize("cell", ['"two\nlines"', '"a ""quoted"" word\nand more"', '5" pipe'])
def test_cells_of_several_lines_and_marks_within_words_are_no_fault(cell: str, tmp_path: Path) -> None:
    lines = [*ROWS[:-1], ROWS[-1].replace("pump", cell)]
    assert rows_of(tmp_path, lines, ["machine"]) == len(ROWS)
