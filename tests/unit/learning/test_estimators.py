from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from ml.errors import ConfigError, DataError, IntegrityError, InternalError, StoppedError, TooFewFailuresError
from ml.export.pickles import dump
from ml.learning import estimators
from ml.learning.estimators.base import Estimator
from ml.options.learning import TrainingConfig
from tests.unit.learning.feature_tables import feature_table, names

TYPES = ("lightgbm", "random_forest")


def config(model_type: str, **options: Any) -> TrainingConfig:
    small = {
        "model_type": model_type,
        "lgb_params": {"num_iterations": 40, "num_leaves": 7, **options.pop("lgb_params", {})},
        "rf_params": {"n_estimators": 30, **options.pop("rf_params", {})},
        "threads": 1,
    }
    return TrainingConfig.model_validate({**small, **options})


def fitted(settings: TrainingConfig, *, valid: bool = False, **options: Any) -> Estimator:
    X, y = feature_table()
    held_out = feature_table(seed=1) if valid else (None, None)
    return estimators.get(settings.model_type)(settings).fit(X, y, *held_out, names=names(), **options)


def test_both_types_are_found_without_loading_their_libraries() -> None:
    assert set(TYPES) <= set(estimators.available())
    assert "base" not in estimators.available()


def test_an_unknown_type_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="lightgbm, logistic_regression, random_forest") as caught:
        estimators.get("randomforest")
    assert caught.value.hint == 'did you mean "random_forest"?'


@pytest.mark.parametrize("model_type", TYPES)
def test_a_fitted_model_ranks_new_rows_and_handles_missing_values(model_type: str) -> None:
    model = fitted(config(model_type))
    X, y = feature_table(seed=2)
    probability = model.predict(X)
    assert probability.dtype == np.float64
    assert probability.shape == y.shape
    assert ((probability >= 0) & (probability <= 1)).all()
    assert roc_auc_score(y, probability) > 0.8
    assert np.isfinite(model.predict(np.full((1, 5), np.nan, dtype=np.float32))).all()
    assert model.predict(X[:0]).shape == (0,)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_seed_decides_every_bit(model_type: str) -> None:
    X, _ = feature_table(seed=2)
    first, again = (fitted(config(model_type)).predict(X) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    other = fitted(config(model_type, random_state=1)).predict(X)
    assert first.tobytes() != other.tobytes()


def test_the_same_seed_gives_the_same_lightgbm_text() -> None:
    texts = {fitted(config("lightgbm"), valid=True).booster.model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_a_forest_does_not_depend_on_threads_or_on_being_watched() -> None:
    X, _ = feature_table(seed=2)
    alone = fitted(config("random_forest")).predict(X)
    seen: list[tuple[int, int]] = []
    watched = fitted(config("random_forest", threads=2), on_round=lambda *done: seen.append(done)).predict(X)
    assert alone.tobytes() == watched.tobytes()
    assert seen[-1] == (30, 30)
    assert len(seen) > 5


@pytest.mark.parametrize("model_type", TYPES)
def test_what_the_round_callback_raises_reaches_the_caller(model_type: str) -> None:
    def stop(done: int, total: int) -> None:
        if done > 3:
            raise StoppedError(f"stopped at {done} of {total}")

    with pytest.raises(StoppedError):
        fitted(config(model_type), on_round=stop)


def test_early_stopping_keeps_the_best_round_only(tmp_path: Path) -> None:
    settings = config("lightgbm", early_stopping_rounds=5, lgb_params={"num_iterations": 400, "learning_rate": 0.3})
    seen: list[int] = []
    model = fitted(settings, valid=True, on_round=lambda done, _: seen.append(done))
    assert model.rounds == seen[-1] - 5
    model.save(tmp_path / "model.txt")
    assert lgb.Booster(model_file=str(tmp_path / "model.txt")).num_trees() == model.rounds
    X, _ = feature_table(seed=2)
    assert (
        estimators.get("lightgbm").load(tmp_path / "model.txt", settings).predict(X).tobytes()
        == model.predict(X).tobytes()
    )


@pytest.mark.parametrize("options", [{"early_stopping_rounds": 0}, {"lgb_params": {"boosting": "dart"}}])
def test_every_round_is_kept_where_early_stopping_is_off(options: dict[str, Any]) -> None:
    lgb_params = {"num_iterations": 60, "learning_rate": 0.5, **options.get("lgb_params", {})}
    settings = config("lightgbm", **{"early_stopping_rounds": 2, **options, "lgb_params": lgb_params})
    assert fitted(settings, valid=True).rounds == 60


@pytest.mark.parametrize("metric", ["average_precision", "auc", "binary_logloss", "binary_error"])
def test_every_metric_can_stop_early(metric: str) -> None:
    settings = config("lightgbm", early_stopping_rounds=3, lgb_params={"metric": metric, "num_iterations": 300})
    assert fitted(settings, valid=True).rounds < 300


def test_goss_fits_although_bagging_is_configured() -> None:
    assert fitted(config("lightgbm", lgb_params={"boosting": "goss"})).rounds == 40


def test_averaged_trees_and_zeros_as_missing_reach_lightgbm() -> None:
    averaged = fitted(config("lightgbm", lgb_params={"boosting": "rf", "zero_as_missing": True}))
    text = averaged.booster.model_to_string()  # type: ignore[attr-defined]
    assert "average_output" in text
    assert "[zero_as_missing: 1]" in text


def categorical_table() -> tuple[Any, Any]:
    """A table whose first column decides the label by being even or odd."""
    X, y = feature_table()
    X[:, 0] = np.random.default_rng(0).integers(0, 12, len(X))
    return X, (X[:, 0] % 2).astype(y.dtype)


def test_a_categorical_feature_is_split_by_sets() -> None:
    X, y = categorical_table()
    settings = config("lightgbm", lgb_params={"categorical_features": [names()[0]], "feature_fraction": 1.0})
    model = estimators.get("lightgbm")(settings).fit(X, y, names=names())
    assert model.ensemble().columns.memberships
    assert roc_auc_score(y, model.predict(X)) > 0.99
    folds = [(np.arange(len(X) // 2), np.arange(len(X) // 2, len(X)))]
    binned = type(model).folds(X, y, folds, names=names())
    scores = []
    for each in (settings, config("lightgbm", lgb_params={"feature_fraction": 1.0})):
        fit = binned.begin(0, each)
        fit.advance(fit.total, lambda: False)
        scores.append(roc_auc_score(y[folds[0][1]], fit.probability))
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("feature", "words"), [("no_such_feature", 'no feature "no_such_feature"'), (None, "cannot be categorical")]
)
def test_a_feature_that_cannot_be_categorical_is_refused(feature: str | None, words: str) -> None:
    settings = config("lightgbm", lgb_params={"categorical_features": [feature or names()[0]]})
    with pytest.raises(ConfigError, match=words) as caught:
        fitted(settings)
    assert caught.value.field == "trainingConfig.lgbParams.categoricalFeatures"


@pytest.mark.parametrize("model_type", TYPES)
def test_balanced_classes_raise_probabilities(model_type: str) -> None:
    X, _ = feature_table(seed=2)
    plain = fitted(config(model_type)).predict(X).mean()
    balanced = fitted(config(model_type, imbalance="balanced")).predict(X).mean()
    assert balanced > plain * 1.2


def test_balanced_is_a_weight_of_negatives_over_positives() -> None:
    _, y = feature_table()
    weight = float((y == 0).sum() / (y == 1).sum())
    X, _ = feature_table(seed=2)
    balanced = fitted(config("lightgbm", imbalance="balanced")).predict(X)
    spelled_out = fitted(config("lightgbm", lgb_params={"scale_pos_weight": weight})).predict(X)
    assert balanced.tobytes() == spelled_out.tobytes()


@pytest.mark.parametrize("model_type", TYPES)
def test_one_class_only_is_refused(model_type: str) -> None:
    X, y = feature_table()
    model = estimators.get(model_type)(config(model_type))
    with pytest.raises(TooFewFailuresError, match=r"training rows hold one class only \(600 negative, 0 positive\)"):
        model.fit(X, np.zeros_like(y), names=names())


def test_one_class_only_in_validation_is_refused() -> None:
    X, y = feature_table()
    model = estimators.get("lightgbm")(config("lightgbm"))
    with pytest.raises(TooFewFailuresError, match="validation rows"):
        model.fit(X, y, X, np.zeros_like(y), names=names())


@pytest.mark.parametrize("model_type", TYPES)
def test_importances_are_shares_under_the_real_names(model_type: str) -> None:
    shares = fitted(config(model_type)).importances()
    assert list(shares) == names()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == names()[0]


def test_a_model_without_a_split_has_no_importances() -> None:
    settings = config("lightgbm", lgb_params={"min_data_in_leaf": 10_000})
    assert set(fitted(settings).importances().values()) == {0.0}


@pytest.mark.parametrize("model_type", TYPES)
def test_another_number_of_features_is_refused(model_type: str) -> None:
    with pytest.raises(DataError, match="expects 5 features"):
        fitted(config(model_type)).predict(np.zeros((2, 4), dtype=np.float32))


@pytest.mark.parametrize("model_type", TYPES)
def test_predicting_before_fitting_is_our_bug(model_type: str) -> None:
    with pytest.raises(InternalError):
        estimators.get(model_type)(config(model_type)).predict(np.zeros((1, 5), dtype=np.float32))


def test_a_file_that_is_no_lightgbm_model_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.txt"
    path.write_text("not a model")
    with pytest.raises(IntegrityError, match=r"model\.txt is not a LightGBM model"):
        estimators.get("lightgbm").load(path, config("lightgbm"))
    assert capfd.readouterr().out == ""


def refused(path: Path, model_type: str, words: str) -> None:
    with pytest.raises(IntegrityError, match=words) as caught:
        estimators.get(model_type).load(path, config(model_type), names=names())
    assert path.name in caught.value.message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("split_feature", "9999", "split_feature names a feature that is not one of its 5"),
        ("left_child", "0", "do not reach every node"),
        ("threshold", "nan", "threshold holds something else than numbers"),
    ],
)
def test_a_changed_lightgbm_text_never_reaches_lightgbm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, value: str, words: str
) -> None:
    text = fitted(config("lightgbm", lgb_params={"num_iterations": 1})).booster.model_to_string()
    size = int(re.search(r"tree_sizes=(\d+)", text)[1])
    changed = re.sub(rf"\n{field}=\S+", f"\n{field}={value}", text, count=1)
    changed = changed.replace(f"tree_sizes={size}", f"tree_sizes={size + len(changed) - len(text)}")
    path = tmp_path / "model.txt"
    path.write_text(changed)
    monkeypatch.setattr(lgb, "Booster", lambda **_: pytest.fail("LightGBM was given the text"))
    refused(path, "lightgbm", words)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_off_lightgbm_text_is_refused(tmp_path: Path, share: float) -> None:
    text = fitted(config("lightgbm")).booster.model_to_string()
    path = tmp_path / "model.txt"
    path.write_text(text[: round(share * len(text))])
    refused(path, "lightgbm", r"model\.txt is not a LightGBM model")


@pytest.mark.parametrize("model_type", TYPES)
def test_a_stored_model_of_another_width_is_refused_with_both_numbers(tmp_path: Path, model_type: str) -> None:
    X, y = feature_table(n_features=4)
    kind = estimators.get(model_type)
    path = tmp_path / kind.model_file
    kind(config(model_type)).fit(X, y, names=names(4)).save(path)
    refused(path, model_type, r"a model of 4 features, and this version has 5")
    assert len(kind.load(path, config(model_type)).names) == 4


def damaged_forest(damage: str) -> Any:
    forest = fitted(config("random_forest")).forest
    nodes = forest.estimators_[0].tree_
    match damage:
        case "scaler":
            return StandardScaler()
        case "unfitted":
            return RandomForestClassifier()
        case "width":
            forest.n_features_in_ = 7
        case "feature":
            nodes.feature[0] = 9999
        case "loop":
            nodes.children_left[0] = 0
        case "classes":
            del forest.n_classes_
    return forest


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("scaler", "holds a StandardScaler"),
        ("unfitted", "it has no trees"),
        ("width", "tree 0 has 5 features and the forest 7"),
        ("feature", "tree 0 has nodes, features or values that cannot be"),
        ("loop", "tree 0 has nodes, features or values that cannot be"),
        ("classes", "it cannot predict"),
    ],
)
def test_a_pickle_that_is_no_sound_forest_is_refused(tmp_path: Path, damage: str, words: str) -> None:
    dump(damaged_forest(damage), tmp_path / "model.pkl")
    refused(tmp_path / "model.pkl", "random_forest", words)


def test_parameters_that_lightgbm_refuses_for_the_rows_are_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match="num_data") as caught:
        fitted(config("lightgbm", lgb_params={"bagging_fraction": 0.001, "bagging_freq": 1}))
    assert caught.value.field == "trainingConfig.lgbParams"


def test_lightgbm_talks_to_the_log_and_not_to_stdout(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        fitted(config("lightgbm", lgb_params={"verbosity": 1}))
    assert capfd.readouterr().out == ""
    assert "Number of positive" in caplog.text


class TestLogisticRegression:
    SETTINGS = TrainingConfig.model_validate({"model_type": "logistic_regression"})

    def fitted(self, **options: Any) -> Estimator:
        return fitted(self.SETTINGS.model_copy(update=options))

    def test_it_ranks_new_rows_and_handles_missing_values(self) -> None:
        X, y = feature_table(seed=2)
        assert np.isnan(X).any()
        assert roc_auc_score(y, self.fitted().predict(X)) > 0.7

    def test_it_survives_saving_to_the_last_bit(self, tmp_path: Path) -> None:
        X, _ = feature_table(seed=2)
        model = self.fitted()
        model.save(tmp_path / "model.json")
        again = type(model).load(tmp_path / "model.json", self.SETTINGS, names=names())
        assert again.predict(X).tobytes() == model.predict(X).tobytes()
        assert (again.rounds, again.importances()) == (model.rounds, model.importances())
        assert sum(model.importances().values()) == pytest.approx(1.0)

    def test_balanced_classes_raise_probabilities(self) -> None:
        X, y = feature_table(seed=2)
        assert y.mean() < 0.4
        assert self.fitted(imbalance="balanced").predict(X).mean() > self.fitted().predict(X).mean()

    def test_one_class_only_is_refused(self) -> None:
        X, y = feature_table()
        with pytest.raises(TooFewFailuresError):
            estimators.get("logistic_regression")(self.SETTINGS).fit(X, y * 0, names=names())

    def test_an_unknown_parameter_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="penalty"):
            self.fitted(model_params={"penalty": 1})

    @pytest.mark.parametrize(
        "text",
        [
            "[]",
            "{}",
            '{"center": [0], "scale": [1], "weight": [1, 2], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [0], "weight": [1], "intercept": 0, "iterations": 1}',
            '{"center": [[0]], "scale": [[1]], "weight": [[1]], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [1], "weight": ["x"], "intercept": 0, "iterations": 1}',
            '{"center": [0], "scale": [1], "weight": [1], "intercept": 0, "iterations": 1, "more": 1}',
        ],
    )
    def test_a_file_that_is_something_else_is_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "model.json").write_text(text)
        with pytest.raises(IntegrityError, match=r"model\.json"):
            type(self.fitted()).load(tmp_path / "model.json", self.SETTINGS)


def test_a_forest_survives_saving(tmp_path: Path) -> None:
    settings = config("random_forest")
    model = fitted(settings)
    model.save(tmp_path / "model.pkl")
    again = estimators.get("random_forest").load(tmp_path / "model.pkl", settings, names=names())
    X, _ = feature_table(seed=2)
    assert again.predict(X).tobytes() == model.predict(X).tobytes()
    assert again.importances() == model.importances()


@pytest.mark.parametrize("model_type", TYPES)
def test_every_default_range_is_allowed(model_type: str) -> None:
    kind = estimators.get(model_type)
    for name, values in kind.search_space().items():
        for value in values.choices or (values.low, values.high):
            kind.with_parameters(config(model_type), {name: value})


def test_parameters_are_replaced_in_a_copy() -> None:
    before = config("lightgbm")
    after = estimators.get("lightgbm").with_parameters(before, {"numLeaves": 99, "extraTrees": True})
    assert (after.lgb_params.num_leaves, after.lgb_params.extra_trees, after.lgb_params.num_iterations) == (
        99,
        True,
        40,
    )
    assert before.lgb_params.num_leaves == 7


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="numLeavs") as caught:
        estimators.get("lightgbm").with_parameters(config("lightgbm"), {"numLeavs": 99})
    assert caught.value.hint == 'did you mean "numLeaves"?'


def test_a_value_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"rfParams\.minSamplesLeaf"):
        estimators.get("random_forest").with_parameters(config("random_forest"), {"minSamplesLeaf": 0})


NEW_TYPE = '''
import numpy as np

from ml.learning.estimators.base import Estimator
from ml.options.base import Section
from ml.options.learning import SearchRange


class Params(Section):
    """Parameters."""

    slope: float = 1.0


class Slope(Estimator):
    """A logistic curve of the first feature."""

    model_type = "slope"
    model_file = "model.txt"
    params_type = Params
    rounds = 1

    @classmethod
    def search_space(cls):
        return {"slope": SearchRange(low=0.1, high=10.0, log=True)}

    def fit(self, X, y, X_valid=None, y_valid=None, *, names, on_round=None):
        self.names = list(names)
        return self

    def predict(self, X):
        first = np.nan_to_num(X[:, 0].astype(np.float64))
        return 1 / (1 + np.exp(-self.parameters(self.config).slope * first))

    def leaves(self, X):
        raise NotImplementedError

    def importances(self):
        return dict.fromkeys(self.names, 0.0)

    def save(self, path):
        raise NotImplementedError

    @classmethod
    def load(cls, path, config, *, names=None):
        raise NotImplementedError

    def ensemble(self):
        raise NotImplementedError
'''


@pytest.mark.parametrize("model_type", TYPES)
def test_rows_in_the_same_leaves_have_the_same_probability(model_type: str) -> None:
    model = fitted(config(model_type))
    X, _ = feature_table(seed=2)
    leaves = model.leaves(X)
    assert leaves.dtype == np.int64
    assert leaves.shape == (len(X), model.rounds)
    assert model.leaves(X[:0]).shape == (0, model.rounds)
    _, group = np.unique(leaves, axis=0, return_inverse=True)
    for members in (np.flatnonzero(group == number) for number in range(group.max() + 1)):
        assert len(set(model.predict(X[members]).tolist())) == 1


@pytest.mark.parametrize(
    ("model_type", "lgb_params"), [("lightgbm", {}), ("lightgbm", {"boosting": "rf"}), ("logistic_regression", {})]
)
def test_contributions_add_up_to_the_raw_score(model_type: str, lgb_params: dict[str, Any]) -> None:
    model = fitted(config(model_type, lgb_params=lgb_params))
    X, _ = feature_table(seed=2)
    contributions, scores = model.contributions(X), model.scores(X)
    assert contributions is not None
    assert contributions.dtype == np.float64
    assert contributions.shape == (len(X), X.shape[1] + 1)
    assert np.ptp(contributions[:, -1]) == 0, "the expected score is the same for all rows"
    assert np.ptp(contributions[:, 0]) > 0
    np.testing.assert_allclose(contributions.sum(axis=1), scores, rtol=0, atol=1e-9)
    np.testing.assert_allclose(1 / (1 + np.exp(-scores)), model.predict(X), rtol=1e-12)
    assert model.contributions(X[:0]).shape == (0, X.shape[1] + 1)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="5 features"):
        model.contributions(X[:, :4])


def test_a_forest_scores_probabilities_and_has_no_contributions() -> None:
    model = fitted(config("random_forest"))
    X, _ = feature_table(seed=2)
    assert model.contributions(X) is None
    assert model.scores(X).tobytes() == model.predict(X).tobytes()


@pytest.fixture
def slope_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "slope.py").write_text(NEW_TYPE)
    (tmp_path / "hollow.py").write_text("")
    monkeypatch.setattr(estimators, "__path__", [*estimators.__path__, str(tmp_path)])
    for name in ("slope", "hollow"):
        monkeypatch.delitem(sys.modules, f"ml.learning.estimators.{name}", raising=False)
    return "slope"


def test_one_file_adds_a_model_type(slope_type: str) -> None:
    assert slope_type in estimators.available()
    settings = config(slope_type, model_params={"slope": 2.0})
    kind = estimators.get(slope_type)
    X, y = feature_table()
    assert roc_auc_score(y, kind(settings).fit(X, y, names=names()).predict(X)) > 0.8
    assert kind.with_parameters(settings, {"slope": 3.0}).model_params == {"slope": 3.0}
    with pytest.raises(ConfigError, match="slop") as caught:
        kind.with_parameters(settings, {"slop": 3.0})
    assert caught.value.hint == 'did you mean "slope"?'


@pytest.mark.usefixtures("slope_type")
def test_a_file_without_its_type_is_our_bug() -> None:
    with pytest.raises(InternalError, match="hollow"):
        estimators.get("hollow")
