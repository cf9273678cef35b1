"""Times since failures and maintenance, as columns beside the sensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ConfigError, DataError, MissingColumnError
from ml.ingest.failures.since import MOST_SECONDS, SUMMARY_KEY, since_findings, times_since, with_event_inputs
from ml.ingest.prepare import prepare, prepare_to_file
from ml.ingest.prepared.data import read_prepared
from ml.ingest.prepared_csv import read_prepared_csv, write_prepared_csv
from tests.reference.failures import Event
from tests.unit.ingest.test_failure_lists import INTERVAL, START, codes_of, configured, write_events, write_readings

ROWS = 40
INPUTS = {
    "any_failure": ("failure",),
    "fan": ("failure:Fan",),
    "life": ("maintenance:fan", "failure:fan"),
    "oil": ("maintenance:oil ",),
}
Listed = tuple[str, str, int]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from(["failure:fan", "failure:belt", "maintenance:oil", "maintenance:fan", "maintenance"]),
        st.one_of(st.integers(-5, ROWS).map(lambda row: row * INTERVAL), st.integers(-9999, ROWS * INTERVAL)),
    ),
    max_size=8,
)


def grid() -> pd.DataFrame:
    seconds = np.tile(np.arange(ROWS) * INTERVAL, 2)
    return pd.DataFrame(
        {"asset_id": np.repeat(["a", "b"], ROWS), "timestamp": pd.to_datetime(seconds, unit="s", utc=True)}
    )


def found(events: list[Listed]) -> pd.DataFrame:
    table = pd.DataFrame(events, columns=["asset_id", "event", "seconds"])
    table["timestamp"] = pd.to_datetime(table.pop("seconds").astype("int64"), unit="s", utc=True)
    return pd.DataFrame(times_since(INPUTS, table, INTERVAL).columns(grid()))


def naive(events: list[Listed], name: str, asset: str, row: int) -> float:
    """By trying each event, from the definition."""
    best = np.nan
    for of, event, seconds in events:
        counted = event in [each.lower().strip() for each in INPUTS[name]]
        counted |= name == "any_failure" and event.startswith("failure:")
        own = -(-seconds // INTERVAL)
        if of == asset and counted and (own < row or (own == row and event.startswith("maintenance"))):
            best = np.fmin(best, (row - own) * INTERVAL)
    return float(best)


@settings(deadline=None)
@given(EVENTS)
def test_times_equal_the_naive_ones(events: list[Listed]) -> None:
    columns = found(events)
    for name in INPUTS:
        expected = [naive(events, name, asset, row) for asset in "ab" for row in range(ROWS)]
        np.testing.assert_array_equal(columns[name], expected)


@settings(deadline=None)
@given(EVENTS, st.integers(0, ROWS - 1))
def test_what_comes_later_changes_nothing_and_no_row_knows_of_its_own_failure(events: list[Listed], row: int) -> None:
    known = [
        each
        for each in events
        if each[2] <= (row - 1) * INTERVAL or (each[2] <= row * INTERVAL and each[1].startswith("maintenance"))
    ]
    until = (np.arange(2 * ROWS) % ROWS) <= row
    pd.testing.assert_frame_equal(found(events)[until], found(known)[until])


def test_times_beyond_ten_years_are_not_told_apart() -> None:
    assert found([("a", "maintenance:oil", -20 * 365 * 86_400)])["oil"].iloc[0] == np.float32(MOST_SECONDS)


def prepared_config(folder: Path, horizon: int = 3 * INTERVAL, **options: object):  # type: ignore[no-untyped-def]
    write_readings(folder, {"a": [INTERVAL * n for n in range(30) if n not in (7, 8, 9)]})
    write_events(
        folder, "events", [Event("a", 5 * INTERVAL - 60, None, "F1"), Event("a", 12 * INTERVAL, 15 * INTERVAL, "P")]
    )
    write_events(folder, "maintenance", [Event("a", -3 * INTERVAL, None, "oil"), Event("a", 8 * INTERVAL, None, "fan")])
    maintenance = {"resets": ["FAN", "gearbox"], "prevents": []}
    return configured(folder, horizon, maintenance=maintenance, modes={"fan": ["f1"]}, **options)  # type: ignore[arg-type]


def test_prepared_data_has_a_column_of_each_mode_and_kind_and_of_the_life_of_components(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    prepared = prepare(config)
    assert prepared.summary[SUMMARY_KEY] == {
        "since_failure": ["failure"],
        "since_failure_fan": ["failure:fan"],
        "since_failure_p": ["failure:p"],
        "since_maintenance": ["maintenance"],
        "since_maintenance_fan": ["maintenance:fan"],
        "since_maintenance_oil": ["maintenance:oil"],
        "life_fan": ["failure:fan", "maintenance:fan"],
    }
    assert prepared.sensors == ("x", *prepared.summary[SUMMARY_KEY])
    steps = (prepared.frame["timestamp"] - START) // pd.Timedelta(seconds=INTERVAL)
    rows = {int(step): place for place, step in enumerate(steps)}
    in_rows = prepared.frame[list(prepared.summary[SUMMARY_KEY])] / INTERVAL
    assert in_rows["since_failure"].iloc[rows[5]] != 0  # the row of the failure
    assert in_rows.iloc[rows[6]].fillna(-1).tolist() == [1, 1, -1, 9, -1, 9, 1]
    assert in_rows.iloc[rows[14]].fillna(-1).tolist() == [9, 9, -1, 6, 6, 17, 6]  # it fails, and does not count
    assert in_rows.iloc[rows[16]].fillna(-1).tolist() == [1, 11, 1, 8, 8, 19, 8]
    assert "MODES_NOT_FOUND" in codes_of(prepared)
    inputs = with_event_inputs(config, prepared.summary).schema_config.event_inputs
    assert list(inputs or {}) == list(prepared.summary[SUMMARY_KEY])
    prepare_to_file(config, tmp_path / "p.parquet", config_digest="d")
    read = read_prepared(tmp_path / "p.parquet", organization_id="o")
    pd.testing.assert_frame_equal(read.frame, prepared.frame)
    write_prepared_csv(tmp_path / "p.parquet", tmp_path / "p.csv")
    again = read_prepared_csv(tmp_path / "p.csv", with_event_inputs(config, prepared.summary), interval=INTERVAL)
    pd.testing.assert_frame_equal(again.frame[in_rows.columns], prepared.frame[in_rows.columns])


def test_rows_that_are_positive_because_they_fail_get_no_times(tmp_path: Path) -> None:
    for config in (prepared_config(tmp_path, 0), prepared_config(tmp_path, data={"duringFailure": "positive"})):
        prepared = prepare(config)
        assert prepared.sensors == ("x",)
        assert since_findings(config, prepared.summary) == []
        asked = type(config).from_dict(config.to_dict() | {"featureConfig": {"families": {"since": True}}})
        assert [each.code for each in since_findings(asked, prepared.summary)] == ["SINCE_WITHOUT_EVENTS"]
        data = config.to_dict()
        data["schemaConfig"]["eventInputs"] = {"s": ["failure"]}
        with pytest.raises(ConfigError, match="eventInputs needs"):
            type(config).from_dict(data)


def test_configured_times_take_the_place_of_those_by_kind(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    schema = config.schema_config.model_copy(update={"event_inputs": {"since_oil": ("maintenance:Oil",)}})
    prepared = prepare(config.model_copy(update={"schema_config": schema}))
    assert prepared.sensors == ("x", "since_oil")
    assert prepared.frame["since_oil"].iloc[0] == 3 * INTERVAL


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"x": ["failure"]}, "cannot be a sensor and one of eventInputs"),
        ({"label": ["failure"]}, "reserved"),
        ({"s": []}, "eventInputs"),
        ({"s": ["repair"]}, "eventInputs"),
        ({"s": ["failure: "]}, "eventInputs"),
    ],
)
def test_names_of_inputs_and_events_are_checked(inputs: dict[str, list[str]], words: str, tmp_path: Path) -> None:
    data = prepared_config(tmp_path).to_dict()
    data["schemaConfig"]["eventInputs"] = inputs
    with pytest.raises(ConfigError, match=words):
        type(prepared_config(tmp_path)).from_dict(data)


def test_events_of_a_caller_are_checked() -> None:
    with pytest.raises(MissingColumnError, match='no column "event"'):
        times_since(INPUTS, pd.DataFrame({"timestamp": []}), INTERVAL)
    for event, time in (("repair", "2024-01-01"), ("failure", "soon"), (None, "2024-01-01")):
        with pytest.raises(DataError):
            times_since(INPUTS, pd.DataFrame({"event": [event], "timestamp": [time]}), INTERVAL)
