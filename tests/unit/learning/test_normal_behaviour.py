"""Normal behaviour: a naive second implementation, limits for a rate, what is left out, and what is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, IntegrityError, NoRowsError
from ml.export.graph.model import build_model
from ml.export.graph.normal import NormalForm
from ml.export.session import Scorer
from ml.learning.estimators.normal_behaviour import NormalBehaviour
from ml.learning.events.intervals import rate_interval
from ml.learning.normal.expectation import trimmed_moments
from ml.learning.trained_model import TrainedModel
from ml.learning.training import train
from ml.options.models.normal_behaviour import NormalBehaviourParams
from tests.reference.normal_behaviour import naive_scores

INTERVAL, HORIZON = 600, 14_400


def history(n_assets: int = 4, n_rows: int = 1500, seed: int = 0, failures: int = 0) -> pd.DataFrame:
    """Temperature and current follow the load; the last rows before each failure drift away."""
    rng = np.random.default_rng(seed)
    parts = []
    for asset in range(n_assets):
        load = 50 + 20 * np.sin(np.arange(n_rows) / 40) + rng.normal(0, 3, n_rows)
        temperature = 20 + 0.02 * load**2 / 10 + rng.normal(0, 1, n_rows)
        current = 5 + 0.1 * load + rng.normal(0, 0.3, n_rows)
        event, label = np.full(n_rows, -1), np.zeros(n_rows)
        for number in range(failures):
            onset = (number + 1) * n_rows // (failures + 1)
            before = slice(onset - HORIZON // INTERVAL, onset)
            temperature[before] += np.linspace(2, 8, HORIZON // INTERVAL)
            label[before], event[onset] = 1, asset * failures + number
            label[onset] = -1
        gaps = rng.random(n_rows) < 0.03
        temperature[gaps] = np.nan
        parts.append(
            pd.DataFrame(
                {
                    "asset_id": f"P{asset}",
                    "timestamp": pd.date_range("2024-01-01", periods=n_rows, freq="10min", tz="UTC"),
                    "segment": asset,
                    "load": load.astype(np.float32),
                    "temperature": temperature.astype(np.float32),
                    "current": current.astype(np.float32),
                    "running": (np.arange(n_rows) % 200 > 4).astype(np.float32),
                    "target": np.where(event >= 0, 1, 0).astype(np.int8),
                    "event": event.astype(np.int32),
                    "label": label.astype(np.int8),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def configured(*, operating: tuple[str, ...] = ("load",), running: bool = False, **params: Any) -> OrganizationConfig:
    schema: dict[str, Any] = {"continuousColumns": ["load", "temperature", "current"], "assetColumn": "asset_id"}
    if running:
        schema |= {"booleanColumns": ["running"], "runningWhen": {"column": "running", "equals": 1}}
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "schemaConfig": schema | {"operatingColumns": list(operating)},
            "dataConfig": {"predictionHorizonSeconds": HORIZON, "samplingIntervalSeconds": INTERVAL},
            "trainingConfig": {"modelType": "normal_behaviour", "threads": 1, "normalBehaviour": params},
        }
    )


def trained(frame: pd.DataFrame, **options: Any) -> TrainedModel:
    return train(configured(**options), frame, INTERVAL)


def form_of(model: TrainedModel) -> NormalForm:
    assert isinstance(model.estimator, NormalBehaviour)
    return model.estimator.normal_form


@pytest.mark.parametrize(
    "options",
    [{}, {"running": True}, {"baseline": "asset", "baselineSeconds": 90_000}, {"operating": ()}],
    ids=["fleet", "running", "own baseline", "no operating column"],
)
def test_scores_are_those_of_the_naive_implementation(options: dict[str, Any]) -> None:
    frame = history(2, 700)
    model = trained(frame, **options)
    form = form_of(model)
    rows = np.zeros(len(frame), dtype=np.bool_)
    rows[[0, 3, 40, 350, 690, 700, 1399]] = True
    features = model.engineer.matrix(frame, rows=rows)
    expected = [naive_scores(form, row) for row in features]
    np.testing.assert_allclose(form.scores(features), expected, rtol=1e-9)


def test_what_was_learned_out_of_fold_and_from_rows_is_one_arithmetic() -> None:
    """The residuals of whole columns, moved by rows, give what the features of a row give."""
    frame = history(2, 700)
    model = trained(frame)
    row = np.flatnonzero(model.parts.train)[-50:]
    mask = np.zeros(len(frame), dtype=np.bool_)
    mask[row] = True
    from ml.export.graph.normal import residuals_of
    from ml.learning.normal.history import History

    past, form = History.of(configured(), frame), form_of(model)
    residual = form.clipped(residuals_of(form.groups, past.values, None))
    mean, largest, _ = form.combine(*past.means(form, residual, tuple(range(len(form.places)))))
    score = np.maximum(mean / form.mean_limit, largest / form.single_limit)
    np.testing.assert_array_equal(score[mask], form.scores(model.engineer.matrix(frame, rows=mask)))


def test_the_graph_gives_the_same_bits_on_hostile_rows() -> None:
    model = trained(history(2, 700), running=True, baseline="asset", baselineSeconds=90_000)
    form, names = form_of(model), model.engineer.get_feature_names_out()
    rng = np.random.default_rng(1)
    edges = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-40, 3e38, -3e38, 50.0, 20.0, 1.0], dtype=np.float32)
    rows = np.where(
        rng.random((20_000, len(names))) < rng.random((20_000, 1)),
        rng.choice(edges, (20_000, len(names))),
        rng.normal(30, 20, (20_000, len(names))).astype(np.float32),
    ).astype(np.float32)
    content = build_model(form, n_features=len(names), scaling=None, threshold=0.5, metadata={})
    probability, label = Scorer(content).score(rows)
    expected = form.predict(rows).astype(np.float32)
    assert (probability.view(np.uint32) == expected.view(np.uint32)).all()
    assert (label == (expected >= np.float32(0.5))).all()
    assert 0 < label.sum() < len(rows)


def test_limits_keep_the_rate_on_time_that_they_had_not_seen() -> None:
    figures = trained(history(6, 3000), falseAlarmsPerAssetDay=0.3).choice.figures
    low, high = figures["falseAlarmsPerAssetDayInterval"]
    assert low <= 0.3 <= high
    assert trained(history(6, 3000), falseAlarmsPerAssetDay=0.1).choice.figures["falseAlarms"] < figures["falseAlarms"]


def test_known_failures_are_left_out_of_what_is_normal_and_found() -> None:
    frame = history(4, 1500, failures=4)
    model = trained(frame, falseAlarmsPerAssetDay=0.2)
    assert not (model.parts.train & (frame["label"] != 0)).any()
    assert model.choice.figures["healthyTimeInAlarm"] < 0.05
    judged = model.judged
    assert judged is not None
    positive = frame["label"].to_numpy()[judged.row] == 1
    assert (judged.probability[positive] >= 0.5).mean() > 0.5


def test_the_score_does_not_follow_the_load_where_it_is_named() -> None:
    frame = history()
    named, unnamed = (trained(frame, operating=names, falseAlarmsPerAssetDay=0.2) for names in (("load",), ()))
    assert named.normal is not None
    assert named.normal["sensors"]["current"]["explained"] > 0.8
    codes = [finding.code for finding in unnamed.findings]
    assert "OPERATING_COLUMN_MISSING" in codes
    told = next(finding for finding in unnamed.findings if finding.code == "OPERATING_COLUMN_MISSING")
    assert "load alone explains" in told.message
    assert "OPERATING_COLUMN_MISSING" not in [finding.code for finding in named.findings]


def test_excluded_days_and_stops_are_no_example_of_normal_operation() -> None:
    frame = history(2, 1500)
    model = trained(
        frame, exclude=[{"from": "2024-01-02", "to": "2024-01-03"}], running=True, falseAlarmsPerAssetDay=0.5
    )
    day = frame["timestamp"].dt.strftime("%m-%d")
    assert not (model.parts.train & day.isin(["01-02", "01-03"])).any()
    assert not (model.parts.train & (frame["running"] == 0)).any()
    assert (model.parts.train & (day == "01-04") & (frame["running"] == 1)).any()


def test_a_history_too_short_for_the_rate_is_refused_with_what_is_needed() -> None:
    with pytest.raises(NoRowsError, match=r"too short for 0\.01 false alarms") as error:
        trained(history(1, 300), falseAlarmsPerAssetDay=0.01)
    assert "at least 100 asset-days" in str(error.value.hint)


def test_a_sensor_that_never_moves_is_not_watched_and_that_is_told() -> None:
    frame = history(2, 800).assign(current=np.float32(3))
    model = trained(frame, falseAlarmsPerAssetDay=0.5)
    assert [finding.code for finding in model.findings if "current" in finding.message] == ["SENSORS_NOT_WATCHED"]


def test_groups_of_columns_have_operating_columns_of_their_own() -> None:
    groups = {"motor": {"columns": ["current"], "operatingColumns": []}}
    model = trained(history(2, 800), columnGroups=groups, falseAlarmsPerAssetDay=0.5)
    assert sorted(len(group.operating) for group in form_of(model).groups) == [0, 1]


def test_a_stored_model_reads_back_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    model = trained(history(2, 700))
    file = tmp_path / "model.json"
    model.estimator.save(file)
    rows = np.random.default_rng(0).normal(40, 20, (100, form_of(model).n_features)).astype(np.float32)
    settings = configured().training_config
    np.testing.assert_array_equal(NormalBehaviour.load(file, settings).predict(rows), model.estimator.predict(rows))
    for damage in ({"recent": 99}, {"spread": [0.0]}, {"places": [[999]]}, {"mean_limit": "x"}):
        file.write_text(json.dumps({**json.loads((tmp_path / "model.json").read_text()), **damage}))
        with pytest.raises(IntegrityError):
            NormalBehaviour.load(file, settings)
        model.estimator.save(file)


def test_samples_lie_at_even_distances_within_the_persistence() -> None:
    recent, baseline = NormalBehaviourParams().samples(horizon=172_800, interval=900)
    assert recent == tuple(range(24))
    assert baseline == ()
    recent, baseline = NormalBehaviourParams(persistence_seconds=60_000, baseline="asset").samples(0, 60)
    assert len(recent) == 24
    assert recent[-1] == 999
    assert baseline[0] == 1000
    assert baseline[-1] == 1000 + 7 * 1440


def test_trimmed_moments_ignore_what_lies_far_out() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (50_000, 1))
    values[:1500] = 1000
    center, spread = trimmed_moments(values)
    assert center[0] == pytest.approx(3, abs=0.15)
    assert spread[0] == pytest.approx(2, abs=0.2)


def test_intervals_of_a_rate_are_exact() -> None:
    assert rate_interval(0, 10)[0] == 0
    assert rate_interval(0, 10)[1] == pytest.approx(0.3689, abs=1e-4)
    assert rate_interval(10, 1) == pytest.approx((4.795, 18.390), abs=1e-3)


def test_scaling_and_selection_of_a_classifier_change_nothing() -> None:
    frame = history(2, 700)
    content = configured().model_dump(mode="json", by_alias=True)
    content["featureConfig"] |= {"scaling": "robust", "selection": {"method": "f_test", "k": 2}}
    other = train(OrganizationConfig.from_dict(content), frame, INTERVAL)
    rows = np.arange(len(frame)) % 50 == 0
    np.testing.assert_array_equal(other.predict(frame, rows), trained(frame).predict(frame, rows))


@pytest.mark.parametrize(
    ("failures", "chosen"), [(0, "normal_behaviour"), (4, "either"), (12, "lightgbm")], ids=["none", "few", "many"]
)
def test_auto_chooses_by_the_failures_that_are_known(failures: int, chosen: str) -> None:
    content = configured(falseAlarmsPerAssetDay=0.5).model_dump(mode="json", by_alias=True)
    content["trainingConfig"] |= {"modelType": "auto", "lgbParams": {"numIterations": 30}}
    frame = history(failures or 2, 700, failures=1 if failures else 0)
    model = train(OrganizationConfig.from_dict(content), frame, INTERVAL)
    told = model.findings[0]
    assert told.code == "MODEL_TYPE_CHOSEN"
    assert told.message.startswith(f"{type(model.estimator).model_type} was chosen: {failures} failures are known")
    if chosen == "either":
        assert "out of fold" in told.message or "no classifier can be fitted" in told.message
    else:
        assert type(model.estimator).model_type == chosen
    assert model.engineer.config.training_config.model_type == type(model.estimator).model_type


def test_a_group_names_continuous_columns_only() -> None:
    for key in ("columns", "operatingColumns"):
        group = {"columns": ["current"], "operatingColumns": ["load"]} | {key: ["temprature"]}
        with pytest.raises(ConfigError, match=f"motor.{key} names temprature, which is not .*mean temperature"):
            configured(columnGroups={"motor": group})


@pytest.mark.parametrize(
    "changes",
    [{"load": np.float32(np.nan)}, {"temperature": np.float32(1), "current": np.float32(2)}],
    ids=["operating column without values", "sensors that never move"],
)
def test_without_a_sensor_to_watch_training_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NoRowsError, match="no sensor can be watched"):
        trained(history(2, 700).assign(**changes))


def test_with_operating_columns_alone_training_is_refused() -> None:
    with pytest.raises(NoRowsError, match="no sensor can be watched"):
        trained(history(2, 700), operating=("load", "temperature", "current"))


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_the_unit_of_a_sensor_does_not_matter(factor: float) -> None:
    frame = history(2, 700)
    rows = np.arange(len(frame)) % 20 == 0
    scaled = frame.assign(current=(frame["current"] * factor).astype(np.float32))
    expected = trained(frame).predict(frame, rows)
    np.testing.assert_allclose(trained(scaled).predict(scaled, rows), expected, rtol=1e-3)


def test_a_persistence_longer_than_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="persistenceSeconds: 100,000,000 s are more than the 19,999 samples"):
        trained(history(2, 700), persistenceSeconds=10**8)
