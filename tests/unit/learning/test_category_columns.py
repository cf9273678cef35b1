"""Words of categorical columns: from a source's cells to splits of LightGBM and to both graphs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml.cleaning.parsing import to_codes
from ml.cleaning.table import from_table
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError
from ml.export.graph.parts import PROBABILITIES
from ml.export.session import open_model
from ml.export.window.graph import build_feature_probe, build_window_model
from ml.export.window.parity import window_batch
from ml.features import FeatureEngineer
from ml.findings import Finding
from ml.grid.regular import to_grid
from ml.ingest.summary.reading_findings import findings_of_reading
from ml.learning import estimators
from ml.options.learning import TrainingConfig

WORDS = ["A", "B", "C", "D", "7"]
SCHEMA = {
    "continuousColumns": ["temp"],
    "categoricalColumns": {"recipe": WORDS, "model": ["old", "new"]},
    "rollingWindows": [3],
    "lagSeconds": [60],
}


def configured(schema=None, **sections):
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": SCHEMA | (schema or {}),
            "dataConfig": {"samplingIntervalSeconds": 60, "aggregation": "mean"},
            **sections,
        }
    )


def readings(rows=600, seed=0):
    """Two machines; recipes B and D together are what precedes a failure, in no order of their codes."""
    random = np.random.default_rng(seed)
    recipe = np.repeat(random.choice(["A", "B", "C", "D", " 7 ", "never seen", None], rows // 5), 5)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=rows, freq="min", tz="UTC"),
            "temp": random.normal(20, 2, rows).round(1),
            "recipe": recipe,
            "model": "old",
        }
    )


@pytest.mark.parametrize(
    ("cells", "codes", "unknown"),
    [
        (pa.array(["A", " B ", "b", "", None, "n/a", "7", "7.0"]), [0, 1, -1, -1, -1, -1, 4, -1], [2, 7]),
        (pa.array([7.0, 7.5, np.nan, np.inf, 1e300]), [4, -1, -1, -1, -1], [1, 3, 4]),
        (pa.array([7, 8, None]), [4, -1, -1], [1]),
        (pa.array([True, None]), [-1, -1], [0]),
        (pa.nulls(2), [-1, -1], []),
    ],
)
def test_a_cell_is_the_code_of_its_word(cells, codes, unknown):
    values, unreadable = to_codes(cells, "recipe", WORDS)
    assert np.nan_to_num(values, nan=-1).tolist() == codes
    assert np.flatnonzero(unreadable).tolist() == unknown


def test_a_word_for_nothing_is_a_word_where_it_is_named():
    assert to_codes(pa.array(["none", "None"]), "recipe", ["none"])[0].tolist()[0] == 0
    with pytest.raises(DataError, match="words are needed"):
        to_codes(pa.array([[1]]), "recipe", WORDS)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"categoricalColumns": {"temp": ["A"]}}, "categorical and something else"),
        ({"categoricalColumns": {"recipe": ["A", "A"]}}, "more than once"),
        ({"categoricalColumns": {"recipe": [" A"]}}, "without blanks"),
        ({"categoricalColumns": {"recipe": [True]}}, "recipe"),
        ({"runningWhen": {"column": "model", "equals": "off"}}, "no word of model"),
        ({"runningWhen": {"column": "model", "above": 1}}, "no word of model"),
        ({"runningWhen": {"column": "temp", "equals": "hot"}}, "no word of temp"),
    ],
)
def test_what_cannot_be_is_refused(schema, message):
    with pytest.raises(ConfigError, match=message):
        configured(schema)


def test_scaled_codes_and_codes_that_count_as_missing_are_refused():
    with pytest.raises(ConfigError, match="scaling"):
        configured(featureConfig={"scaling": "standard"})
    with pytest.raises(ConfigError, match="zeroAsMissing"):
        configured(trainingConfig={"lgbParams": {"zeroAsMissing": True}})


def test_a_word_can_tell_that_a_machine_runs():
    running = configured({"runningWhen": {"column": "model", "equals": "new"}}).schema_config.running
    assert (running.column, running.equals) == ("model", 1)


def test_columns_leave_with_what_speaks_of_them():
    config = configured({"runningWhen": {"column": "model", "equals": "new"}})
    finding = Finding("COLUMNS_ABSENT", "no such column", "schemaConfig", "name it")
    assert config.without_sensors(["recipe"], finding).schema_config.sensor_columns == ("temp", "model")
    with pytest.raises(ConfigError, match="runningWhen needs a sensor that is left out: no such column"):
        config.without_sensors(["model"], finding)


@pytest.fixture(scope="module")
def fitted():
    config = configured()
    clean = from_table(readings(), config)
    frame = to_grid(clean.frame, schema=config.schema_config, interval=60, max_gap=300, aggregation="mean")
    label = np.isin(frame["recipe"], [1, 3]).astype(np.int8)
    engineer = FeatureEngineer(config).fit(frame)
    options = TrainingConfig.model_validate({"lgbParams": {"numIterations": 5, "numLeaves": 4}, "threads": 1})
    model = estimators.get("lightgbm")(options)
    return clean, frame, engineer, model.fit(engineer.matrix(frame), label, names=engineer.get_feature_names_out())


def test_words_that_nobody_named_are_missing_and_reported(fitted):
    clean, frame, _, _ = fitted
    assert set(frame["recipe"].dropna()) == {0, 1, 2, 3, 4}
    (finding,) = findings_of_reading(clean.counts, configured().schema_config)
    assert (finding.code, finding.field) == ("WORDS_UNKNOWN", "schemaConfig.categoricalColumns.recipe")
    assert "'never seen'" in finding.message


def test_the_model_splits_by_sets_of_words_and_a_word_that_is_missing_takes_one_way(fitted):
    _, frame, engineer, model = fitted
    X = engineer.matrix(frame)
    at = engineer.get_feature_names_out().index("recipe__category")
    rows = np.repeat(X[:1], 7, axis=0)
    rows[:, at] = [0, 1, 2, 3, 4, np.nan, 99]
    probability = model.predict(rows)
    assert probability[[1, 3]].min() > probability[[0, 2, 4, 5, 6]].max() + 0.1
    assert probability[5] == probability[6]


def test_the_window_graph_has_the_bits(fitted):
    _, frame, engineer, model = fitted
    window, timestamp = window_batch(frame, engineer, np.arange(len(frame)))
    inputs = {"window": window, "timestamp": timestamp}
    (features,) = open_model(build_feature_probe(engineer)).run(None, inputs)
    X = engineer.matrix(frame)
    np.testing.assert_array_equal(features, X)
    graph = open_model(build_window_model(engineer, model.form(), threshold=0.5, metadata={}))
    (probabilities,) = graph.run([PROBABILITIES], inputs)
    np.testing.assert_array_equal(probabilities[:, 1], model.predict(X).astype(np.float32))


def test_new_words_change_no_other_row():
    config = configured()
    table = readings()
    changed = table.assign(recipe=table["recipe"].where(table.index < 300, "of tomorrow"))
    one, other = (
        to_grid(from_table(each, config).frame, schema=config.schema_config, interval=60, max_gap=300)
        for each in (table, changed)
    )
    pd.testing.assert_frame_equal(one.iloc[:300], other.iloc[:300])
