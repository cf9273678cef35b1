from __future__ import annotations

import threading
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from ml.errors import TooFewFailuresError
from ml.learning import estimators
from ml.learning.estimators.lightgbm import LightGBM
from ml.learning.folds.fitting import FoldFit
from ml.options.learning import TrainingConfig
from tests.unit.learning.feature_tables import feature_table, names

X, y = feature_table(600)
THIRD = np.arange(600) % 3
FOLDS = [(np.flatnonzero(number != THIRD), np.flatnonzero(number == THIRD)) for number in range(3)]


def config(model_type: str = "lightgbm", **options: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"modelType": model_type, "threads": 1, **options})


def never() -> bool:
    return False


def grown(settings: TrainingConfig, *, fold: int = 0, steps: tuple[int, ...] = (10_000,)) -> FoldFit:
    fit = estimators.get(settings.model_type).folds(X, y, FOLDS, names=names()).begin(fold, settings)
    for rounds in steps:
        fit.advance(rounds, never)
    return fit


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"boosting": "dart", "numIterations": 25},
        {"boosting": "goss"},
        {"boosting": "rf", "numIterations": 25},
        {"metric": "average_precision", "maxBin": 31},
    ],
)
@pytest.mark.parametrize("patience", [0, 5])
def test_a_boosted_fold_ends_as_lightgbm_itself_on_the_same_bins(params: dict[str, Any], patience: int) -> None:
    settings = config(
        earlyStoppingRounds=patience, lgbParams={"numIterations": 60, "learningRate": 0.2, "numLeaves": 5, **params}
    )
    model = LightGBM(settings)
    everything = model.dataset(X, y, "training", names=names())
    callbacks = [lgb.early_stopping(patience, verbose=False)] if patience and params.get("boosting") != "dart" else []
    for number, (train, held_out) in enumerate(FOLDS):
        rows = everything.subset(train)
        booster = lgb.train(
            model.lightgbm_parameters(y[train], X.shape[1]), rows, settings.lgb_params.num_iterations,
            valid_sets=[everything.subset(held_out)], callbacks=callbacks,
        )  # fmt: skip
        fit = grown(settings, fold=number, steps=(7, 1, 10_000))
        assert fit.done
        assert fit.rounds == booster.num_trees()
        np.testing.assert_allclose(fit.probability, booster.predict(X[held_out]), rtol=1e-9)


def test_a_forest_on_a_fold_is_the_forest_of_its_rows() -> None:
    settings = config("random_forest", rfParams={"nEstimators": 23})
    for number, (train, held_out) in enumerate(FOLDS):
        model = estimators.get("random_forest")(settings).fit(X[train], y[train], names=names())
        fit = grown(settings, fold=number, steps=(3, 10, 10_000))
        assert (fit.done, fit.rounds) == (True, 23)
        np.testing.assert_allclose(fit.probability, model.predict(X[held_out]), rtol=1e-12)


def test_a_model_that_cannot_grow_is_fitted_at_once() -> None:
    settings = config("logistic_regression")
    train, held_out = FOLDS[1]
    model = estimators.get("logistic_regression")(settings).fit(X[train], y[train], names=names())
    fit = grown(settings, fold=1, steps=(1,))
    assert fit.done
    assert fit.probability.tobytes() == model.predict(X[held_out]).tobytes()


@pytest.mark.parametrize("model_type", ["lightgbm", "random_forest", "logistic_regression"])
def test_nothing_is_fitted_once_told_to_stop(model_type: str) -> None:
    settings = config(model_type)
    fit = estimators.get(model_type).folds(X, y, FOLDS, names=names()).begin(0, settings)
    fit.advance(10, lambda: True)
    assert (fit.grown, fit.done, fit.rounds) == (0, False, 0)


def test_rungs_are_equal_sums_of_learning_rates() -> None:
    fitter = LightGBM.folds(X, y, FOLDS, names=names())
    slow = fitter.rungs(config(lgbParams={"learningRate": 0.01, "numIterations": 500}))
    fast = fitter.rungs(config(lgbParams={"learningRate": 0.1, "numIterations": 500}))
    assert slow == [100, 200, 400, 500]
    assert fast == [10, 20, 40, 80, 160, 320, 500]
    forest = estimators.get("random_forest").folds(X, y, FOLDS, names=names())
    assert forest.rungs(config("random_forest", rfParams={"nEstimators": 160})) == [10, 20, 40, 80, 160]


def test_rows_are_binned_once_for_all_trials_and_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    binned = []
    original = LightGBM.dataset

    def counted(self: LightGBM, *arguments: Any, **options: Any) -> lgb.Dataset:
        binned.append(self.config.lgb_params.max_bin)
        return original(self, *arguments, **options)

    monkeypatch.setattr(LightGBM, "dataset", counted)
    fitter = LightGBM.folds(X, y, FOLDS, names=names())
    for max_bin in (255, 255, 15):
        for leaves in (3, 7):
            settings = config(lgbParams={"numLeaves": leaves, "maxBin": max_bin, "numIterations": 2})
            for fold in range(3):
                fitter.begin(fold, settings).advance(2, never)
    assert binned == [255, 15]


def test_other_threads_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    settings = config(lgbParams={"minDataInLeaf": 500, "numIterations": 3, "verbosity": 2})
    fit = LightGBM.folds(X, y, FOLDS, names=names()).begin(0, settings)
    capfd.readouterr()  # what the configured verbosity says in this thread
    thread = threading.Thread(target=fit.advance, args=(3, never))
    thread.start()
    thread.join()
    assert capfd.readouterr() == ("", "")
    assert fit.grown == 3


def test_a_fold_of_one_class_is_refused() -> None:
    folds = [(np.flatnonzero(y == 0), np.arange(600))]
    with pytest.raises(TooFewFailuresError, match="training rows of fold 1 hold one class only"):
        LightGBM.folds(X, y, folds, names=names()).begin(0, config())
