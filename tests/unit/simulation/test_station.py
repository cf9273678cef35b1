from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.errors import UsageError
from simulation.physics import COUNTER_MODULUS
from simulation.station import SENSORS, SIGNALS, TARGET, Station, simulate
from simulation.wear import WearLaw
from tests.unit.simulation.conftest import QUIET

RANGES = {
    "temperature": (-15, 110),
    "pressure": (0, 12),
    "flow_rate": (0, 95),
    "vibration": (0, 12),
    "current": (0, 6),
    "voltage": (370, 430),
    "rpm": (0, 3300),
    "power_consumption": (0, 3.5),
    "total_volume": (0, COUNTER_MODULUS - 1),
    "load_setpoint": (35, 110),
    "ambient_temperature": (-15, 45),
}


def test_one_seed_gives_the_same_rows_twice_and_another_seed_does_not() -> None:
    first, second, other = (simulate(seed, n_assets=3, days=10) for seed in (5, 5, 6))
    pd.testing.assert_frame_equal(first.readings, second.readings)
    pd.testing.assert_frame_equal(first.hidden, second.hidden)
    assert not first.readings["vibration"].equals(other.readings["vibration"])


def test_columns_and_types(station: Station) -> None:
    readings = station.readings
    assert list(readings) == ["asset_id", "created_timestamp", *SENSORS, *SIGNALS, TARGET]
    assert str(readings["created_timestamp"].dtype) == "datetime64[us, UTC]"
    assert {str(readings[name].dtype) for name in SENSORS} == {"float64"}
    assert set(np.unique(readings[[*SIGNALS, TARGET]])) == {0, 1}
    assert readings["created_timestamp"].is_monotonic_increasing


@pytest.mark.parametrize("sensor", SENSORS)
def test_sensors_stay_within_physical_ranges(station: Station, sensor: str) -> None:
    low, high = RANGES[sensor]
    assert station.readings[sensor].between(low, high).sum() == station.readings[sensor].notna().sum() > 0


def test_the_archive_has_every_kind_of_fault(station: Station) -> None:
    readings = station.readings
    assert readings.duplicated().any()
    assert readings["vibration"].isna().any()
    assert readings["load_setpoint"].notna().all()
    spacing = readings.drop_duplicates().groupby("asset_id")["created_timestamp"].diff()
    assert spacing.max() > pd.Timedelta("1h")
    assert abs(spacing.median() - pd.Timedelta("15min")) < pd.Timedelta("1s")
    assert spacing.nunique() > 100


def test_the_totaliser_integrates_the_flow(quiet_station: Station) -> None:
    for _, pump in quiet_station.readings.groupby("asset_id"):
        litres = pump["flow_rate"].to_numpy()[1:] * 15  # l/min over 15 minutes
        counted = np.diff(pump["total_volume"].to_numpy())
        steady = counted >= 0  # a replaced meter or the end of the counter
        assert steady.mean() > 0.999
        assert counted[steady].sum() == pytest.approx(litres[steady].sum(), rel=0.01)


def test_failure_is_shown_exactly_while_wear_is_at_its_limit(quiet_station: Station) -> None:
    readings = quiet_station.readings
    instants = readings["created_timestamp"].dt.ceil("900s")
    joined = readings.assign(timestamp=instants).merge(quiet_station.hidden, on=["asset_id", "timestamp"])
    assert len(joined) == len(readings)
    assert joined[TARGET].sum() > 0
    np.testing.assert_array_equal(joined[TARGET] == 1, joined["wear"] >= joined["limit"])


def test_signals_tell_one_story(quiet_station: Station) -> None:
    readings = quiet_station.readings
    failed, running = readings[TARGET] == 1, readings["pump_status"] == 1
    serviced, open_valve = readings["maintenance_mode"] == 1, readings["valve_open"] == 1
    assert not (failed & running).any()
    assert not (serviced & running).any()
    assert not (serviced & open_valve).any()
    assert (failed & ~serviced & open_valve).any()
    assert (serviced & ~failed).any()
    assert readings.loc[~running, "flow_rate"].max() < 3


def test_no_sensor_knows_the_limit_before_the_first_failure() -> None:
    soon, late = (
        simulate(4, n_assets=3, days=40, law=replace(WearLaw(), limit=limit), rates=QUIET) for limit in (0.7, 1.0)
    )
    for asset, early in soon.readings.groupby("asset_id"):
        first_failure = early.loc[early[TARGET] == 1, "created_timestamp"].min()
        assert pd.notna(first_failure)
        before, same = (
            rows[(rows["asset_id"] == asset) & (rows["created_timestamp"] < first_failure)].reset_index(drop=True)
            for rows in (soon.readings, late.readings)
        )
        assert len(before) > 50
        # The mains sag with the demand, never with what another pump does, so all columns must agree.
        pd.testing.assert_frame_equal(before, same)


def test_the_default_archive_has_failures_enough_to_learn_from_and_to_judge_by() -> None:
    hidden = simulate().hidden
    failed = hidden["wear"] >= hidden["limit"]
    onset = failed & ~failed.groupby(hidden["asset_id"]).shift(fill_value=False)
    times = hidden.loc[onset, "timestamp"]
    span = hidden["timestamp"].max() - hidden["timestamp"].min()
    assert onset.sum() >= 60
    assert (times > hidden["timestamp"].max() - 0.2 * span).sum() >= 10


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((1, 0, 10, 900), "n_assets"), ((1, 2, 0, 900), "days"), ((1, 2, 10, 0), "interval_seconds"), ((-1,), "seed")],
)
def test_impossible_stations_are_refused(arguments: tuple[int, ...], field: str) -> None:
    with pytest.raises(UsageError, match="allowed is") as refusal:
        simulate(*arguments)
    assert refusal.value.field == field
