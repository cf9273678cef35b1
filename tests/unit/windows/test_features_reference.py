"""Every feature of the catalogue against the naive reference, cell by cell, and the laws that follow."""

import json

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.features import FeatureEngineer
from ml.windows.catalogue import FAMILIES
from tests.reference.features import reference_row

INTERVAL = 60
SCHEMA = {
    "continuousColumns": ["temp", "pres", "flow", "vib", "amp", "volt", "load", "total"],
    "booleanColumns": ["pump", "valve"],
    "counterColumns": ["total"],
    "columnRoles": {
        "temp": "temperature",
        "pres": "pressure",
        "flow": "flow",
        "vib": "vibration",
        "amp": "current",
        "volt": "voltage",
    },
    "lagSeconds": [60, 180],
    "rollingWindows": [3, 7, 20],
    "eventInputs": {"since_repair": ["maintenance"]},
}

WORDS = {"recipe": ["bread", "cake", "bun"]}
PAIRS = [{"setPoint": "pres", "value": "temp"}, {"setPoint": "load", "value": "amp", "name": "amp_error"}]


def make_config(**families):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": SCHEMA | families.pop("schema", {}),
            "dataConfig": {"samplingIntervalSeconds": INTERVAL},
            "featureConfig": {
                "families": {"time": True, "since": True, "history": {"enabled": True, "samples": 40}} | families
            },
        }
    )


def make_frame(rows=260, seed=0, scale=1.0, nan_share=0.08):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"asset_id": "asset", "segment": np.repeat([0, 1, 2, 3], [rows - 120, 1, 2, 117])})
    frame["timestamp"] = pd.date_range("2024-02-28 20:00", periods=rows, freq="min", tz="UTC").astype(
        "datetime64[us, UTC]"
    )
    for name in SCHEMA["continuousColumns"][:6]:
        values = np.round(random.normal(20, 5, rows) * scale, 1 if scale >= 1 else 9)
        values[random.random(rows) < nan_share] = np.nan
        frame[name] = values.astype(np.float32)
    frame.loc[30:60, "pres"] = np.float32(7.25)  # a constant stretch: std must be exactly 0
    frame.loc[90:115, "vib"] = np.float32(np.nan)  # longer than the longest window
    frame.loc[random.random(rows) < 0.2, "volt"] = np.float32(0.0)
    frame["load"] = random.choice([1.0, 1.02, 5.0, 5.03, np.nan], rows).astype(np.float32)
    frame["total"] = 2.5e8 + np.cumsum(random.integers(0, 4, rows)).astype(np.float64)
    frame.loc[70:, "total"] -= 2.4e8  # a reset
    for name in SCHEMA["booleanColumns"]:
        values = np.repeat(random.integers(0, 2, rows // 5 + 1), 5)[:rows].astype(np.float32)
        values[random.random(rows) < nan_share] = np.nan
        frame[name] = values
    recipe = np.repeat(random.integers(0, 3, rows // 7 + 1), 7)[:rows].astype(np.float32)
    recipe[random.random(rows) < nan_share] = np.nan
    frame["recipe"] = recipe
    frame["since_repair"] = np.where(np.arange(rows) < 20, np.nan, np.arange(rows) % 50 * 60.0).astype(np.float32)
    return frame


def reference_matrix(engineer, frame):
    channels = list(engineer.channels)
    values = frame[channels].to_numpy(dtype=np.float64)
    segment = frame["segment"].to_numpy()
    seconds = frame["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
    width = engineer.look_back
    rows = []
    for t in range(len(frame)):
        window = np.full((width, len(channels)), np.nan)
        first = max(0, t - width + 1)
        inside = values[first : t + 1].copy()
        inside[segment[first : t + 1] != segment[t]] = np.nan
        window[width - len(inside) :] = inside
        rows.append(
            reference_row(
                window,
                channels,
                engineer.config.schema_config.counter_columns,
                [feature.operation for feature in engineer.features],
                interval=INTERVAL,
                seconds=int(seconds[t]),
                constants=engineer.constants,
                regimes=engineer.regimes,
                pairs=[(p.difference, p.value, p.set_point) for p in engineer.config.schema_config.set_point_pairs],
            )
        )
    return np.array(rows)


def assert_same_cells(actual, expected, names):
    wrong = ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    where = [
        (names[column], int(row), actual[row, column], expected[row, column]) for row, column in np.argwhere(wrong)
    ]
    assert not where, f"{len(where)} cells differ, first: {where[:5]}"


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
@pytest.mark.parametrize("operating", [(), ("load",)])
def test_every_feature_equals_the_naive_reference_in_every_cell(scale, operating):
    config = make_config(schema={"operatingColumns": list(operating)})
    frame = make_frame(scale=scale)
    engineer = FeatureEngineer(config).fit(frame)
    assert_same_cells(engineer.matrix(frame), reference_matrix(engineer, frame), engineer.get_feature_names_out())


def test_all_families_are_covered_by_the_reference_test():
    engineer = FeatureEngineer(make_config(schema={"operatingColumns": ["load"]})).fit(make_frame())
    made = {type(feature.operation) for feature in engineer.features}
    assert made == {operation for family in FAMILIES for operation in family.operations}


def test_regimes_are_found_where_they_are_and_not_invented():
    random = np.random.default_rng(1)
    frame = make_frame()
    config = make_config(schema={"operatingColumns": ["load"]})

    frame["load"] = np.where(
        random.random(len(frame)) < 0.4, random.normal(1, 0.02, len(frame)), random.normal(5, 0.1, len(frame))
    )
    assert FeatureEngineer(config).fit(frame).regimes.count == 2

    frame["load"] = random.uniform(0, 1, len(frame))
    assert FeatureEngineer(config).fit(frame).regimes.count == 1


@pytest.mark.parametrize("row", [0, 57, 139, 140, 200, 258])
def test_nothing_after_a_row_changes_its_features(row):
    config = make_config(schema={"operatingColumns": ["load"]})
    frame = make_frame()
    engineer = FeatureEngineer(config).fit(frame)
    before = engineer.matrix(frame)[: row + 1]
    changed = frame.copy()
    changed.loc[row + 1 :, list(engineer.channels)] = 123.0
    assert before.tobytes() == engineer.matrix(changed)[: row + 1].tobytes()


def test_chunks_give_the_bits_of_one_piece(monkeypatch):
    frame = make_frame()
    engineer = FeatureEngineer(make_config(schema={"operatingColumns": ["load"]})).fit(frame)
    whole = engineer.matrix(frame)
    for rows in (1, 17, 100):
        monkeypatch.setattr("ml.windows.chunks._ROWS", rows)
        monkeypatch.setattr("ml.windows.chunks._WINDOWS", 0)
        assert engineer.matrix(frame).tobytes() == whole.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rows_in_either_order_are_the_same_numbers(order, share):
    frame = make_frame()
    engineer = FeatureEngineer(make_config()).fit(frame)
    wanted = np.random.default_rng(3).random(len(frame)) < share
    found = engineer.matrix(frame, rows=wanted, order=order)
    assert found.flags[f"{order}_CONTIGUOUS"]
    assert found.tobytes() == engineer.matrix(frame)[wanted].tobytes()


@pytest.mark.parametrize("rows", [np.ones(9, bool), np.ones(11, bool), np.ones(10, int)])
def test_rows_that_do_not_fit_the_frame_are_refused(rows):
    frame = make_frame().iloc[:10]
    with pytest.raises(DataError, match=r"one bool per row of the frame, \(10,\)"):
        FeatureEngineer(make_config()).fit(frame).matrix(frame, rows=rows)


def test_wanted_rows_are_the_rows_of_the_whole():
    frame = make_frame()
    engineer = FeatureEngineer(make_config()).fit(frame)
    wanted = np.random.default_rng(3).random(len(frame)) < 0.3
    table = engineer.transform(frame, rows=wanted)
    assert list(table.index) == list(np.flatnonzero(wanted))
    assert (
        np.ascontiguousarray(table.to_numpy()).tobytes()
        == np.ascontiguousarray(engineer.matrix(frame)[wanted]).tobytes()
    )


@pytest.mark.usefixtures("several_threads")
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_a_bit(threads):
    frame = make_frame()
    config = make_config()
    other = config.model_copy(
        update={"training_config": config.training_config.model_copy(update={"threads": threads})}
    )
    assert (
        FeatureEngineer(other).fit(frame).matrix(frame).tobytes()
        == FeatureEngineer(config).fit(frame).matrix(frame).tobytes()
    )


def test_state_survives_json():
    frame = make_frame()
    config = make_config(schema={"operatingColumns": ["load"]})
    config = config.model_copy(
        update={
            "feature_config": config.feature_config.model_copy(
                update={
                    "scaling": "robust",
                    "selection": config.feature_config.selection.model_copy(update={"method": "f_test", "k": 25}),
                }
            )
        }
    )
    label = (np.random.default_rng(5).random(len(frame)) < 0.3).astype(np.int8)
    engineer = FeatureEngineer(config).fit(frame, label)
    rebuilt = FeatureEngineer.from_dict(json.loads(json.dumps(engineer.to_dict())))
    assert rebuilt.get_feature_names_out() == engineer.get_feature_names_out()
    assert len(rebuilt.features) == 25
    assert rebuilt.matrix(frame).tobytes() == engineer.matrix(frame).tobytes()
    assert rebuilt.scaling.to_dict() == engineer.scaling.to_dict()
    assert rebuilt.look_back == engineer.look_back


@pytest.mark.parametrize("method", ["f_test", "mutual_information", "model_importance"])
def test_selection_finds_the_informative_sensor_and_is_stable(method):
    frame = make_frame(nan_share=0.0)
    label = (frame["temp"] > 21).to_numpy().astype(np.int8)
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": SCHEMA,
            "dataConfig": {"samplingIntervalSeconds": INTERVAL},
            "featureConfig": {"selection": {"method": method, "k": 5}},
        }
    )
    names = [FeatureEngineer(config).fit(frame, label).get_feature_names_out() for _ in range(2)]
    assert names[0] == names[1]
    assert "temp__value" in names[0]


def test_learning_ignores_rows_outside_training():
    frame = make_frame()
    rows = np.arange(len(frame)) < 100
    changed = frame.copy()
    changed.loc[100:, "temp"] = 9e6
    config = make_config(schema={"operatingColumns": ["load"]})
    one, other = (FeatureEngineer(config).fit(table, rows=rows).to_dict() for table in (frame, changed))
    assert one == other
