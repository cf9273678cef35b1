"""Lists of failures, maintenance and downtime beside the readings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.config import OrganizationConfig
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
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
    return list(zip(frame["asset_id"], seconds, frame["label"], frame["status"], modes, seen, strict=True))


def simple(folder: Path, events: Sequence[Event], *, horizon: int = 3 * INTERVAL, **options: Any) -> Prepared:
    readings = options.pop("readings", {"a": [*range(0, 30 * INTERVAL, INTERVAL)]})
    write_readings(folder, readings)
    write_events(folder, "events", events)
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
