"""Lists of failures, maintenance and downtime beside the readings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.errors import DataError, IntegrityError, IsolationError, MissingColumnError
from ml.ingest.inputs import external_data, prepared_data
from ml.ingest.prepare import prepare, prepare_to_file
from ml.ingest.prepared.data import Prepared, read_prepared
from ml.ingest.prepared.fingerprint import METADATA_KEY
from ml.ingest.prepared_csv import is_prepared_csv, read_prepared_csv, write_prepared_csv
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, onsets
from ml.learning.events.metrics import event_metrics
from ml.learning.folds.splits import PARTS, split_parts
from ml.options.data import DataConfig
from ml.workspace.paths import for_config
from tests.reference.failures import Event, naive_rows

START = pd.Timestamp("2024-03-10T00:00:00Z")  # clocks in New York go on at 07:00 of that day
INTERVAL = 600
ZONE = "America/New_York"


def moment(seconds: int) -> str:
    return str((START + pd.Timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"))


def local(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return str((START + pd.Timedelta(seconds=seconds)).tz_convert(ZONE).strftime("%Y-%m-%d %H:%M:%S"))


def write_readings(folder: Path, readings: dict[str, list[int]]) -> Path:
    rows = [
        f"{asset},{moment(time)},{index % 7}" for asset, times in readings.items() for index, time in enumerate(times)
    ]
    file = folder / "readings.csv"
    file.write_text("\n".join(["machine,time,x", *rows]) + "\n")
    return file


def write_events(folder: Path, name: str, events: Sequence[Event]) -> Path:
    rows = [f"{e.asset};{local(e.start)};{local(e.end)};{e.mode}" for e in events]
    file = folder / f"{name}.csv"
    file.write_text("\n".join(["unit;begin;finish;what", *rows, ""]))
    return file


def configured(
    folder: Path, horizon: int, *, data: dict[str, Any] | None = None, **failures: Any
) -> OrganizationConfig:
    table = {
        "assetColumn": "unit",
        "startColumn": "begin",
        "endColumn": "finish",
        "modeColumn": "what",
        "timezone": ZONE,
    }
    lists = {
        name: {"path": str(folder / f"{name}.csv"), **table, **failures.pop(name, {})}
        for name in ("events", "maintenance", "downtime")
        if (folder / f"{name}.csv").exists()
    }
    return OrganizationConfig.from_dict(
        {
            "organizationId": "o",
            "schemaConfig": {"assetColumn": "machine", "timestampColumn": "time", "continuousColumns": ["x"]},
            "dataSource": {"path": str(folder / "readings.csv")},
            "dataConfig": {
                "samplingIntervalSeconds": INTERVAL,
                "maxGapSeconds": INTERVAL,
                "predictionHorizonSeconds": horizon,
                "timezone": "UTC",
                **(data or {}),
            },
            "failureConfig": {**lists, **failures},
        }
    )


def found_rows(prepared: Prepared) -> list[tuple[Any, ...]]:
    frame = prepared.frame
    seconds = (frame["timestamp"] - START) // pd.Timedelta(seconds=1)
    modes = [tuple(text.split("|")) if text else () for text in frame["modes"]]
    seen = frame["x"].notna()
    onset = (frame["event"] >= 0) & ~frame["event"].duplicated()
    return list(zip(frame["asset_id"], seconds, frame["label"], frame["status"], modes, seen, onset, strict=True))


def simple(folder: Path, listed: Sequence[Event], *, horizon: int = 3 * INTERVAL, **options: Any) -> Prepared:
    readings = options.pop("readings", {"a": [*range(0, 30 * INTERVAL, INTERVAL)]})
    write_readings(folder, readings)
    write_events(folder, "events", listed)
    return prepare(configured(folder, horizon, **options))


def codes_of(prepared: Prepared) -> list[str]:
    return [finding["code"] for finding in prepared.summary["findings"]]


times = st.integers(-3 * INTERVAL, 45 * INTERVAL)
assets = st.sampled_from(["a", "b", "elsewhere"])


@st.composite
def lists_of_events(draw: st.DrawFn, most: int, modes: Sequence[str] = ("p", "q")) -> list[Event]:
    events = []
    for _ in range(draw(st.integers(0, most))):
        start = draw(times)
        end = draw(st.one_of(st.none(), st.integers(start - 500, start + 9 * INTERVAL)))
        events.append(Event(draw(assets), start, end, draw(st.sampled_from(modes))))
    return events


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pauses=st.lists(st.integers(1, 39), max_size=12),
    events=lists_of_events(6),
    maintenance=lists_of_events(2),
    downtime=lists_of_events(2),
    steps=st.integers(1, 8),
    recovery=st.sampled_from([0, 2 * INTERVAL]),
)
def test_rows_and_labels_equal_the_naive_ones(
    tmp_path: Path,
    pauses: list[int],
    events: list[Event],
    maintenance: list[Event],
    downtime: list[Event],
    steps: int,
    recovery: int,
) -> None:
    """Overlapping, open-ended, unknown, repeated and unsorted events, in another zone, in and out of pauses."""
    readings = {
        "a": [INTERVAL * n for n in range(40) if n not in pauses],
        "b": [INTERVAL * n for n in range(5, 33) if (n + 3) not in pauses],
    }
    known = [*events, Event("a", 10 * INTERVAL, None, "p")]
    lists = {"events": known, "maintenance": [*maintenance, Event("a", -9999)]}
    lists["downtime"] = [*(e for e in downtime if e.end is not None), Event("b", -9999, -9000)]
    for name, rows in lists.items():
        write_events(tmp_path, name, rows)
    write_readings(tmp_path, readings)
    horizon = steps * INTERVAL
    prepared = prepare(configured(tmp_path, horizon, data={"recoverySeconds": recovery}))
    expected = naive_rows(readings, *lists.values(), interval=INTERVAL, horizon=horizon, recovery=recovery)
    assert found_rows(prepared) == [tuple(row) for row in expected]
    segment = prepared.frame["segment"].to_numpy()
    seconds = ((prepared.frame["timestamp"] - START) // pd.Timedelta(seconds=1)).to_numpy()
    inside = np.diff(segment) == 0
    assert (np.diff(segment) >= 0).all()
    assert (np.diff(segment) <= 1).all()
    assert (np.diff(seconds)[inside] == INTERVAL).all()
    counts = prepared.summary["lists"]["events"]
    strangers = {event for event in known if event.asset == "elsewhere"}
    assert sum(counts["unknownAssets"].values()) == len(
        {(e.start, max(e.start, e.end or e.start), e.mode) for e in strangers}
    )


def test_a_failure_in_a_pause_or_after_the_last_reading_has_a_row_without_readings(tmp_path: Path) -> None:
    readings = {"a": [INTERVAL * n for n in (0, 1, 2, 3, 10, 11, 12)]}
    events = [Event("a", 6 * INTERVAL - 5, None, "p"), Event("a", 13 * INTERVAL + 1, None, "q")]
    rows = found_rows(simple(tmp_path, events, horizon=4 * INTERVAL, readings=readings))
    assert [row[1] // INTERVAL for row in rows if not row[5]] == [6, 14]
    assert [row[2] for row in rows] == [0, 0, 1, 1, -1, 1, 1, 1, -1]


def test_a_row_that_nobody_measured_has_no_label_even_if_failures_are_to_be_positive(tmp_path: Path) -> None:
    readings = {"a": [INTERVAL * n for n in (0, 1, 2, 10, 11, 12, 13, 14)]}
    events = [Event("a", 5 * INTERVAL), Event("a", 11 * INTERVAL)]
    prepared = simple(tmp_path, events, readings=readings, data={"duringFailure": "positive"})
    seconds = (prepared.frame["timestamp"] - START) // pd.Timedelta(seconds=INTERVAL)
    labels = dict(zip(seconds, prepared.frame["label"], strict=True))
    assert (labels[5], labels[11]) == (-1, 1)


def test_modes_are_grouped_and_several_may_begin_at_once(tmp_path: Path) -> None:
    events = [Event("a", 5 * INTERVAL, None, kind) for kind in ("h1", "F")] + [Event("a", 20 * INTERVAL, None, "h2")]
    prepared = simple(tmp_path, events, modes={"heater": ["h1", "H2"], "fan": ["f"], "belt": ["b"]})
    summary = prepared.summary
    assert summary["failureEvents"]["perMode"] == {"heater": 2, "fan": 1, "belt": 0}
    assert (summary["failureEvents"]["together"], summary["failureEvents"]["total"]) == (1, 2)
    assert [event["modes"] for event in summary["failureEvents"]["events"]] == [["heater", "fan"], ["heater"]]
    assert "MODES_NOT_FOUND" in codes_of(prepared)


def test_what_was_odd_about_a_list_is_counted_and_told(tmp_path: Path) -> None:
    events = [
        Event("a", 5 * INTERVAL, 8 * INTERVAL),
        Event("a", 5 * INTERVAL, 8 * INTERVAL),
        Event("a", 6 * INTERVAL, 9 * INTERVAL),
        Event("a", 15 * INTERVAL, 14 * INTERVAL),
        Event("a", -90 * INTERVAL),
        Event("a", 300 * INTERVAL),
        Event("Z", 5 * INTERVAL),
        Event("", 5 * INTERVAL),
    ]
    prepared = simple(tmp_path, events)
    counts = prepared.summary["lists"]["events"]
    expected = {"rows": 8, "duplicates": 1, "overlapping": 1, "endBeforeStart": 1, "withoutAsset": 1}
    assert counts.items() >= {**expected, "before": 1, "after": 1, "unknownAssets": {"Z": 1}, "used": 3}.items()
    assert {*codes_of(prepared)} >= {
        "EVENTS_REPEATED",
        "EVENTS_OVERLAP",
        "EVENTS_INCOMPLETE",
        "EVENTS_OUTSIDE_READINGS",
        "EVENTS_OF_UNKNOWN_ASSETS",
    }
    assert prepared.summary["failureEvents"]["total"] == 2


@pytest.mark.parametrize(("hour", "told"), [("", True), (" 00:00", True), (" 06:30", False)])
def test_failures_that_are_known_by_their_day_alone_are_told(hour: str, told: bool, tmp_path: Path) -> None:
    write_readings(tmp_path, {"a": [*range(0, 900 * INTERVAL, INTERVAL)]})
    rows = [f"a;2024-03-{day}{hour};;p" for day in (11, 13, 15)]
    (tmp_path / "events.csv").write_text("\n".join(["unit;begin;finish;what", *rows, ""]))
    assert ("EVENTS_ARE_DATES" in codes_of(prepare(configured(tmp_path, 3 * INTERVAL)))) is told


def test_ends_that_cannot_be_read_are_told_and_lists_of_maintenance_may_be_empty(tmp_path: Path) -> None:
    write_readings(tmp_path, {"a": [*range(0, 30 * INTERVAL, INTERVAL)]})
    for name in ("maintenance", "downtime"):
        write_events(tmp_path, name, [])
    rows = [f"a;{moment(5 * INTERVAL)};10.03.2024;p", f"a;{moment(15 * INTERVAL)};9999-12-31T00:00:00Z;p"]
    (tmp_path / "events.csv").write_text("\n".join(["unit;begin;finish;what", *rows, ""]))
    prepared = prepare(configured(tmp_path, 3 * INTERVAL))
    assert prepared.summary["lists"]["events"]["unreadableEnds"] == 2
    assert "EVENTS_INCOMPLETE" in codes_of(prepared)
    assert (prepared.frame["target"] == 1).sum() == 2


def test_names_of_machines_are_mapped_and_rows_chosen(tmp_path: Path) -> None:
    events = [Event("Pump A", 5 * INTERVAL, None, "real"), Event("Pump A", 15 * INTERVAL, None, "test")]
    table = {"assets": {"Pump A": "a"}, "include": {"what": ["REAL"]}}
    prepared = simple(tmp_path, events, events=table)
    assert prepared.summary["failureEvents"]["total"] == 1
    assert prepared.summary["lists"]["events"]["notIncluded"] == 1


def test_events_beyond_the_range_of_the_readings_do_not_count(tmp_path: Path) -> None:
    write_readings(tmp_path, {"a": [*range(0, 30 * INTERVAL, INTERVAL)]})
    write_events(tmp_path, "events", [Event("a", 5 * INTERVAL), Event("a", 21 * INTERVAL)])
    config = configured(tmp_path, 3 * INTERVAL).to_dict() | {"dataRange": {"endDate": moment(20 * INTERVAL)}}
    prepared = prepare(OrganizationConfig.from_dict(config))
    assert prepared.summary["failureEvents"]["total"] == 1
    assert prepared.summary["lists"]["events"]["after"] == 1


@pytest.mark.parametrize(
    ("events", "table", "error", "words"),
    [
        ([Event("Z", 0)], {}, DataError, r"no event .* names Z \(1\), and the readings a"),
        ([Event("a", 0)], {"startColumn": "begun"}, MissingColumnError, 'no column "begun"'),
        ([Event("a", 0, None, "x")], {"include": {"what": ["y"]}}, DataError, r"what holds 'x' \(1 times\)"),
        ([Event("a", 0)], {"startColumn": "unit"}, DataError, r"no time in \"unit\""),
        ([], {}, DataError, "has no rows"),
        ([Event("1", 0)], {"startColumn": "unit"}, DataError, r"no time in \"unit\" that can be read \(such as '1'\)"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(
    tmp_path: Path, events: list[Event], table: dict[str, Any], error: type[DataError], words: str
) -> None:
    with pytest.raises(error, match=words) as refused:
        simple(tmp_path, events, events=table)
    assert refused.value.field is not None
    assert refused.value.field.startswith("failureConfig.events")


def test_prepared_data_with_modes_comes_back_equal(tmp_path: Path) -> None:
    events = [Event("a", 5 * INTERVAL, None, "p"), Event("a", 15 * INTERVAL, 18 * INTERVAL, "q")]
    prepared = simple(tmp_path, events)
    file = tmp_path / "prepared.parquet"
    prepare_to_file(configured(tmp_path, 3 * INTERVAL), file, config_digest="d")
    back = read_prepared(file, organization_id="o")
    pd.testing.assert_frame_equal(back.frame, prepared.frame)
    assert back.summary == prepared.summary
    assert (back.modes, back.sensors) == (("p", "q"), ("x", "since_failure", "since_failure_p", "since_failure_q"))


def test_prepared_csv_keeps_the_modes(tmp_path: Path) -> None:
    events = [Event("a", 5 * INTERVAL, None, "None"), Event("a", 15 * INTERVAL, None, "q")]
    prepared = simple(tmp_path, [*events, Event("a", 15 * INTERVAL, None, "None")])
    config = configured(tmp_path, 3 * INTERVAL)
    prepare_to_file(config, tmp_path / "prepared.parquet", config_digest="d")
    write_prepared_csv(tmp_path / "prepared.parquet", tmp_path / "prepared.csv")
    assert is_prepared_csv(tmp_path / "prepared.csv")
    back = read_prepared_csv(tmp_path / "prepared.csv", config)
    pd.testing.assert_frame_equal(back.frame, prepared.frame[[*back.frame.columns]])
    assert back.summary["failureEvents"]["perMode"] == prepared.summary["failureEvents"]["perMode"]


def test_a_named_file_is_labelled_by_the_list_and_the_list_is_checked_for_isolation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "base"))
    simple(tmp_path, [Event("a", 5 * INTERVAL)])
    other = tmp_path / "other.csv"
    other.write_bytes((tmp_path / "readings.csv").read_bytes())
    config = configured(tmp_path, 3 * INTERVAL)
    paths = for_config(config)
    data = external_data(config, paths, other).data
    assert data.summary["failureEvents"]["total"] == 1
    foreign = tmp_path / "base" / "artifacts" / "another"
    foreign.mkdir(parents=True)
    stolen = foreign / "events.csv"
    (tmp_path / "events.csv").rename(stolen)
    content = config.to_dict()
    content["failureConfig"]["events"]["path"] = str(stolen)
    with pytest.raises(IsolationError, match=r"failureConfig\.events\.path"):
        external_data(OrganizationConfig.from_dict(content), paths, other)


def test_prepared_data_is_made_again_when_the_list_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "base"))
    simple(tmp_path, [Event("a", 5 * INTERVAL)])
    config = configured(tmp_path, 3 * INTERVAL)
    first = prepared_data(config, for_config(config))
    assert prepared_data(config, for_config(config)).digest == first.digest
    write_events(tmp_path, "events", [Event("a", 9 * INTERVAL), Event("a", 25 * INTERVAL)])
    again = prepared_data(config, for_config(config))
    assert again.data.summary["failureEvents"]["total"] == 2


@pytest.mark.parametrize("written", [b'{"formatVersion": 1}', b'{"formatVersion": 99}', b"{", b"{}"])
def test_prepared_data_of_another_format_is_made_again_where_there_is_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes
) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "base"))
    simple(tmp_path, [Event("a", 5 * INTERVAL)])
    config = configured(tmp_path, 3 * INTERVAL)
    paths, first = for_config(config), prepared_data(config, for_config(config))
    kept = paths.prepared_data(config.version)
    table = pyarrow.parquet.read_table(kept).replace_schema_metadata({METADATA_KEY: written})
    pyarrow.parquet.write_table(table, kept)
    without_source = config.model_copy(update={"data_source": None})
    with pytest.raises(IntegrityError, match=r"prepared data format|description inside"):
        prepared_data(without_source, paths)
    assert prepared_data(config, paths).digest == first.digest


def test_splits_and_event_metrics_count_by_mode(tmp_path: Path) -> None:
    events = [Event("a", n * 20 * INTERVAL, None, mode) for n in range(1, 10) for mode in ("p", "q")[: 1 + n % 2]]
    prepared = simple(tmp_path, events, readings={"a": [*range(0, 200 * INTERVAL, INTERVAL)]})
    frame = prepared.frame
    settings = DataConfig(prediction_horizon_seconds=3 * INTERVAL, min_failure_events=1)
    parts = split_parts(frame, settings, look_back=5, interval=INTERVAL, seed=1).describe()
    total = {mode: sum(parts[part]["perMode"].get(mode, 0) for part in PARTS) for mode in "pq"}
    assert total == {"p": 9, "q": 5}
    scored = frame[frame["label"] >= 0]
    seconds = epoch_seconds(scored["timestamp"])
    begun = onsets(frame)
    late = scored["timestamp"] >= frame["timestamp"].iloc[100]
    alarmed = find_events(
        scored["asset_id"],
        seconds,
        scored["label"],
        np.where(late & (scored["label"] == 1), 0.9, 0.1),
        begun,
        threshold=0.5,
        horizon=3 * INTERVAL,
        cooldown=0,
        interval=INTERVAL,
    )
    found = event_metrics(alarmed, onsets=begun)["perMode"]
    assert {mode: (each["failures"], each["detected"]) for mode, each in found.items()} == {"p": (9, 4), "q": (5, 2)}
    assert "perMode" not in event_metrics(alarmed)


AZURE = Path(os.environ.get("EAGLE_ML_DATA_DIR", "/nowhere")) / "azure"


@pytest.mark.skipif(not AZURE.is_dir(), reason="EAGLE_ML_DATA_DIR does not hold the Azure data")
def test_components_of_the_azure_data_equal_a_join_in_pandas() -> None:
    times = {"startColumn": "datetime", "assetColumn": "machineID"}
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "o",
            "schemaConfig": {
                "assetColumn": "machineID",
                "continuousColumns": ["volt", "rotate", "pressure", "vibration"],
            },
            "dataSource": {"path": str(AZURE / "telemetry_daily.csv")},
            "dataConfig": {"timezone": "UTC", "predictionHorizonSeconds": 2 * 86_400},
            "failureConfig": {
                "events": {"path": str(AZURE / "failures.csv"), "modeColumn": "failure", **times},
                "maintenance": {"path": str(AZURE / "maint.csv"), "modeColumn": "comp", **times},
            },
        }
    )
    prepared = prepare(config)
    failures = pd.read_csv(AZURE / "failures.csv", parse_dates=["datetime"])
    telemetry = pd.read_csv(AZURE / "telemetry_daily.csv", parse_dates=["timestamp"])
    for table, column in ((failures, "datetime"), (telemetry, "timestamp")):
        table["day"] = table[column].dt.ceil("D")  # the grid is that of midnight
    joined = telemetry.merge(failures, on=["machineID", "day"])
    together = joined.groupby(["machineID", "day"])["failure"].nunique()
    found = prepared.summary["failureEvents"]
    assert found["perMode"] == joined["failure"].value_counts().sort_index().to_dict()
    assert (found["total"], found["together"]) == (len(together), int((together > 1).sum()))
    assert prepared.summary["gridRows"] == len(telemetry)
    wanted = joined.groupby(["machineID", "day"])["failure"].agg(lambda names: "|".join(sorted(names)))
    failed = prepared.frame[prepared.frame["modes"] != ""]
    day = failed["timestamp"].dt.tz_localize(None)
    assert dict(zip(zip(failed["asset_id"].astype(int), day, strict=True), failed["modes"], strict=True)) == dict(
        wanted
    )
    _labels_equal_those_of_pandas(prepared, failures)


def _labels_equal_those_of_pandas(prepared: Prepared, failures: pd.DataFrame) -> None:
    """Labels by comparing each row with each failure and each maintenance of its machine."""
    day, horizon = pd.Timedelta(days=1), pd.Timedelta(days=2)
    service = pd.read_csv(AZURE / "maint.csv", parse_dates=["datetime"])
    lists = [
        {name: part["datetime"].dt.ceil("D") for name, part in each.groupby("machineID")}
        for each in (failures, service)
    ]
    none = pd.Series([], dtype="datetime64[us]")
    for name, rows in prepared.frame.groupby("asset_id"):
        broken, serviced = (each.get(int(name), none) for each in lists)
        time = rows["timestamp"].dt.tz_localize(None)
        for now, label in zip(time, rows["label"], strict=True):
            soon = broken[(broken > now) & (broken <= now + horizon)]
            stop = serviced[(serviced > now) & (serviced <= now + horizon)]
            if (broken == now).any():
                expected = -1
            elif len(soon) and (not len(stop) or soon.min() <= stop.min()):
                expected = 1
            else:
                expected = 0 if not len(stop) and now + horizon <= time.max() else -1
            assert label == expected, (name, now, day)
