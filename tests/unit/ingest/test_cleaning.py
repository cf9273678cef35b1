"""Odd readings: each kind is counted and told, and none disappears in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import ConfigError
from ml.ingest.prepare import prepare
from ml.ingest.prepared.data import Prepared
from ml.ingest.summary.unit_outliers import CONVERSIONS, Fences, UnitOutliers, quantity_of, repeated_values
from ml.options.schema import SchemaConfig
from tests.unit.ingest.histories import config, raw_history


def prepared_from(frame: pd.DataFrame, folder: Path, **sections: dict[str, Any]) -> Prepared:
    frame.to_csv(folder / "history.csv", index=False)
    return prepare(config(folder / "history.csv", **sections))


def find_unit_outliers(values: np.ndarray, quantity: str | None = None) -> UnitOutliers:
    found = UnitOutliers(Fences.of(values), quantity)
    found.add(values)
    return found


def told(prepared: Prepared, words: str) -> bool:
    return any(words in line for line in prepared.summary["verdict"])


def one_pump(rows: int = 300) -> pd.DataFrame:
    frame = raw_history(rows)
    return frame[frame["machine"] == "P-1"].reset_index(drop=True)


class TestImpossibleValues:
    def test_they_are_missing_and_counted(self, tmp_path: Path) -> None:
        frame = one_pump()
        frame["temperature"] = 80.0
        frame.loc[10, "temperature"] = 400.0
        frame.loc[11, "temperature"] = -273.0
        frame.loc[12, "temperature"] = np.inf
        bounds = {"validRange": {"temperature": [-40, 200]}, "columnMapping": {}}
        with_bounds = prepared_from(frame, tmp_path, schemaConfig=bounds, dataConfig={"maxGapSeconds": 60})
        assert with_bounds.summary["impossibleValues"] == {"temperature": 2}
        assert with_bounds.summary["infiniteValues"] == {"temperature": 1}
        assert with_bounds.frame["temperature"].iloc[9:15].isna().tolist() == [False, False, True, True, False, False]
        assert told(with_bounds, "temperature has 2 values outside its validRange")
        without = prepared_from(frame, tmp_path)
        assert without.frame["temperature"].max() == 400
        assert without.summary["impossibleValues"] == {}

    @pytest.mark.parametrize(("bounds", "kept"), [([None, 49], 50), ([50, None], 50), ([50, 50.5], 1), ([0, 99], 100)])
    def test_bounds_belong_to_the_range_and_may_be_open(self, tmp_path: Path, bounds: list[Any], kept: int) -> None:
        frame = one_pump()[:100].assign(temperature=np.arange(100.0))
        summary = prepared_from(frame, tmp_path, schemaConfig={"validRange": {"temperature": bounds}}).summary
        assert 100 - summary["impossibleValues"].get("temperature", 0) == kept

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ({"validRange": {"temprature": [0, 1]}}, "did you mean temperature"),
            ({"validRange": {"temperature": [5, 5]}}, "must be below"),
            ({"validRange": {"alarm_active": [0, 1]}}, "not in continuousColumns"),
            ({"stuckAfterSeconds": {"temperature": 0}}, "greater than 0"),
            ({"stuckAfterSeconds": {"heat": 5}}, "heat, which is not in continuousColumns"),
        ],
    )
    def test_rules_about_nothing_are_refused(self, tmp_path: Path, schema: dict[str, Any], words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            config(tmp_path / "history.csv", schemaConfig=schema)


class TestClocks:
    def test_a_clock_that_is_set_back_is_no_late_row(self, tmp_path: Path) -> None:
        frame = one_pump()
        late = prepared_from(pd.concat([frame.drop(index=20), frame.iloc[[20]]]), tmp_path)
        assert (late.summary["outOfOrderRows"], late.summary["clockStepsBack"]) == (1, 0)
        again = frame.iloc[30:90].assign(temperature=1.0)
        stepped = prepared_from(pd.concat([frame.iloc[:90], again, frame.iloc[90:]]), tmp_path)
        assert (stepped.summary["outOfOrderRows"], stepped.summary["clockStepsBack"]) == (1, 1)
        assert stepped.summary["duplicateRows"] == 60
        assert told(stepped, "A clock was set back 1 time;")
        assert (stepped.frame["temperature"].iloc[30:90] == 1).all()

    def test_steps_are_those_of_one_asset(self, tmp_path: Path) -> None:
        by_asset = raw_history()
        by_time = by_asset.sort_values("timestamp", kind="stable")
        for frame in (by_asset, by_time):
            summary = prepared_from(frame, tmp_path).summary
            assert (summary["outOfOrderRows"], summary["clockStepsBack"]) == (0, 0)

    def test_times_without_a_zone_are_told_until_a_zone_is_configured(self, tmp_path: Path) -> None:
        frame = raw_history()
        naive = prepared_from(frame, tmp_path)
        assert naive.summary["timesWithoutZone"] == len(frame)
        assert told(naive, f"{len(frame)} times carry no time zone and were read as UTC")
        named = prepared_from(frame, tmp_path, dataConfig={"timezone": "UTC"})
        assert named.summary["timesWithoutZone"] == len(frame)
        assert not told(named, "carry no time zone")
        mixed = frame.assign(timestamp=frame["timestamp"] + pd.Series(["Z", "+01:00", ""] * 200)[: len(frame)])
        summary = prepared_from(mixed, tmp_path).summary
        assert summary["timesWithoutZone"] == (len(frame) + 0) // 3


class TestStuckSensors:
    def test_the_configured_time_counts(self, tmp_path: Path) -> None:
        frame = one_pump(2000)
        frame["temperature"] = np.random.default_rng(0).normal(size=len(frame))
        frame.loc[500:510, "temperature"] = 81.5
        frame.loc[700:705, "temperature"] = 81.5
        stuck = {}
        for seconds in (299, 300, 599, 600, 3600):
            rule = {"stuckAfterSeconds": {"temperature": seconds}}
            sensor = prepared_from(frame, tmp_path, schemaConfig=rule).summary["sensors"]["temperature"]
            stuck[seconds] = (sensor["stuck"], sensor["stuckRows"])
        assert stuck == {299: (True, 11), 300: (True, 11), 599: (True, 11), 600: (False, 0), 3600: (False, 0)}

    def test_a_reading_that_is_carried_on_the_grid_is_not_stuck(self, tmp_path: Path) -> None:
        frame = one_pump(2000)
        frame["temperature"] = np.random.default_rng(0).normal(size=len(frame))
        frame = frame.drop(index=range(500, 800))
        carried = prepared_from(frame, tmp_path, dataConfig={"maxGapSeconds": 6 * 3600}).summary["sensors"][
            "temperature"
        ]
        assert carried["longestUnchangedSeconds"] == 300 * 60
        assert not carried["stuck"]


class TestUnitOutliers:
    @pytest.mark.parametrize("name", list(CONVERSIONS))
    def test_each_conversion_is_recognised(self, name: str) -> None:
        rng = np.random.default_rng(1)
        usual = rng.normal(1_000, 5, 5_000)
        # The inverse of the conversion, found on its two points: all of them are straight lines.
        zero, one = CONVERSIONS[name](np.array([0.0, 1.0]))
        odd = (usual[:7] - zero) / (one - zero)
        found = find_unit_outliers(np.concatenate([usual, odd]), CONVERSIONS[name].quantity).to_json()
        assert found["unitOutliers"] == 7
        assert CONVERSIONS[found["unitOutliersAre"]](odd) == pytest.approx(CONVERSIONS[name](odd), rel=0.03)

    def test_heavy_tails_and_steps_are_not_accused(self) -> None:
        rng = np.random.default_rng(2)
        for values in (
            rng.normal(80, 5, 100_000),
            np.concatenate([np.zeros(900), np.full(100, 1000.0)]),
            np.concatenate([rng.normal(80, 5, 1000), [95.0, 300.0, -4000.0]]),
            np.array([1.0, 1000.0]),
        ):
            assert find_unit_outliers(values).to_json() == {"unitOutliers": 0, "unitOutliersAre": None}

    @pytest.mark.parametrize(
        ("name", "usual", "odd"),
        [
            ("vibration", (2.4, 0.3), np.linspace(6, 2900, 18)),  # before failures
            ("smart_9_hours", (10_000, 300), np.full(9, 10_000 * 14.5038)),  # bar and psi are no units of hours
            ("speed_rpm", (80, 2), np.linspace(172, 180, 9)),  # °F and °C are none of speed
            ("flow", (80, 2), np.full(9, 80.0 + 273.15)),
            ("load", (100, 3), np.full(9, 10.0)),  # at rest
            ("temperature", (80, 2), np.concatenate([[176.0, 177.0], np.linspace(120, 160, 8)])),  # a rise, no unit
            ("temperature", (80, 2), np.array([176.0])),
            ("noise", (0, 1), np.linspace(-1000, 1000, 18)),
        ],
    )
    def test_another_unit_is_named_of_what_is_measured_in_it(
        self, name: str, usual: tuple[float, float], odd: np.ndarray
    ) -> None:
        values = np.concatenate([np.random.default_rng(3).normal(*usual, 5_000), odd])
        found = find_unit_outliers(values, quantity_of(name, SchemaConfig())).to_json()
        assert found == {"unitOutliers": 0, "unitOutliersAre": None}

    @pytest.mark.parametrize(
        ("schema", "quantity"),
        [
            ({"columnRoles": {"x": "ambient"}}, "temperature"),
            ({"columnRoles": {"x": "speed"}, "columnUnits": {"x": "bar"}}, None),
            ({"columnUnits": {"x": "°C"}}, "temperature"),
            ({"columnUnits": {"x": "PSI"}}, "pressure"),
            ({"columnUnits": {"x": "h"}}, None),
            ({}, None),
        ],
    )
    def test_role_then_unit_then_name_tell_what_is_measured(
        self, tmp_path: Path, schema: dict[str, Any], quantity: str | None
    ) -> None:
        whole = config(tmp_path / "a.csv", schemaConfig={"continuousColumns": ["x"], "counterColumns": [], **schema})
        assert quantity_of("x", whole.schema_config) == quantity

    def test_they_are_told_and_kept(self, tmp_path: Path) -> None:
        frame = one_pump(1000)
        frame["temperature"] = np.random.default_rng(0).normal(80, 2, len(frame))
        frame.loc[100:102, "temperature"] = [176.0, 177.0, 175.0]
        prepared = prepared_from(frame, tmp_path)
        sensor = prepared.summary["sensors"]["temperature"]
        assert (sensor["unitOutliers"], sensor["unitOutliersAre"]) == (3, "in °F instead of °C")
        assert told(
            prepared,
            "temperature has 3 values far outside the usual, as if in °F instead of °C; they were kept; bounds in",
        )
        assert prepared.frame["temperature"].max() == 177


class TestRepeatedValues:
    @pytest.mark.parametrize("value", [-9999, 9999, -999, 32767, 65535, 1e30, -3.4028235e38, 999.25, -250.0])
    @pytest.mark.parametrize("share", [0.002, 0.05, 0.4])
    def test_what_stands_for_no_value_is_named(self, value: float, share: float) -> None:
        random = np.random.default_rng(4)
        sample = np.where(random.random(25_000) < share, value, random.normal(50, 5, 25_000))
        found = repeated_values(sample.astype(np.float32).astype(np.float64))
        assert [each["value"] for each in found] == [pytest.approx(value)]
        assert found[0]["share"] == pytest.approx(share, rel=0.3)
        assert 20 < found[0]["othersFrom"] < found[0]["othersTo"] < 80

    @pytest.mark.parametrize(
        "values",
        [
            np.full(100, 5.0),
            np.resize([0.0, 1000.0], 100),
            np.concatenate([np.random.default_rng(0).normal(50, 5, 1000), [300.0, 310.0, 4000.0]]),
            np.clip(np.random.default_rng(0).normal(95, 5, 1000), 0, 100),  # full scale
            np.clip(np.random.default_rng(0).gamma(1, 5, 1000), 0.5, 30),
            np.array([1.0, 9999.0, 9999.0]),
        ],
    )
    def test_what_may_be_measured_is_not_accused(self, values: np.ndarray) -> None:
        assert repeated_values(values) == []

    def test_several_are_named(self) -> None:
        sample = np.concatenate(
            [np.random.default_rng(0).normal(50, 5, 1000), np.full(9, -9999.0), np.full(5, 32767.0)]
        )
        assert {each["value"] for each in repeated_values(sample)} == {-9999.0, 32767.0}

    def test_the_bounds_that_leave_it_out_are_right(self, tmp_path: Path) -> None:
        frame = one_pump(1000).assign(temperature=lambda each: each["temperature"].where(each.index % 20 > 0, -9999))
        found = next(
            each for each in prepared_from(frame, tmp_path).summary["findings"] if each["code"] == "REPEATED_VALUE"
        )
        bounds = json.loads(found["hint"][found["hint"].index("{") :])
        clean = prepared_from(frame, tmp_path, schemaConfig={"validRange": bounds}).summary
        assert clean["sensors"]["temperature"]["min"] > 0
        assert clean["sensors"]["temperature"]["repeatedValues"] == []


class TestVerdict:
    def test_it_says_what_a_plant_engineer_asks(self, tmp_path: Path) -> None:
        frame = raw_history()
        frame.loc[frame["machine"] == "P-2", "failure_indicator"] = 0
        frame.loc[20:60, "temperature"] = np.nan
        verdict = prepared_from(frame.assign(volume=5.0), tmp_path).summary["verdict"]
        assert "Failures per asset: P-1 2." in verdict
        assert "1 asset never failed." in verdict
        assert verdict[0].endswith("of them usable: 8 hours of history.")
        assert any(line.startswith("Missing values: temperature ") for line in verdict)
        assert "volume never changes (always 5), so it tells nothing." in verdict

    @pytest.mark.parametrize(
        ("failures", "data", "reason"),
        [
            (0, {}, "without a failure there is nothing to learn"),
            (4, {}, "it needs 3 failure events in each of its 3 parts of time, 9 in all, and there are 4"),
            (4, {"testSplit": 0}, "2 parts of time, 6 in all, and there are 4"),
            (4, {"minFailureEvents": 1}, None),
        ],
    )
    def test_it_says_why_training_will_be_refused(
        self, tmp_path: Path, failures: int, data: dict[str, Any], reason: str | None
    ) -> None:
        frame = raw_history()
        if failures == 0:
            frame["failure_indicator"] = 0
        summary = prepared_from(frame, tmp_path, dataConfig=data).summary
        if reason is None:
            assert summary["refusal"] is None
        else:
            assert reason in summary["refusal"]
            assert summary["verdict"][-1] == summary["refusal"]
