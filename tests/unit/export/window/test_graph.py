"""The window graph against `FeatureEngineer`, cell by cell, and its probabilities bit by bit."""

from __future__ import annotations

import numpy as np
import onnx
import pandas as pd
import pytest

from ml.errors import InternalError, ParityError
from ml.export.onnx_runtime import onnxruntime
from ml.export.session import open_model
from ml.export.trees.ensemble import from_lightgbm
from ml.export.window import rules
from ml.export.window.graph import build_feature_probe, build_window_model
from ml.export.window.parity import window_batch
from ml.features import FeatureEngineer
from ml.windows.catalogue import FAMILIES, PROFILES, SAMPLES
from tests.unit.export.trained_models import train_booster
from tests.unit.windows.test_features_reference import PAIRS, WORDS, assert_same_cells, make_config, make_frame

NOTHING = dict.fromkeys(("raw", "lags", "rolling", "differences", "anomaly", "domain", "time", "boolean"), False)
OPERATING = [(), ("load",), ("load", "amp")]


def configure(operating=(), scaling="none", selection=None, **families):
    families = {"regime": {"count": 4}} | families if len(operating) > 1 else families
    config = make_config(schema={"operatingColumns": list(operating)} | families.pop("schema", {}), **families)
    changes = {"scaling": scaling}
    if selection is not None:
        options = config.feature_config.selection
        changes["selection"] = options.model_copy(update={"method": "f_test", "k": selection})
    return config.model_copy(update={"feature_config": config.feature_config.model_copy(update=changes)})


def graph_features(engineer, frame, *, together=None):
    """Features of every row by the graph, `together` rows in a call."""
    session = open_model(build_feature_probe(engineer))
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    size = together or len(frame)
    return np.concatenate(
        [
            session.run(None, {"window": window[at : at + size], "timestamp": timestamp[at : at + size]})[0]
            for at in range(0, len(frame), size)
        ]
    )


def assert_equal_features(engineer, frame, *, together=None):
    made = graph_features(engineer, frame, together=together)
    assert_same_cells(made, engineer.matrix(frame), engineer.get_feature_names_out())


def test_every_operation_of_the_catalogue_has_a_rule():
    used = {operation for family in (*FAMILIES, *PROFILES.values(), SAMPLES) for operation in family.operations}
    assert used == set(rules.RULES)


@pytest.mark.parametrize("operating", OPERATING)
def test_the_samples_of_a_model_of_normal_behaviour_are_readings_in_their_own_units(operating):
    config = configure(operating)
    settings = config.training_config.model_copy(update={"model_type": "normal_behaviour"})
    engineer = FeatureEngineer(config.model_copy(update={"training_config": settings})).fit(frame := make_frame())
    assert {type(feature.operation) for feature in engineer.features} == {rules.ops.Sample}
    assert_equal_features(engineer, frame)
    newest = engineer.get_feature_names_out().index("temp__sample__0")
    np.testing.assert_array_equal(engineer.matrix(frame)[:, newest], frame["temp"].to_numpy(np.float32))


def test_an_operation_without_a_rule_is_refused(monkeypatch):
    engineer = FeatureEngineer(configure()).fit(make_frame())
    monkeypatch.delitem(rules.RULES, rules.ops.Rate)
    with pytest.raises(InternalError, match="Rate has no rule"):
        build_feature_probe(engineer)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7])
@pytest.mark.parametrize("operating", OPERATING)
def test_every_family_gives_the_engineers_cells(scale, operating):
    frame = make_frame(scale=scale)
    engineer = FeatureEngineer(configure(operating)).fit(frame)
    made = {type(feature.operation) for feature in engineer.features}
    assert made >= {operation for family in FAMILIES for operation in family.operations} - {rules.ops.Regime}
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e36])
@pytest.mark.parametrize("operating", OPERATING)
def test_differences_and_categories_give_the_engineers_cells(scale, operating):
    """Also where the difference is infinite in float32, of large readings with opposite signs."""
    frame = make_frame(scale=scale)
    frame.loc[::3, "pres"] *= -3
    frame.loc[::3, "temp"] = -frame.loc[::3, "pres"]
    engineer = FeatureEngineer(configure(operating, schema={"setPointPairs": PAIRS, "categoricalColumns": WORDS})).fit(
        frame
    )
    assert {"temp_minus_pres__value", "amp_error__slope__w=7", "recipe__category"} <= {
        *engineer.get_feature_names_out()
    }
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("together", [1, 7])
def test_the_number_of_rows_in_a_call_changes_nothing(together):
    frame = make_frame()
    engineer = FeatureEngineer(configure(("load",))).fit(frame)
    assert_equal_features(engineer, frame, together=together)


@pytest.mark.parametrize("windows", [(2, 3), (4, 5, 9), (8, 11, 40)])
@pytest.mark.parametrize("nan_share", [0.0, 0.3, 0.8])
def test_odd_and_even_windows_shorter_than_the_longest_lag_with_any_share_missing(windows, nan_share):
    frame = make_frame(nan_share=nan_share, seed=3)
    schema = {"rollingWindows": list(windows), "lagSeconds": [60, 3000]}
    engineer = FeatureEngineer(configure(schema=schema)).fit(frame)
    assert engineer.look_back > max(windows) + 1
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("together", [1, None])
def test_sums_that_are_not_exact_are_added_in_the_same_order(together):
    """Large readings that cancel leave the rounding errors of the sum beside small ones: they depend on the order."""
    frame = make_frame(seed=4)
    random = np.random.default_rng(4)
    for name in ("temp", "pres", "flow", "vib", "amp", "volt"):
        large = random.normal(size=(len(frame) // 10, 3)) * 1e8
        small = random.normal(size=(len(frame) // 10, 4)) * 1e-3
        blocks = random.permuted(np.concatenate([large, -large, small], axis=1).astype(np.float32), axis=1)
        frame[name] = blocks.ravel()
    engineer = FeatureEngineer(configure()).fit(frame)
    assert_equal_features(engineer, frame, together=together)


SENSORS = ("temp", "pres", "flow", "vib", "amp", "volt")
LONG_WINDOWS = (2, 5, 30, 49, 90)


def complete_frame(seed=0):
    """A frame of one segment without a missing reading, whose counter is never reset."""
    frame = make_frame(seed=seed, nan_share=0.0)
    random = np.random.default_rng(seed)
    frame["segment"] = 0
    frame["load"] = random.choice([1.0, 1.02, 5.0, 5.03], len(frame)).astype(np.float32)
    frame["vib"] = random.normal(3, 1, len(frame)).astype(np.float32)
    frame["total"] = 2.5e8 + np.cumsum(random.integers(0, 4, len(frame))).astype(np.float64)
    return frame


def _some_missing(random, shape, share):
    return np.where(random.random(shape) < share, np.nan, np.round(random.normal(20, 5, shape), 1))


def _cancelling(random, shape):
    """Large readings that cancel beside small ones: what is left of their sum depends on its order."""
    large = random.normal(size=(shape[0] // 10, 3, shape[1])) * 1e8
    small = random.normal(size=(shape[0] // 10, 4, shape[1])) * 1e-3
    blocks = random.permuted(np.concatenate([large, -large, small], axis=1).astype(np.float32), axis=1)
    return blocks.reshape(shape)


def _block_missing(random, shape):
    values = random.normal(20, 5, shape)
    values[60:200] = np.nan
    return values


ADVERSARIAL = {
    "readings": lambda random, shape: np.round(random.normal(20, 5, shape), 1),
    "three_percent_missing": lambda random, shape: _some_missing(random, shape, 0.03),
    "most_missing": lambda random, shape: _some_missing(random, shape, 0.9),
    "all_missing": lambda random, shape: np.full(shape, np.nan),
    "missing_for_longer_than_a_window": _block_missing,
    "constant": lambda random, shape: np.full(shape, 0.1),
    "two_values": lambda random, shape: random.choice([0.1, 7.25], shape),
    "tiny": lambda random, shape: random.normal(20, 5, shape) * 1e-6,
    "huge": lambda random, shape: random.normal(20, 5, shape) * 1e6,
    "tiny_steps_on_a_large_level": lambda random, shape: 1e6 + random.integers(0, 2, shape) / 16,
    "cancelling": _cancelling,
    "zeros_of_both_signs": lambda random, shape: random.choice([0.0, -0.0], shape),
    "denormals": lambda random, shape: random.choice([1e-45, -1e-45, 3e-42, 0.0, -0.0], shape),
    "ends_of_float32": lambda random, shape: random.choice([3.4e38, -3.4e38, 1.0], shape),
    "infinite": lambda random, shape: random.choice([np.inf, -np.inf, 1.0, 2.0], shape),
    "rising": lambda random, shape: np.arange(shape[0])[:, None] * np.ones(shape[1]),
}


@pytest.mark.parametrize("together", [1, None])
@pytest.mark.parametrize("kind", list(ADVERSARIAL))
@pytest.mark.parametrize("filled", [True, False], ids=["others_complete", "others_incomplete"])
def test_adversarial_windows_give_the_engineers_cells(kind, filled, together):
    """Row by row, as a client asks, complete windows take their own branch; all together, none does."""
    frame = complete_frame(seed=6) if filled else make_frame(seed=6)
    frame[list(SENSORS)] = ADVERSARIAL[kind](np.random.default_rng(6), (len(frame), len(SENSORS))).astype(np.float32)
    engineer = FeatureEngineer(configure(schema={"rollingWindows": list(LONG_WINDOWS)})).fit(make_frame())
    window, _ = window_batch(frame, engineer, np.arange(len(frame)))
    finite = np.isfinite(frame[list(SENSORS)].to_numpy()).all()
    assert np.isfinite(window).all(axis=(1, 2)).any() == (filled and finite)
    assert_equal_features(engineer, frame, together=together)


@pytest.mark.parametrize("operating", OPERATING)
def test_complete_windows_of_every_family_give_the_engineers_cells(operating):
    frame = complete_frame()
    engineer = FeatureEngineer(configure(operating, schema={"rollingWindows": list(LONG_WINDOWS)})).fit(frame)
    assert_equal_features(engineer, frame, together=1)


def test_every_optimisation_level_of_onnxruntime_gives_the_same_bits():
    engineer = FeatureEngineer(configure(("load",), schema={"rollingWindows": list(LONG_WINDOWS)})).fit(make_frame())
    probe = build_feature_probe(engineer)
    for frame, size in ((make_frame(), 260), (complete_frame(), 1)):
        window, timestamp = window_batch(frame, engineer, np.arange(100, 100 + min(size, 30)))
        results = set()
        for level in onnxruntime.GraphOptimizationLevel.__members__.values():
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = level
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(probe, options, providers=["CPUExecutionProvider"])
            results.add(session.run(None, {"window": window, "timestamp": timestamp})[0].tobytes())
        assert len(results) == 1


def test_infinities_negative_zeros_and_the_ends_of_float32():
    frame = make_frame(seed=5)
    random = np.random.default_rng(5)
    special = np.array([np.inf, -np.inf, -0.0, 0.0, 1e-45, -1e-45, 1e38, -1e38, 3.4e38], dtype=np.float32)
    for name in ("temp", "pres", "flow", "vib", "amp", "volt"):
        where = random.random(len(frame)) < 0.1
        frame.loc[where, name] = random.choice(special, int(where.sum()))
    frame.loc[200:202, "total"] = [np.inf, -np.inf, np.nan]
    engineer = FeatureEngineer(configure()).fit(make_frame())
    assert_equal_features(engineer, frame)


def test_raw_float64_readings_are_rounded_as_the_grid_rounds_them():
    frame = make_frame()
    engineer = FeatureEngineer(configure()).fit(frame)
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    floats = [place for place, name in enumerate(engineer.channels) if name != "total"]
    nudged = window.copy()
    nudged[:, :, floats] *= 1 + 1e-12
    session = open_model(build_feature_probe(engineer))
    (made,) = session.run(None, {"window": nudged, "timestamp": timestamp})
    assert_same_cells(made, engineer.matrix(frame), engineer.get_feature_names_out())


def test_an_organisation_that_only_has_counters():
    frame = make_frame().drop(columns=["pump", "valve"])
    schema = {"continuousColumns": ["total"], "booleanColumns": [], "columnRoles": {}}
    engineer = FeatureEngineer(configure(schema=schema)).fit(frame)
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("families", [{"time": True}, {"raw": True}, {"boolean": True}, {"rolling": True}])
def test_one_family_alone(families):
    frame = make_frame()
    engineer = FeatureEngineer(configure(**NOTHING | families)).fit(frame)
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("statistic", ["mean", "std", "min", "max", "median", "slope"])
def test_one_statistic_alone(statistic):
    frame = make_frame()
    engineer = FeatureEngineer(configure(**NOTHING | {"rolling": {"statistics": [statistic]}})).fit(frame)
    assert_equal_features(engineer, frame)


def test_time_before_1970_and_across_days():
    frame = make_frame()
    frame["timestamp"] = pd.date_range("1969-12-28 23:57:01", periods=len(frame), freq="3593s", tz="UTC").astype(
        "datetime64[us, UTC]"
    )
    engineer = FeatureEngineer(configure(**NOTHING | {"time": True})).fit(frame)
    assert_equal_features(engineer, frame)


@pytest.mark.parametrize("seed", range(3))
def test_any_selection_of_features_gives_the_engineers_cells(seed):
    frame = make_frame()
    engineer = FeatureEngineer(configure(("load",))).fit(frame)
    state = engineer.to_dict()
    names = np.random.default_rng(seed).permutation(state["features"])
    chosen = FeatureEngineer.from_dict(state | {"features": list(names[: 10 + 20 * seed])})
    assert chosen.look_back <= engineer.look_back
    assert_equal_features(chosen, frame)


@pytest.mark.parametrize(("scaling", "selection"), [("none", None), ("standard", 25), ("robust", None)])
@pytest.mark.parametrize("operating", OPERATING[:2])
def test_probabilities_and_labels_are_those_of_the_trained_model(scaling, selection, operating):
    frame = make_frame()
    label = (np.random.default_rng(5).random(len(frame)) < 0.3).astype(np.int8)
    engineer = FeatureEngineer(configure(operating, scaling, selection)).fit(frame, label)
    rows = np.ascontiguousarray(engineer.scaling.apply(engineer.matrix(frame)))
    booster = train_booster(rows, label)
    session = open_model(build_window_model(engineer, from_lightgbm(booster), threshold=0.3, metadata={}))
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    probabilities, decided, _ = session.run(None, {"window": window, "timestamp": timestamp})
    expected = booster.predict(rows, num_threads=1).astype(np.float32)
    np.testing.assert_array_equal(probabilities[:, 1].view(np.uint32), expected.view(np.uint32))
    np.testing.assert_array_equal(decided, expected >= np.float32(0.3))
    assert len(set(expected.tolist())) > 50


@pytest.mark.parametrize("options", [{"num_leaves": 3, "rounds": 2}, {"min_data_in_leaf": 5000, "rounds": 2}])
def test_features_that_no_tree_asks_for_are_not_computed(options):
    frame = make_frame()
    label = (np.random.default_rng(5).random(len(frame)) < 0.3).astype(np.int8)
    engineer = FeatureEngineer(configure(scaling="standard")).fit(frame)
    rows = np.ascontiguousarray(engineer.scaling.apply(engineer.matrix(frame)))
    booster = train_booster(rows, label, **options)
    model = build_window_model(engineer, from_lightgbm(booster), threshold=0.3, metadata={})
    probe = onnx.load_model_from_string(build_feature_probe(engineer))
    assert len(onnx.load_model_from_string(model).graph.node) < len(probe.graph.node) / 2
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    probabilities, _, given = open_model(model).run(None, {"window": window, "timestamp": timestamp})
    expected = booster.predict(rows, num_threads=1).astype(np.float32)
    np.testing.assert_array_equal(probabilities[:, 1].view(np.uint32), expected.view(np.uint32))
    used = from_lightgbm(booster).used_features()
    np.testing.assert_array_equal(given[:, used], engineer.matrix(frame)[:, used])
    assert np.isnan(np.delete(given, used, axis=1)).all()
    also = [0, len(engineer.features) - 1, 7]
    wider = build_window_model(engineer, from_lightgbm(booster), threshold=0.3, metadata={}, also=also)
    again, _, more = open_model(wider).run(None, {"window": window, "timestamp": timestamp})
    assert again.tobytes() == probabilities.tobytes()
    known = np.union1d(used, also)
    np.testing.assert_array_equal(more[:, known], engineer.matrix(frame)[:, known])
    assert np.isnan(np.delete(more, known, axis=1)).all()


def test_inputs_versions_and_bytes_are_as_promised():
    frame = make_frame()
    engineer = FeatureEngineer(configure(("load",))).fit(frame)
    booster = train_booster(np.ascontiguousarray(engineer.matrix(frame)), np.arange(len(frame)) % 2)
    one, other = (
        build_window_model(engineer, from_lightgbm(booster), threshold=0.5, metadata={"version": "v1"})
        for _ in range(2)
    )
    assert one == other
    model = onnx.load_model_from_string(one)
    assert model.ir_version <= 10
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, "ai.onnx.ml": 5}
    session = open_model(one)
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_inputs()] == [
        ("window", "tensor(double)", ["N", engineer.look_back, len(engineer.channels)]),
        ("timestamp", "tensor(int64)", ["N"]),
    ]
    assert [(entry.name, entry.type) for entry in session.get_outputs()] == [
        ("probabilities", "tensor(float)"),
        ("label", "tensor(int64)"),
        ("features", "tensor(float)"),
    ]


def test_onnxruntime_keeps_time_first(tmp_path):
    """Its optimiser moves transpositions; moved across sums they would change the order of addition."""
    schema = {"rollingWindows": [3, 20, 64, 90]}
    engineer = FeatureEngineer(configure(("load",), schema=schema)).fit(make_frame())
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(build_feature_probe(engineer), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    branches = [attribute.g for node in graph.node if node.op_type == "If" for attribute in node.attribute]
    assert len(branches) == 2
    constants = {
        constant.name: onnx.numpy_helper.to_array(constant).tolist()
        for part in (graph, *branches)
        for constant in part.initializer
    }
    for branch in branches:
        axes = [constants[node.input[1]] for node in branch.node if node.op_type == "ReduceSum"]
        assert len(axes) >= 8
        assert set(map(tuple, axes)) == {(0,)}


def test_a_threshold_that_is_no_number_and_trees_of_another_width_are_refused(gbdt):
    frame = make_frame()
    engineer = FeatureEngineer(configure()).fit(frame)
    booster = train_booster(np.ascontiguousarray(engineer.matrix(frame)), np.arange(len(frame)) % 2)
    with pytest.raises(ParityError, match="finite"):
        build_window_model(engineer, from_lightgbm(booster), threshold=float("nan"), metadata={})
    with pytest.raises(InternalError, match="trained on"):
        build_window_model(engineer, gbdt.ensemble, threshold=0.5, metadata={})
