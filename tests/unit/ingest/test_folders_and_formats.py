"""Folders and patterns as one source, and files other than CSV and Parquet."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from ml.cleaning.time_range import TimeRange
from ml.errors import DataError, EagleError, IsolationError, MissingLibraryError
from ml.ingest.inputs import prepared_data, refuse_foreign_source
from ml.ingest.prepare import prepare
from ml.ingest.sources import other_files
from ml.ingest.sources.files import open_file
from ml.workspace.paths import OrganizationPaths
from tests.unit.ingest.histories import config, raw_history


def whole(tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "whole.csv"
    raw_history().to_csv(path, index=False)
    return prepare(config(path)).frame


def by_machine(folder: Path) -> Path:
    """One file per machine, which names it; the columns of each in an order of its own."""
    folder.mkdir()
    for number, (machine, rows) in enumerate(raw_history().groupby("machine")):
        rows = rows.drop(columns="machine")
        rows[rows.columns[:: -1 if number else 1]].to_csv(folder / f"pump_{machine}.csv", index=False)
    return folder


def in_parts(folder: Path) -> Path:
    folder.mkdir()
    history = raw_history()
    history[:300].to_csv(folder / "part_1.csv", index=False)
    history[300:].to_parquet(folder / "part_2.parquet")
    (folder / ".hidden.csv").write_text("no\n")
    (folder / "readme.md").write_text("no\n")
    (folder / "older").mkdir()
    return folder


def test_a_folder_is_read_as_one_file_would_be(tmp_path: Path) -> None:
    found = prepare(config(in_parts(tmp_path / "data [1]"))).frame
    pd.testing.assert_frame_equal(found, whole(tmp_path))


@pytest.mark.parametrize("pattern", ["pump_{asset}.csv", "pump_{asset}"])
@pytest.mark.parametrize("path", ["data", "data/pump_*.csv", "data/pump_P-[12].csv"])
def test_files_may_be_named_after_their_machines(pattern: str, path: str, tmp_path: Path) -> None:
    by_machine(tmp_path / "data")
    found = prepare(config(tmp_path / path, layoutConfig={"assetFromFileName": pattern})).frame
    pd.testing.assert_frame_equal(found, whole(tmp_path))


def test_one_file_may_be_named_after_its_machine(tmp_path: Path) -> None:
    by_machine(tmp_path / "data")
    settings = config(tmp_path / "data/pump_P-1.csv", layoutConfig={"assetFromFileName": "pump_{asset}"})
    assert set(prepare(settings).frame["asset_id"]) == {"P-1"}


def test_files_that_differ_in_their_columns_are_refused(tmp_path: Path) -> None:
    folder = in_parts(tmp_path / "data")
    raw_history().rename(columns={"remark": "Remark"}).to_csv(folder / "part_3.csv", index=False)
    with pytest.raises(DataError) as refused:
        prepare(config(folder))
    assert refused.value.message == 'the file part_3.csv has no column "remark", and the file part_1.csv has'


@pytest.mark.parametrize(
    ("path", "pattern", "message"),
    [
        ("empty", None, "the folder empty has no file of readings"),
        ("data/*.tsv", None, r"the pattern \*.tsv has no file of readings"),
        ("data/*", None, "readme.md, of the pattern"),
        ("data", "pump_{asset}", "name of the file part_1.csv does not fit assetFromFileName"),
        ("nowhere/*.csv", None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_source_is_refused(path: str, pattern: str | None, message: str, tmp_path: Path) -> None:
    in_parts(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    layout = {} if pattern is None else {"assetFromFileName": pattern}
    asset = {} if pattern is None else {"assetColumn": "other"}
    with pytest.raises(DataError, match=message):
        prepare(config(tmp_path / path, layoutConfig=layout, schemaConfig=asset))


def test_a_name_for_machines_that_the_files_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='has a column "machine"'):
        prepare(config(in_parts(tmp_path / "data"), layoutConfig={"assetFromFileName": "part_{asset}"}))


class TestIsolation:
    def paths(self, tmp_path: Path) -> OrganizationPaths:
        return OrganizationPaths("plant_a", root=tmp_path / "workspace")

    @pytest.mark.parametrize("path", ["", "*.csv", "absent_*.csv"])
    def test_a_folder_of_another_organisation_is_foreign_whatever_is_in_it(self, path: str, tmp_path: Path) -> None:
        other = tmp_path / "workspace/artifacts/plant_b/v1"
        other.mkdir(parents=True)
        with pytest.raises(IsolationError):
            refuse_foreign_source(config(other / path), self.paths(tmp_path))

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    def test_a_file_with_a_second_name_is_refused(self, link: object, tmp_path: Path) -> None:
        folder = in_parts(tmp_path / "data")
        secret = tmp_path / "other.csv"
        raw_history().to_csv(secret, index=False)
        link(secret, folder / "part_0.csv")  # type: ignore[operator]
        with pytest.raises(IsolationError):
            refuse_foreign_source(config(folder), self.paths(tmp_path))
        with pytest.raises(IsolationError):
            prepare(config(folder))

    @pytest.mark.parametrize("path", ["a\0b/*.csv", "*" * 5000, "x" * 5000])
    def test_hostile_names_are_refused_in_words(self, path: str, tmp_path: Path) -> None:
        with pytest.raises(EagleError):
            refuse_foreign_source(config(tmp_path / path), self.paths(tmp_path))

    def test_any_change_of_a_file_prepares_the_data_again(self, tmp_path: Path) -> None:
        folder, paths = in_parts(tmp_path / "data"), self.paths(tmp_path)
        settings = config(folder)
        first = prepared_data(settings, paths)
        assert prepared_data(settings, paths).digest == first.digest
        raw_history().tail(20).assign(machine="P-3").to_csv(folder / "part_3.csv", index=False)
        assert "P-3" in set(prepared_data(settings, paths).data.frame["asset_id"])
        (folder / "part_3.csv").rename(folder / "part_0.csv")
        assert "P-3" in set(prepared_data(settings, paths).data.frame["asset_id"])
        (folder / "part_0.csv").unlink()
        assert "P-3" not in set(prepared_data(settings, paths).data.frame["asset_id"])


def zipped(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def json_lines(frame: pd.DataFrame) -> str:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return "\n".join(json.dumps({key: value for key, value in row.items() if value is not None}) for row in rows)


class TestFormats:
    def test_a_zip_archive_with_one_csv(self, tmp_path: Path) -> None:
        content = raw_history().to_csv(index=False).encode()
        path = zipped(tmp_path / "a.zip", ("export/../../etc/data.csv", content), ("__MACOSX/x", b"1"))
        pd.testing.assert_frame_equal(prepare(config(path)).frame, whole(tmp_path))

    def test_tabs_and_json_lines(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(other_files, "_BLOCK_BYTES", 5000)
        expected = whole(tmp_path)
        raw_history().to_csv(tmp_path / "a.tsv", sep="\t", index=False)
        (tmp_path / "a.jsonl").write_text(json_lines(raw_history()))
        for name in ("a.tsv", "a.jsonl"):
            pd.testing.assert_frame_equal(prepare(config(tmp_path / name)).frame, expected)

    def test_keys_that_come_late_and_types_that_change_between_blocks_are_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(other_files, "_BLOCK_BYTES", 60)
        lines = ['{"time": "2024-01-01T00:00:00", "a": 1}', '{"a": 2.5, "time": "2024-01-02"}', "", '{"time": "x"}']
        (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
        source = open_file(tmp_path / "a.jsonl", organization_id="plant_a")
        batches = source.read(["time", "a"], time_column="time", within=TimeRange())
        found = [row for batch in batches for row in batch.to_pylist()]
        assert found == [
            {"time": "2024-01-01T00:00:00", "a": 1},
            {"time": "2024-01-02", "a": 2.5},
            {"time": "x", "a": None},
        ]

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.zip", b"no archive", "cannot be read as zip"),
            ("a.jsonl", b"", "is empty"),
            ("a.jsonl", b'{"a": 1}\n{"a": "x"}\n', "cannot be read as JSON lines in the lines from 1 on"),
            ("a.jsonl", b'{"\xba": 1}\n', "cannot be read as JSON lines"),
            ("a.jsonl", b'[{"a": 1}]\n', "cannot be read as JSON lines"),
            ("a.jsonl", b'{"a": ' + b"[" * 5000 + b"\n", "cannot be read as JSON lines"),
            ("a.xls", b"", "is no file of readings"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, name: str, content: bytes, message: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=message):
            open_file(tmp_path / name, organization_id="plant_a")

    @pytest.mark.parametrize(
        ("members", "message"),
        [
            ([], "holds 0 files"),
            ([("a.csv", b"a\n1\n"), ("b.csv", b"a\n1\n")], "holds 2 files"),
            ([("a.exe", b"a\n1\n")], "which is no CSV"),
        ],
    )
    def test_an_archive_of_anything_else_is_refused(
        self, members: list[tuple[str, bytes]], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match=message):
            open_file(zipped(tmp_path / "a.zip", *members), organization_id="plant_a")

    def test_an_archive_that_would_be_too_large_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(other_files, "_MOST_ARCHIVED_BYTES", 1 << 20)
        with pytest.raises(DataError, match="holds 0 GB"):
            open_file(zipped(tmp_path / "a.zip", ("a.csv", b"a\n" * (1 << 20))), organization_id="plant_a")

    def test_a_damaged_archive_is_refused_while_it_is_read(self, tmp_path: Path) -> None:
        path = zipped(tmp_path / "a.zip", ("a.csv", raw_history().to_csv(index=False).encode()))
        content = bytearray(path.read_bytes())
        content[2000:2010] = bytes(10)
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.zip"):
            prepare(config(path))


def workbook(path: Path, *sheets: pd.DataFrame | None, far: str | None = None) -> Path:
    """A workbook; None is an empty sheet, and `far` a cell of the last one with a number."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for frame in sheets:
        sheet = book.create_sheet()
        rows = [] if frame is None else [list(frame.columns), *frame.astype(object).to_numpy().tolist()]
        for row in rows:
            sheet.append([None if pd.isna(cell) else cell for cell in row])
        if far is not None:
            sheet[far] = 2
    book.save(path)
    return path


class TestExcel:
    def test_a_workbook_is_read(self, tmp_path: Path) -> None:
        history = raw_history()
        history["timestamp"] = pd.to_datetime(history["timestamp"])
        path = workbook(tmp_path / "a.xlsx", None, history)
        pd.testing.assert_frame_equal(prepare(config(path)).frame, whole(tmp_path))

    @pytest.mark.parametrize(
        ("sheets", "message"),
        [
            ([None], "has 0 sheets with rows"),
            ([raw_history().head(3), raw_history().head(3)], "has 2 sheets with rows"),
            ([raw_history().head(3).rename(columns={"remark": "volume"})], 'has the column "volume" more than once'),
        ],
    )
    def test_a_workbook_without_one_table_is_refused(
        self, sheets: list[pd.DataFrame | None], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(DataError, match=message):
            open_file(workbook(tmp_path / "a.xlsx", *sheets), organization_id="plant_a")

    def test_a_damaged_or_huge_workbook_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a.xlsx").write_bytes(b"none")
        with pytest.raises(DataError, match="cannot be read as a workbook"):
            open_file(tmp_path / "a.xlsx", organization_id="plant_a")
        monkeypatch.setattr(other_files, "_MOST_WORKBOOK_BYTES", 1000)
        with pytest.raises(DataError, match="holds 0 MB"):
            open_file(workbook(tmp_path / "a.xlsx", raw_history().head(3)), organization_id="plant_a")

    def test_cells_far_apart_need_no_memory_for_what_lies_between(self, tmp_path: Path) -> None:
        path = workbook(tmp_path / "a.xlsx", raw_history().head(3), far="XFD1048576")
        source = open_file(path, organization_id="plant_a")
        rows = [batch.num_rows for batch in source.read(["remark"], time_column="remark", within=TimeRange())]
        assert rows == [4]

    def test_without_the_library_it_is_told_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "openpyxl", None)
        (tmp_path / "a.xlsx").write_bytes(b"")
        with pytest.raises(MissingLibraryError) as refused:
            open_file(tmp_path / "a.xlsx", organization_id="plant_a")
        assert "eagle-ml[excel]" in str(refused.value.hint)


def test_only_the_wanted_columns_of_an_archive_are_read(tmp_path: Path) -> None:
    source = open_file(zipped(tmp_path / "a.zip", ("a.csv", b"a,b\n1,2\n")), organization_id="plant_a")
    batches = list(source.read(["b"], time_column="b", within=TimeRange()))
    assert [batch.to_pylist() for batch in batches] == [[{"b": "2"}]]
