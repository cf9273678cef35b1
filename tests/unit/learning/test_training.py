from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from ml.config import OrganizationConfig
from ml.learning.held_out import HeldOut
from ml.learning.trained_model import TrainedModel
from ml.learning.training import LEAST_TREES, train
from tests.unit.learning.grid_frames import regular_plant

INTERVAL, HORIZON = 60, 600


def plant() -> pd.DataFrame:
    frame = regular_plant(6, 900, 60, horizon=HORIZON)
    frame["segment"] = frame["asset_id"].factorize()[0].astype(np.int32)
    rng = np.random.default_rng(0)
    for sensor in ("pressure", "temperature"):
        frame[sensor] = (rng.normal(size=len(frame)) + (frame["label"] == 1)).astype(np.float32)
    return frame


def trained(
    frame: pd.DataFrame,
    columns: tuple[str, ...] = ("pressure", "temperature"),
    scheme: str = "holdout",
    **training: Any,
) -> TrainedModel:
    config = OrganizationConfig.from_dict(
        {
            "organizationId": "plant_a",
            "version": "v1",
            "schemaConfig": {"continuousColumns": list(columns), "rollingWindows": [5], "lagSeconds": [60]},
            "dataConfig": {"predictionHorizonSeconds": HORIZON},
            "trainingConfig": {"lgbParams": {"numIterations": 60}, "threads": 1, **training},
            "validationConfig": {"scheme": scheme},
        }
    )
    return train(config, frame, INTERVAL)


def held_out(model: TrainedModel, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    rows = model.parts.test
    return frame["label"].to_numpy()[rows], model.predict(frame, rows)


def test_labels_that_were_shuffled_within_assets_teach_nothing() -> None:
    """Average precision of chance is the base rate; its standard error over seeds bounds the noise."""
    gains = []
    for seed in range(6):
        frame, rng = plant(), np.random.default_rng(seed)
        for _, part in frame[frame["label"] >= 0].groupby("asset_id"):
            frame.loc[part.index, "label"] = rng.permutation(part["label"].to_numpy())
        label, probability = held_out(trained(frame), frame)
        gains.append(average_precision_score(label, probability) - label.mean())
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    assert abs(np.mean(gains)) < 3 * error + 0.01
    assert max(gains) < 0.06


def test_the_labels_as_they_are_teach_something() -> None:
    frame = plant()
    label, probability = held_out(trained(frame), frame)
    assert average_precision_score(label, probability) > label.mean() + 0.3


@pytest.mark.parametrize("calibration", ["none", "sigmoid", "isotonic", "auto"])
@pytest.mark.parametrize("refit", ["none", "validation", "all"])
def test_the_same_data_gives_the_same_bytes(calibration: str, refit: str, tmp_path: Path) -> None:
    frame = plant()
    kept = []
    for run in ("first", "second"):
        model = trained(frame, calibration=calibration, refit=refit, imbalance="balanced")
        model.estimator.save(tmp_path / run)
        kept.append(
            (
                (tmp_path / run).read_bytes(),
                model.calibration.map.model_dump_json(),
                model.choice.to_json(),
                model.predict(frame, model.parts.test).tobytes(),
            )
        )
    assert kept[0] == kept[1]


def test_calibration_undoes_the_weights_of_classes_before_and_after_a_refit() -> None:
    frame = plant()
    for refit in ("none", "validation"):
        weighted = trained(frame, imbalance="balanced", refit=refit)
        mended = trained(frame, imbalance="balanced", refit=refit, calibration="auto")
        assert mended.calibration.map.method != "none"
        label, probability = held_out(mended, frame)
        assert abs(probability.mean() - label.mean()) < 0.03
        assert held_out(weighted, frame)[1].mean() > label.mean() + 0.05
        assert mended.validation_probability.mean() < weighted.validation_probability.mean()


def test_a_refit_keeps_threshold_and_calibration() -> None:
    frame = plant()
    once, again = (trained(frame, refit=refit, calibration="sigmoid") for refit in ("none", "validation"))
    assert (once.threshold, once.calibration) == (again.threshold, again.calibration)
    assert once.predict(frame, once.parts.test).tobytes() != again.predict(frame, again.parts.test).tobytes()


def test_a_planted_leak_is_named_and_ordinary_sensors_are_not(caplog: pytest.LogCaptureFixture) -> None:
    frame = plant()
    assert trained(frame).suspicious == ()
    frame["tag_17"] = (frame.groupby("asset_id")["label"].shift(-3, fill_value=0) == 1).astype(np.float32)
    frame["row"] = np.arange(len(frame), dtype=np.float32)
    model = trained(frame, ("pressure", "temperature", "tag_17", "row"))
    assert [finding.column for finding in model.suspicious] == ["tag_17", "row"]
    assert "tag_17 is suspicious" in caplog.text


def test_ways_of_imbalance_are_compared_and_change_nothing() -> None:
    frame = plant()
    options = {"lgbParams": {"numIterations": 60, "scalePosWeight": 2.0}}
    alone, compared = (trained(frame, compareImbalance=compare, **options) for compare in (False, True))
    assert alone.imbalance == {}
    assert set(compared.imbalance) == {"none", "balanced", "scalePosWeight"}
    assert compared.imbalance["none"]["logLoss"] < compared.imbalance["balanced"]["logLoss"]
    label = frame["label"].to_numpy()[compared.parts.validation]
    own = average_precision_score(label, compared.validation_probability)
    assert compared.imbalance["scalePosWeight"]["averagePrecision"] == pytest.approx(own, abs=1e-4)
    rows = compared.parts.test
    assert compared.predict(frame, rows).tobytes() == alone.predict(frame, rows).tobytes()


class TestBacktest:
    def test_every_row_is_judged_once_by_a_model_that_has_not_seen_it(self) -> None:
        frame = plant()
        model = trained(frame, scheme="backtest")
        assert model.judged is not None
        assert model.judged.row.tolist() == np.flatnonzero(frame["label"] >= 0).tolist()
        assert (model.scheme, model.seen, len(model.judged.parts)) == ("backtest", "all", 5)
        label = frame["label"].to_numpy()[model.parts.test]
        assert average_precision_score(label, model.held_out()) > label.mean() + 0.3

    def test_shuffled_labels_teach_nothing(self) -> None:
        frame, rng = plant(), np.random.default_rng(3)
        for _, part in frame[frame["label"] >= 0].groupby("asset_id"):
            frame.loc[part.index, "label"] = rng.permutation(part["label"].to_numpy())
        model = trained(frame, scheme="backtest")
        label = frame["label"].to_numpy()[model.parts.test]
        assert abs(average_precision_score(label, model.held_out()) - label.mean()) < 0.03

    def test_rounds_come_from_all_folds_and_never_below_the_floor(self) -> None:
        noise = plant()
        noise[["pressure", "temperature"]] = np.random.default_rng(1).normal(size=(len(noise), 2)).astype(np.float32)
        assert trained(noise, scheme="backtest").estimator.rounds == LEAST_TREES

    @pytest.mark.parametrize("scheme", ["holdout", "backtest"])
    def test_answers_are_kept_as_they_were(self, scheme: str, tmp_path: Path) -> None:
        judged = trained(plant(), scheme=scheme, refit="all").judged
        assert judged is not None
        judged.save(tmp_path)
        read = HeldOut.load(tmp_path, judged.parts)
        assert read is not None
        for name in ("row", "asset", "seconds", "probability", "threshold", "fold"):
            assert np.array_equal(getattr(read, name), getattr(judged, name))

    def test_a_refit_on_all_rows_is_judged_as_it_was_before(self) -> None:
        frame = plant()
        partly, wholly = (trained(frame, refit=refit) for refit in ("validation", "all"))
        assert partly.judged is None
        assert wholly.held_out().tobytes() == partly.held_out().astype(np.float32).tobytes()
        rows = partly.parts.test
        assert wholly.predict(frame, rows).tobytes() != partly.predict(frame, rows).tobytes()
        assert (wholly.seen, partly.seen) == ("all", "trainingAndValidation")
