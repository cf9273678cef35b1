"""Data as plants export it: each case is read rightly, told, or refused with what to do. Outcomes: cases.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.ingest.prepare import prepare, prepare_to_file

EXPECTED: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "cases.json").read_text(encoding="utf-8"))
SENSORS = ["vibration", "temperature", "pressure", "load"]


def pumps(hours: int = 600, names: tuple[str, ...] = ("P-101", "P-102")) -> pd.DataFrame:
    """Hourly rows of pumps that fail every hundred hours for four hours each, in order of time."""
    rng = np.random.default_rng(1)
    frames = []
    for name in names:
        hour = np.arange(hours)
        frames.append(
            pd.DataFrame(
                {
                    "time": pd.date_range("2024-01-08", periods=hours, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "pump": name,
                    "vibration": rng.normal(2.5, 0.3, hours).round(2),
                    "temperature": rng.normal(52, 2, hours).round(1),
                    "pressure": rng.normal(6, 0.1, hours).round(2),
                    "load": rng.normal(60, 8, hours).round(1),
                    "failed": (hour % 100 >= 96).astype(int),
                }
            )
        )
    return pd.concat(frames).sort_values("time", kind="stable", ignore_index=True)


def csv(frame: pd.DataFrame, folder: Path, **options: Any) -> Path:
    path = folder / "data.csv"
    frame.to_csv(path, index=False, **options)
    return path


def text(content: str | bytes, folder: Path) -> Path:
    path = folder / "data.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def codes(frame: pd.DataFrame) -> pd.DataFrame:
    """Every second failure is a severe one, code 2."""
    hour = np.arange(len(frame)) // 2
    return frame.assign(failed=np.where((frame["failed"] == 1) & (hour // 100 % 2 == 1), 2, frame["failed"]))


def words(frame: pd.DataFrame) -> pd.DataFrame:
    first = (frame["failed"] == 1) & (frame.groupby("pump")["failed"].shift(fill_value=0) == 0)
    state = np.where(first, "BROKEN", np.where(frame["failed"] == 1, "RECOVERING", "NORMAL"))
    return frame.assign(failed=state)


def sparse(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per sensor; the target comes with the last."""
    rows = [frame.assign(**dict.fromkeys([one for one in SENSORS if one != name], np.nan)) for name in SENSORS]
    rows = [
        part.assign(failed=part["failed"] if name == "load" else np.nan)
        for part, name in zip(rows, SENSORS, strict=True)
    ]
    return pd.concat(rows).sort_index(kind="stable")


def fleet() -> pd.DataFrame:
    """24 machines, 16 of which end after different times with their only failure."""
    whole = pumps(100, tuple(f"A{number:02}" for number in range(24))).sort_values(["pump", "time"])
    number, hour = whole["pump"].str[1:].astype(int), whole.groupby("pump").cumcount()
    end = np.where(number < 16, 60 + number, 99)
    return whole.assign(failed=((hour == end) & (number < 16)).astype(int))[hour <= end]


def mixed_sampling() -> pd.DataFrame:
    """Two machines that report every hour, and one that reports every three minutes."""
    fast = pumps(2400, ("FAST-1",)).assign(failed=(np.arange(2400) % 1000 >= 996).astype(int))
    fast["time"] = pd.date_range("2024-01-08", periods=2400, freq="3min").strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.concat([pumps(300, ("SLOW-1", "SLOW-2")), fast])


def historian(folder: Path) -> Path:
    lines = [f"04/03/2021 10:{minute:02}:00;tag{minute % 2};1.5;0" for minute in range(60)]
    return text("\n".join(["time;tagname;value;failed", *lines]), folder)


def long_form(folder: Path) -> Path:
    long = pumps().melt(id_vars=["time", "pump", "failed"], value_vars=SENSORS, var_name="tagname")
    return csv(long.assign(tagname=long["pump"] + "." + long["tagname"]), folder)


def folder_of_files(folder: Path) -> Path:
    (folder / "data").mkdir()
    for number, (_, rows) in enumerate(pumps().groupby(pumps()["time"].str[:10])):
        rows.to_csv(folder / f"data/{number:02}.csv", index=False)
    return folder / "data"


def with_times(form: str) -> pd.DataFrame:
    return pumps().assign(time=lambda frame: pd.to_datetime(frame["time"]).dt.strftime(form))


def preamble_and_comments(folder: Path) -> Path:
    """Above the header a line of a spreadsheet with one cell; comments above and among the readings."""
    lines = pumps().to_csv(index=False, sep=";").splitlines()
    top = ["# exported", "Station 7;;;;;;", "", "Pumps, both", ""]
    return text("\n".join([*top, *lines[:50], "# the logger was restarted", *lines[50:]]), folder)


def date_and_time(folder: Path) -> Path:
    frame = with_times("%d.%m.%Y").assign(clock=pd.to_datetime(pumps()["time"]).dt.strftime("%H:%M:%S"))
    return csv(frame, folder)


WRITERS: dict[str, Callable[[Path], Path]] = {
    "categorical_recipe": lambda to: csv(pumps().assign(recipe=["A", "B", "C"] * 400), to),
    "cr_only_line_ends": lambda to: csv(pumps(), to, lineterminator="\r"),
    "decimal_comma": lambda to: csv(pumps(), to, sep=";", decimal=","),
    "duplicate_conflicting_target": lambda to: csv(pd.concat([pumps(), pumps().assign(failed=0)]), to),
    "european_dates": lambda to: csv(
        pumps().assign(time=pd.to_datetime(pumps()["time"]).dt.strftime("%d.%m.%Y %H:%M")), to
    ),
    "event_list_separate": lambda to: csv(pumps().drop(columns="failed"), to),
    "excel_serial_time": lambda to: csv(pumps().assign(time=(45299 + np.arange(1200) // 2 / 24).round(6)), to),
    "fleet_fails_once": lambda to: csv(fleet(), to),
    "latin1_umlaut": lambda to: text(pumps().to_csv(index=False).replace("P-102", "Kühlung 2 °").encode("cp1252"), to),
    "utf16_text": lambda to: csv(pumps(), to, encoding="utf-16", sep="\t"),
    "long_form_historian": historian,
    "long_form_read_as_wide": long_form,
    "mixed_sampling_fleet": lambda to: csv(mixed_sampling(), to),
    "multi_file_folder": folder_of_files,
    "newest_first": lambda to: csv(pumps().iloc[::-1], to),
    "sentinel_9999": lambda to: csv(
        pumps().assign(load=lambda frame: frame["load"].where(np.arange(1200) % 20 != 7, -9999)), to
    ),
    "infinite": lambda to: csv(pumps().assign(load="1e400"), to),
    "names_in_two_spellings": lambda to: csv(
        pumps().assign(pump=lambda frame: frame["pump"].where(np.arange(1200) % 4 > 1, frame["pump"].str.lower())), to
    ),
    "names_that_are_different": lambda to: csv(pumps(names=("P-1-1", "P-11")), to),
    "dates_without_time": lambda to: csv(pumps().assign(time=lambda frame: frame["time"].str[:10]), to),
    "bars_between_cells": lambda to: csv(pumps(), to, sep="|"),
    "blank_first_line": lambda to: text("\n" + pumps().to_csv(index=False), to),
    "utf32_text": lambda to: csv(pumps(), to, encoding="utf-32"),
    "hours_left_as_target": lambda to: csv(pumps().assign(failed=95 - np.arange(1200) // 2 % 100), to),
    "words_for_nothing": lambda to: csv(
        pumps().assign(load=lambda frame: frame["load"].astype(object).where(np.arange(1200) % 9 > 0, "Bad Input")), to
    ),
    "typographic_minus": lambda to: csv(pumps().assign(load="\u221260.9"), to),
    "times_in_ms_us_and_ns": lambda to: csv(
        pumps().assign(
            time=lambda frame: [
                int(pd.Timestamp(time).timestamp()) * 1000 ** (1 + row % 3) for row, time in enumerate(frame["time"])
            ]
        ),
        to,
    ),
    "sentinel_65535": lambda to: csv(
        pumps().assign(load=lambda frame: frame["load"].where(np.arange(1200) % 20 != 7, 65_535)), to
    ),
    "sparse_same_instant": lambda to: csv(sparse(pumps()), to),
    "target_codes_012": lambda to: csv(codes(pumps()), to),
    "text_status_target": lambda to: csv(words(pumps()), to),
    "units_trailing_footer": lambda to: text(
        ";".join(pumps().columns)
        + "\n;;mm/s;°C;bar;%;\n"
        + pumps().to_csv(index=False, header=False, sep=";").replace("\n", ";\n")
        + "(1200 rows affected)\n",
        to,
    ),
    "cut_off": lambda to: text(pumps().to_csv(index=False) + "2024-02-02T00:00:00Z,P-1", to),
    "preamble_and_comments": preamble_and_comments,
    "american_dates": lambda to: csv(with_times("%m/%d/%Y %I:%M %p"), to),
    "pi_dates": lambda to: csv(with_times("%d-%b-%y %H:%M:%S.00000"), to),
    "digits": lambda to: csv(with_times("%Y%m%d%H%M%S"), to),
    "midnight_without_time": lambda to: text(
        with_times("%d/%m/%Y %H:%M").to_csv(index=False).replace(" 00:00", ""), to
    ),
    "date_and_time": date_and_time,
    "date_and_time_named": date_and_time,
    "thousands": lambda to: text(
        pumps()
        .assign(load=lambda frame: [f"{1000 + load:,.1f}" for load in frame["load"]])
        .astype(str)
        .to_csv(index=False, sep=";")
        .translate(str.maketrans(".,", ",.")),
        to,
    ),
    "one_or_thousand": lambda to: csv(pumps().assign(load="1,234"), to),
    "one_or_thousand_named": lambda to: csv(pumps().assign(load="1,234"), to),
    "filetime": lambda to: csv(
        pumps().assign(time=133_491_456_000_000_000 + np.arange(1200) // 2 * 36_000_000_000), to
    ),
    "cyrillic": lambda to: text(
        pumps().to_csv(index=False).replace("P-102", "\u041d\u0430\u0441\u043e\u0441 2").encode("cp1251"), to
    ),
    "cyrillic_named": lambda to: text(
        pumps().to_csv(index=False).replace("P-102", "\u041d\u0430\u0441\u043e\u0441 2").encode("cp1251"), to
    ),
    "utf16_without_mark": lambda to: csv(pumps(), to, encoding="utf-16-le"),
    "excel_serial_time_named": lambda to: csv(pumps().assign(time=(45299 + np.arange(1200) // 2 / 24).round(6)), to),
    "sentinel_named": lambda to: csv(
        pumps().assign(load=lambda frame: frame["load"].where(np.arange(1200) % 20 != 7, -9999)), to
    ),
    "historian_words": lambda to: csv(
        pumps().assign(load=lambda frame: frame["load"].astype(object).where(np.arange(1200) % 10 != 7, "I/O Timeout")),
        to,
    ),
    "footer": lambda to: text(pumps().to_csv(index=False) + "(1200 rows affected)\n", to),
    "without_asset_column": lambda to: csv(pumps(), to),
    "without_asset_column_exact_duplicates": lambda to: csv(pd.concat([pumps(names=("P-101",))] * 2), to),
    "without_asset_column_apart_in_time": lambda to: csv(
        pumps().assign(time=pd.date_range("2024-01-08", periods=1200, freq="30min").strftime("%Y-%m-%dT%H:%M:%SZ")), to
    ),
    "target_means_running": lambda to: csv(pumps().assign(failed=lambda frame: 1 - frame["failed"]), to),
    "change_of_time_format": lambda to: csv(
        pumps().assign(
            time=lambda frame: frame["time"].where(
                frame["pump"] == "P-101", pd.to_datetime(frame["time"]).dt.strftime("%m/%d/%Y %H:%M")
            )
        ),
        to,
    ),
    "few_times_of_1970": lambda to: csv(
        pumps().assign(time=lambda frame: frame["time"].where(np.arange(1200) > 3, "1970-01-01T00:00:00Z")), to
    ),
}


def configuration(path: Path, case: str) -> OrganizationConfig:
    sensors = [*SENSORS, "recipe"] if case == "categorical_recipe" else SENSORS
    if case.startswith("long_form"):
        sensors = ["value"]
    asset = "tagname" if case.startswith("long_form") else "pump"
    schema = {"timestampColumn": "time", "targetColumn": "failed", "continuousColumns": sensors}
    return OrganizationConfig.from_dict(
        {
            "organizationId": "case",
            "schemaConfig": schema if case.startswith("without_asset") else {**schema, "assetColumn": asset},
            "dataSource": {"path": str(path)},
            "dataConfig": {"predictionHorizonSeconds": 86_400, "timezone": "UTC"},
            "formatConfig": EXPECTED[case].get("format", {}),
        }
    )


def test_every_case_has_an_outcome() -> None:
    assert set(WRITERS) == set(EXPECTED)


@pytest.mark.parametrize("case", sorted(WRITERS))
def test_a_case_has_its_outcome(case: str, tmp_path: Path) -> None:
    expected = EXPECTED[case]
    config = configuration(WRITERS[case](tmp_path), case)
    if "refusal" in expected:
        with pytest.raises(DataError) as refused:
            prepare(config)
        assert expected["refusal"] in refused.value.message
        assert expected["hint"] in (refused.value.hint or "")
        assert refused.value.exit_code == 3
        return
    prepared = prepare(config)
    summary = prepared.summary
    found = [
        finding["code"]
        for finding in summary["findings"]
        if finding["code"] not in ("FEW_FAILURES", "TRAINING_REFUSED")
    ]
    if "findings" in expected or "rows" in expected:
        assert found == expected.get("findings", [])
    if "rows" in expected:
        assert len(prepared.frame) == expected["rows"]
    if "failures" in expected:
        assert summary["failureEvents"]["total"] == expected["failures"]
    assert any(expected.get("told", "") in sentence for sentence in summary["verdict"])
    assert summary.get("notation", {}) == expected.get("notation", {})
    streamed = prepare_to_file(config, tmp_path / "prepared.parquet", config_digest="0")
    assert streamed == summary
