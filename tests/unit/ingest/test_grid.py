from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.cleaning.parsing import NOT_UNDERSTOOD
from ml.errors import ConfigError, DataError
from ml.grid.own_gaps import resolve_own_gaps, slow_assets
from ml.grid.regular import resolve_interval, resolve_max_gap, to_grid
from ml.options.schema import SchemaConfig
from tests.reference.grid import naive_grid

SCHEMA = SchemaConfig(
    continuous_columns=("temperature", "volume", "load"), boolean_columns=("alarm",), counter_columns=("volume",)
)


def random_readings(rng: np.random.Generator, assets: int = 3, n: int = 60) -> pd.DataFrame:
    """Irregular readings with jitter to the microsecond, pauses, single losses and long losses of a sensor."""
    frames = []
    for asset in range(assets):
        steps = rng.choice([1, 5, 10, 13.25, 40, 200], p=[0.2, 0.2, 0.3, 0.2, 0.07, 0.03], size=n)
        time = 1_600_000_000 + rng.integers(0, 100) + np.cumsum(steps) + rng.integers(0, 2) * rng.random(n).round(6)
        frame = pd.DataFrame(
            {
                "asset_id": f"pump{asset}",
                "timestamp": pd.to_datetime((time * 1e6).astype(np.int64), unit="us", utc=True),
                "temperature": rng.normal(80, 5, n),
                "volume": 2.5e8 + np.cumsum(rng.random(n)),
                "load": rng.normal(size=n),
                "alarm": rng.integers(0, 2, n).astype(float),
                "target": (rng.random(n) < 0.2).astype(float),
            }
        )
        for name in ("temperature", "volume", "load", "alarm", "target"):
            frame.loc[rng.random(n) < 0.3, name] = np.nan
        frame.loc[rng.random(n) < 0.05, "target"] = NOT_UNDERSTOOD
        frame.loc[20:40, "load"] = np.nan
        frames.append(frame.sort_values("timestamp").drop_duplicates("timestamp"))
    return pd.concat(frames, ignore_index=True)


def readings(**columns: list[float]) -> pd.DataFrame:
    """Readings of one asset at the seconds given as ``at``."""
    time = pd.to_datetime(np.array(columns.pop("at"), dtype=float) * 1e6, unit="us", utc=True)
    return pd.DataFrame({"asset_id": "a", "timestamp": time, **columns})


def grid_of(frame: pd.DataFrame, **options: object) -> pd.DataFrame:
    sensors = [name for name in frame.columns if name not in ("asset_id", "timestamp", "target", "label")]
    schema = SchemaConfig(
        continuous_columns=tuple(name for name in sensors if name != "alarm"),
        boolean_columns=tuple(name for name in sensors if name == "alarm"),
    )
    return to_grid(frame, **{"schema": schema, "interval": 10, "max_gap": 30, **options})


def seconds(grid: pd.DataFrame) -> list[int]:
    return [int(time.timestamp()) for time in grid["timestamp"]]


@pytest.mark.parametrize("aggregation", ["last", "mean"])
@pytest.mark.parametrize(("interval", "max_gap"), [(10, 50), (7, 7), (60, 100), (1, 20)])
@pytest.mark.parametrize("own_gaps", [{}, {"pump1": 150, "pump9": 7}])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_the_naive_grid_cell_by_cell(
    aggregation: str, interval: int, max_gap: int, own_gaps: dict[str, int], seed: int
) -> None:
    frame = random_readings(np.random.default_rng(seed))
    expected = naive_grid(frame, SCHEMA, interval, max_gap, aggregation, own_gaps)
    shuffled = frame.sample(frac=1, random_state=seed)
    found = to_grid(
        shuffled, schema=SCHEMA, interval=interval, max_gap=max_gap, aggregation=aggregation, own_gaps=own_gaps
    )
    assert found["segment"].nunique() > 3
    pd.testing.assert_frame_equal(found, expected.astype(found.dtypes.to_dict()), check_exact=True)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), cut=st.integers(5, 170), aggregation=st.sampled_from(["last", "mean"]))
def test_readings_after_an_instant_change_nothing_at_or_before_it(seed: int, cut: int, aggregation: str) -> None:
    rng = np.random.default_rng(seed)
    frame = random_readings(rng)
    options = {"schema": SCHEMA, "interval": 10, "max_gap": 50, "aggregation": aggregation}
    whole = to_grid(frame, **options)
    instant = whole["timestamp"].iloc[cut % len(whole)]
    later = frame["timestamp"] > instant
    sensors = ["temperature", "volume", "load", "alarm", "target"]
    changed = frame.copy()
    changed.loc[later, sensors] = 1 - changed.loc[later, sensors].fillna(7)
    changed = changed[~later | (rng.random(len(frame)) < 0.7)]
    # Between the last reading and the instant there are rows only if another reading comes in time: their existence
    # depends on what follows, as in a live system that waits for it, but never what they hold.
    key = ["asset_id", "timestamp"]
    past = to_grid(frame[~later], **options)
    for other in (to_grid(changed, **options), past):
        both = whole[whole["timestamp"] <= instant].merge(other, on=key, suffixes=("", "_other"))
        assert len(both) >= len(past)
        for name in sensors:
            np.testing.assert_array_equal(both[name], both[f"{name}_other"])


def test_a_reading_belongs_to_the_first_instant_at_or_after_it() -> None:
    grid = grid_of(readings(at=[10, 10.000001, 29.999999], x=[1.0, 2.0, 3.0]))
    assert seconds(grid) == [10, 20, 30]
    assert grid["x"].tolist() == [1, 2, 3]


def test_a_value_is_carried_by_its_own_age() -> None:
    grid = grid_of(readings(at=[10, 20, 30, 40, 50, 60], x=[1.0] + [np.nan] * 5, y=[0.0] * 6))
    np.testing.assert_array_equal(grid["x"], [1, 1, 1, 1, np.nan, np.nan])


def test_a_short_alarm_does_not_vanish() -> None:
    grid = grid_of(readings(at=[1, 2, 3, 11, 30, 31], alarm=[0.0, 1, 0, np.nan, 0, np.nan], x=[0.0] * 6))
    np.testing.assert_array_equal(grid["alarm"], [1, 0, 0, 0])


def test_nothing_is_carried_across_a_pause() -> None:
    grid = grid_of(readings(at=[10, 20, 51, 60], x=[1.0, 2.0, np.nan, 4.0]))
    assert seconds(grid) == [10, 20, 60]
    assert grid["segment"].tolist() == [0, 0, 1]
    grid = grid_of(readings(at=[10, 20, 50.5, 55], x=[1.0, 2.0, np.nan, np.nan]))
    np.testing.assert_array_equal(grid["x"], [1, 2, np.nan])


def test_a_pause_of_exactly_the_limit_is_bridged() -> None:
    grid = grid_of(readings(at=[20, 50], x=[1.0, 2.0]))
    assert seconds(grid) == [20, 30, 40, 50]
    assert grid["x"].tolist() == [1, 1, 1, 2]
    assert grid["segment"].tolist() == [0, 0, 0, 0]


def test_assets_do_not_share_segments_or_values() -> None:
    frame = pd.concat([readings(at=[10, 20], x=[1.0, 1.0]), readings(at=[30], x=[np.nan]).assign(asset_id="b")])
    grid = grid_of(frame)
    assert grid["segment"].tolist() == [0, 0, 1]
    assert np.isnan(grid["x"].iloc[2])


def test_counters_stay_float64_and_others_become_float32() -> None:
    frame = random_readings(np.random.default_rng(0), assets=1)
    grid = to_grid(frame, schema=SCHEMA, interval=10, max_gap=50, aggregation="mean")
    assert (
        grid.dtypes[["temperature", "volume", "load", "alarm"]].tolist() == [np.float32, np.float64] + [np.float32] * 2
    )
    assert set(grid["volume"].dropna()) <= set(frame["volume"])


def test_of_readings_at_one_instant_the_last_row_counts() -> None:
    grid = grid_of(readings(at=[10, 10, 20], x=[1.0, 2.0, 3.0]), aggregation="mean")
    assert grid["x"].tolist() == [2, 3]


def test_infinite_values_are_missing() -> None:
    grid = grid_of(readings(at=[10, 20, 30], x=[1.0, np.inf, -1e300]))
    assert grid["x"].tolist() == [1, 1, 1]


def test_before_the_epoch() -> None:
    assert seconds(grid_of(readings(at=[-15, -5], x=[1.0, 2.0]))) == [-10, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.drop(columns="x"), 'no column "x"'),
        (lambda f: f.assign(x="hot"), '"x" is not numeric'),
        (lambda f: f.assign(timestamp=f["timestamp"].dt.tz_localize(None)), "time zone"),
        (lambda f: f.assign(timestamp=f["timestamp"].where(f["x"] > 1)), "no timestamp"),
        (lambda f: f.assign(asset_id=pd.Series([None, "a"], dtype="str")), "no asset"),
        (lambda f: f.iloc[:0], "no readings"),
    ],
)
def test_unusable_readings_are_refused_in_words(change, words: str) -> None:
    frame = readings(at=[10, 20], x=[1.0, 2.0])
    with pytest.raises(DataError, match=words):
        to_grid(change(frame), schema=SchemaConfig(continuous_columns=("x",)), interval=10, max_gap=30)


def test_interval_is_the_median_spacing_within_assets() -> None:
    asset = pd.Series(["a", "b", "a", "b", "a", "b", "a", "a"])
    time = pd.Series(pd.to_datetime([0, 1000, 60.2, 1060, 120, 1121, 500, 500], unit="s", utc=True))
    assert resolve_interval(asset, time) == 60
    fast = pd.Series(pd.to_datetime([0, 0.1, 0.2], unit="s", utc=True))
    assert resolve_interval(pd.Series(["a"] * 3), fast) == 1


def test_interval_needs_two_instants() -> None:
    with pytest.raises(DataError, match="two different times"):
        resolve_interval(pd.Series(["a", "b"]), pd.Series(pd.to_datetime([0, 60], unit="s", utc=True)))


def test_gap_limit_defaults_to_five_intervals_and_spans_one() -> None:
    assert resolve_max_gap(None, 60) == 300
    assert resolve_max_gap(90, 60) == 90
    with pytest.raises(ConfigError, match="maxGapSeconds is 30"):
        resolve_max_gap(30, 60)


def test_a_grid_far_larger_than_the_readings_is_refused_before_it_is_made() -> None:
    year = 365 * 86_400
    frame = readings(at=[year * number for number in range(70)], x=[1.0] * 70)
    with pytest.raises(ConfigError) as caught:
        grid_of(frame, interval=1, max_gap=10**9)
    error = caught.value
    assert error.field == "dataConfig.samplingIntervalSeconds"
    for words in (
        "samplingIntervalSeconds of 1 ",
        "maxGapSeconds of 1000000000 ",
        "2,175,984,001 grid rows",
        "70 read",
    ):
        assert words in error.message
    assert "time between readings" in str(error.hint)


def test_sparse_readings_are_no_mistake_while_the_grid_is_small() -> None:
    grid = grid_of(readings(at=[0, 200_000], x=[1.0, 2.0]), interval=1, max_gap=200_000)
    assert len(grid) == 200_001


@pytest.mark.parametrize(("rows_per_reading", "allowed"), [(2, True), (1, False)])
def test_many_rows_are_no_mistake_while_readings_are_many(
    rows_per_reading: int, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.grid.regular._ROWS_ALWAYS_ALLOWED", 3)
    monkeypatch.setattr("ml.grid.regular._ROWS_PER_READING", rows_per_reading)
    frame = readings(at=[0, 20, 40, 60], x=[1.0] * 4)
    if allowed:
        assert len(grid_of(frame)) == 7
        return
    with pytest.raises(ConfigError, match="7 grid rows of 4 readings"):
        grid_of(frame)


def test_a_target_that_is_not_understood_is_unknown_until_the_next_that_is() -> None:
    frame = readings(at=[10, 20, 28, 40, 60, 67, 70], x=[1.0] * 7, target=[0, 0.5, np.nan, np.nan, 0, 0.5, 1])
    assert grid_of(frame)["target"].tolist() == pytest.approx([0, np.nan, np.nan, np.nan, np.nan, 0, 1], nan_ok=True)
    assert grid_of(frame.iloc[:-1])["target"].tolist()[-1] != 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    paces=st.lists(st.sampled_from([3, 60, 119, 121, 3600]), min_size=1, max_size=5),
    piece=st.integers(1, 40),
)
def test_slow_assets_are_those_with_more_than_twice_the_spacing(seed: int, paces: list[int], piece: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 30, len(paces))
    spacings = [pace + rng.integers(0, 2, size) for pace, size in zip(paces, sizes, strict=True)]
    asset = np.repeat(np.arange(len(paces)), sizes)
    time = np.concatenate([np.cumsum(one) for one in spacings]) * 1_000_000
    expected = {
        code: round(float(np.median(one[1:])))
        for code, one in enumerate(spacings)
        if len(one) > 10 and np.mean(one[1:] > 120) > 0.5
    }
    found = slow_assets(
        lambda: ((asset[at : at + piece], time[at : at + piece]) for at in range(0, len(asset), piece)), 60
    )
    assert found == expected


def test_a_slow_asset_is_carried_over_five_of_its_own_intervals() -> None:
    assert resolve_own_gaps({"b": 3600, "a": 7200}, None, 180) == {"a": 36_000, "b": 18_000}
    assert resolve_own_gaps({"a": 3600}, 900, 180) == {}  # what is configured holds for all
    assert resolve_own_gaps({"a": 200 * 180, "b": 200 * 180 + 1}, None, 180) == {"a": 180_000}
