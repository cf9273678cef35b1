"""One row per value, read as one row per instant: equal to the wide table that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, EagleError, MissingColumnError, NoRowsError
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
from ml.ingest.sources import open_source
from ml.ingest.sources.base import Source
from ml.ingest.sources.layouts import long_form
from ml.ingest.sources.layouts.long_form import LongSource
from ml.options.layout import LayoutConfig
from tests.unit.ingest.histories import config, raw_history, to_sqlite

TAGS = ["temperature", "volume", "alarm_active", "failure_indicator"]
LONG = {"layout": "long", "tagColumn": "tag", "valueColumn": "value"}
NAMED_TARGET = {"targetColumn": "failure_indicator"}


def melted(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per value, in order of time."""
    keys = ["timestamp", "machine"]
    return (
        frame.melt(id_vars=keys, value_vars=TAGS, var_name="tag")
        .dropna()
        .sort_values(keys, kind="stable", ignore_index=True)
    )


def written(frame: pd.DataFrame, folder: Path, kind: str) -> Path:
    path = folder / f"long{kind}"
    if kind == ".db":
        return to_sqlite(frame, path)
    if kind == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    return path


def wide(tmp_path: Path) -> Prepared:
    return prepare(config(written(raw_history(), tmp_path, "_wide.csv")))


def told(prepared: Prepared) -> list[str]:
    return [finding["code"] for finding in prepared.summary["findings"]]


@pytest.mark.parametrize("kind", [".csv", ".parquet", ".db"])
@pytest.mark.parametrize("order", ["time", "tag", "any"])
def test_a_long_table_gives_the_rows_of_the_wide_one(
    kind: str, order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_form, "_BATCH_ROWS", 100)
    monkeypatch.setattr(long_form, "_PIECE_ROWS", 350)
    long = melted(raw_history())
    if order == "tag":
        long = long.sort_values("tag", kind="stable")
    elif order == "any":
        long = long.sample(frac=1, random_state=1)
    settings = config(written(long, tmp_path, kind), layoutConfig=LONG, schemaConfig=NAMED_TARGET)
    expected, found = wide(tmp_path), prepare(settings, slices=tmp_path / "slices")
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert told(found) == told(expected)
    again = prepare(settings, slices=tmp_path / "slices")
    pd.testing.assert_frame_equal(again.frame, expected.frame)


def test_tags_may_hold_the_machine_and_be_mapped(tmp_path: Path) -> None:
    long = melted(raw_history())
    long["tag"] = long.pop("machine") + "." + long["tag"].replace("temperature", "TI.101") + ".PV"
    settings = config(
        written(long, tmp_path, ".csv"),
        layoutConfig={**LONG, "tagPattern": "{asset}.{tag}.PV"},
        schemaConfig={**NAMED_TARGET, "columnMapping": {"TI.101": "temperature"}, "assetColumn": None},
    )
    assert settings.schema_config.asset_column == "asset"
    pd.testing.assert_frame_equal(prepare(settings).frame, wide(tmp_path).frame)


def test_values_of_bad_quality_are_missing_and_counted(tmp_path: Path) -> None:
    history, long = raw_history(), melted(raw_history())
    bad = (long["tag"] == "temperature") & (long.index % 3 == 0)
    long["quality"] = np.where(bad, "24", np.where(long.index % 2 == 0, "192", "192.0"))
    long.loc[long.index[-1], "quality"] = None
    masked = long.loc[bad, ["timestamp", "machine"]].merge(history.reset_index(), how="left")["index"]
    history.loc[masked, "temperature"] = np.nan
    last = (history["timestamp"] == long["timestamp"].iloc[-1]) & (history["machine"] == long["machine"].iloc[-1])
    history[TAGS] = history[TAGS].astype(float)
    history.loc[last, long["tag"].iloc[-1]] = np.nan
    expected = prepare(config(written(history, tmp_path, "_wide.csv")))
    layout = {**LONG, "qualityColumn": "quality", "acceptedQuality": [192]}
    found = prepare(config(written(long, tmp_path, ".csv"), layoutConfig=layout, schemaConfig=NAMED_TARGET))
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    message = next(each["message"] for each in found.summary["findings"] if each["code"] == "BAD_QUALITY")
    assert f"{int(bad.sum()) + 1:,} of {len(long):,} values" in message
    assert f'"24" {int(bad.sum()):,} times' in message


def test_words_and_unreadable_values_are_what_they_are_in_a_wide_table(tmp_path: Path) -> None:
    history = raw_history().astype(object)
    history.loc[5, "temperature"] = "warm"
    history.loc[6, "temperature"] = "Bad"
    history["alarm_active"] = history["alarm_active"].map({0: "off", 1: "ON"})
    history["failure_indicator"] = history["failure_indicator"].map({0: "false", 1: "true"})
    expected = prepare(config(written(history, tmp_path, "_wide.csv")))
    found = prepare(config(written(melted(history), tmp_path, ".csv"), layoutConfig=LONG, schemaConfig=NAMED_TARGET))
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert told(found) == told(expected)
    assert any("temperature has 1 value that cannot be read" in each for each in found.summary["verdict"])
    assert found.summary["nullValues"] == {"temperature": 1}


def test_two_values_in_one_cell_disagree_as_rows_do(tmp_path: Path) -> None:
    long = melted(raw_history())
    more = long[long["tag"] == "temperature"].head(3)
    found = prepare(
        config(
            written(pd.concat([more.assign(value=1.0), long]), tmp_path, ".csv"),
            layoutConfig=LONG,
            schemaConfig=NAMED_TARGET,
        )
    )
    pd.testing.assert_frame_equal(found.frame, wide(tmp_path).frame)
    assert "ROWS_DISAGREE" in told(found)


def test_a_tag_without_a_row_is_told_with_the_tags_that_nothing_names(tmp_path: Path) -> None:
    long = melted(raw_history()).replace("temperature", "TEMP")
    found = prepare(config(written(long, tmp_path, ".csv"), layoutConfig=LONG, schemaConfig=NAMED_TARGET))
    finding = next(each for each in found.summary["findings"] if each["code"] == "TAGS_ABSENT")
    assert '"temperature"' in finding["message"]
    assert 'Tags that nothing names: "TEMP"' in finding["message"]


@pytest.mark.parametrize(
    ("change", "layout", "error", "message"),
    [
        ({}, {"tagColumn": "tagg"}, MissingColumnError, 'no column "tagg"'),
        ({"tag": "x"}, {}, DataError, "has no row of a configured tag"),
        (
            {"quality": "bad"},
            {"qualityColumn": "quality", "acceptedQuality": ["good"]},
            DataError,
            'no value of the file long.csv has an accepted quality: it holds "bad"',
        ),
        ({}, {"tagPattern": "{asset}/{tag}"}, DataError, "do not fit tagPattern"),
    ],
)
def test_what_gives_nothing_is_refused(
    change: dict[str, Any], layout: dict[str, Any], error: type[EagleError], message: str, tmp_path: Path
) -> None:
    path = written(melted(raw_history()).assign(**change), tmp_path, ".csv")
    asset = {"assetColumn": "asset"} if "tagPattern" in layout else {}
    with pytest.raises(error, match=message):
        prepare(config(path, layoutConfig={**LONG, **layout}, schemaConfig={**NAMED_TARGET, **asset}))


def test_machines_that_no_column_tells_apart_are_found(tmp_path: Path) -> None:
    path = written(melted(raw_history()), tmp_path, ".csv")
    with pytest.raises(DataError, match='the column "machine" tells them apart'):
        prepare(config(path, layoutConfig=LONG, schemaConfig={**NAMED_TARGET, "assetColumn": None}))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"layout": "long", "tagColumn": "t"}, "needs valueColumn"),
        ({"tagColumn": "t"}, 'tagColumn needs layout "long"'),
        ({**LONG, "qualityColumn": "q"}, "go together"),
        ({**LONG, "tagPattern": "{asset}{tag}"}, "needs a mark between"),
        ({**LONG, "tagPattern": "{tag}"}, r"must hold \{asset\} exactly once"),
        ({**LONG, "tagPattern": "{asset}.{tag}.{unit}"}, "may hold nothing in braces but"),
        ({"assetFromFileName": "pump.csv"}, r"must hold \{asset\} exactly once"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(layout: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path / "a.csv", layoutConfig=layout)


class Table(Source):
    """Rows in memory, in batches of some rows each."""

    where = "the table"

    def __init__(self, table: pa.Table, rows: int) -> None:
        self._table, self._rows = table, rows

    def columns(self) -> list[str]:
        return list(self._table.schema.names)

    def row_count(self) -> int | None:
        return None

    def read(self, columns: Any, *, time_column: str, within: TimeRange) -> Any:
        del time_column, within
        return iter(self._table.select(columns).to_batches(max_chunksize=self._rows))


VALUES = st.none() | st.floats(allow_nan=False, width=32)
ROWS = st.lists(
    st.tuples(st.sampled_from(["A", "B", None]), st.integers(0, 4), st.sampled_from(["x", "y", "z", None]), VALUES),
    min_size=1,
    max_size=40,
)


@given(rows=ROWS, batch=st.integers(1, 9), piece=st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_cells_are_those_of_a_pivot_by_hand(rows: list[tuple[Any, ...]], batch: int, piece: int) -> None:
    expected: dict[tuple[Any, int], dict[str, float]] = {}
    for asset, time, tag, value in rows:
        if tag in ("x", "y"):
            cells = expected.setdefault((asset, time), {})
            if value is not None:
                cells[tag] = value
    table = pa.table(
        {
            "asset": pa.array([row[0] for row in rows], pa.string()),
            "time": pa.array([row[1] for row in rows], pa.int64()),
            "tag": pa.array([row[2] for row in rows], pa.string()),
            "value": pa.array([row[3] for row in rows], pa.float64()),
        }
    )
    layout = LayoutConfig.model_validate(LONG)
    source = LongSource(Table(table, batch), layout, ["x", "y"], None)
    found: dict[tuple[Any, int], dict[str, float]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_form, "_BATCH_ROWS", piece)
        patch.setattr(long_form, "_PIECE_ROWS", piece)
        try:
            for each in source.read(["time", "asset", "x", "y"], time_column="time", within=TimeRange()):
                for row in each.to_pylist():
                    cells = found.setdefault((row["asset"], row["time"]), {})
                    cells.update({tag: row[tag] for tag in ("x", "y") if row[tag] is not None})
        except DataError:
            assert not expected
    assert found == expected


def test_a_file_named_on_the_command_line_has_the_same_layout(tmp_path: Path) -> None:
    path = written(melted(raw_history()), tmp_path, ".csv")
    settings = config(tmp_path / "absent.csv", layoutConfig=LONG, schemaConfig=NAMED_TARGET)
    pd.testing.assert_frame_equal(prepare(settings, source_path=path).frame, wide(tmp_path).frame)


def test_the_layout_makes_other_prepared_data_and_none_is_what_it_was(tmp_path: Path) -> None:
    plain = config(tmp_path / "a.csv")
    digests = {plain.settings_digest(), config(tmp_path / "a.csv", layoutConfig=LONG).settings_digest()}
    assert len(digests) == 2
    assert plain.layout_config == LayoutConfig()
    assert OrganizationConfig.from_dict(plain.to_dict()).settings_digest() == plain.settings_digest()
    assert open_source(config(written(raw_history(), tmp_path, ".csv"))).told() == []


def test_a_database_is_asked_for_the_named_tags_alone(tmp_path: Path) -> None:
    long = melted(raw_history())
    other = long.assign(tag="other" + long["tag"])
    path = written(pd.concat([long, other]), tmp_path, ".db")
    settings = config(path, layoutConfig=LONG, schemaConfig=NAMED_TARGET)
    source = open_source(settings)
    assert isinstance(source, LongSource)
    assert source.base.row_count() == len(long)
    pd.testing.assert_frame_equal(prepare(settings, slices=tmp_path / "s").frame, wide(tmp_path).frame)
    added = {**NAMED_TARGET, "continuousColumns": ["temperature", "volume", "othervolume", "absent"]}
    found = prepare(config(path, layoutConfig=LONG, schemaConfig=added), slices=tmp_path / "s")
    assert found.frame["othervolume"].notna().sum() > 100
    message = next(each["message"] for each in found.summary["findings"] if each["code"] == "TAGS_ABSENT")
    assert '"othertemperature"' in message


def test_a_range_without_rows_is_no_fault_of_the_tags(tmp_path: Path) -> None:
    path = written(melted(raw_history()), tmp_path, ".db")
    late = {"startDate": "2025-01-01", "endDate": "2025-02-01"}
    with pytest.raises(NoRowsError, match="no usable rows from 2025"):
        prepare(config(path, layoutConfig=LONG, schemaConfig=NAMED_TARGET, dataRange=late), slices=tmp_path / "s")
    with pytest.raises(DataError, match=r"has no row of a configured tag.*failure_indicator"):
        prepare(
            config(
                path,
                layoutConfig=LONG,
                schemaConfig={
                    "continuousColumns": ["x"],
                    "booleanColumns": [],
                    "counterColumns": [],
                    "targetColumn": "y",
                },
            )
        )
