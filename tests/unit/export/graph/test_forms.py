"""Models that are no trees: a weighted sum of our own, and what skl2onnx makes of scikit-learn's classifiers."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC

from ml.errors import ParityError
from ml.export.adversarial import adversarial_rows, edge_rows
from ml.export.graph.converted import from_scikit_learn
from ml.export.graph.forms import ConvertedForm, LinearForm
from ml.export.graph.model import build_model
from ml.export.metadata import ModelMetadata
from ml.export.package import exact_model, exact_models
from ml.export.parity import check_parity
from ml.export.session import Scorer
from ml.learning import estimators
from ml.options.learning import TrainingConfig
from tests.unit.export.test_metadata import content
from tests.unit.export.test_package import trained
from tests.unit.export.trained_models import N_FEATURES, model_of_kind, plant_rows


def linear(n_features: int, seed: int = 0) -> LinearForm:
    random = np.random.default_rng(seed)
    return LinearForm(
        center=random.normal(size=n_features) * 10.0 ** random.integers(-5, 6, n_features),
        scale=random.random(n_features) + 1e-3,
        weight=random.normal(size=n_features),
        intercept=-0.3,
    )


class TestLinear:
    @pytest.mark.parametrize("n_features", [1, 2, 7, 300])
    def test_probabilities_have_the_same_bits_for_one_row_and_many(self, n_features):
        form = linear(n_features)
        scorer = Scorer(build_model(form, n_features=n_features, scaling=None, threshold=0.5, metadata={}))
        rows = edge_rows(n_features, 20_000, seed=1)
        assert check_parity(form.predict, scorer, rows, threshold=0.5).differing_bits == 0
        for row in rows[:200]:
            assert check_parity(form.predict, scorer, row[None, :], threshold=0.5).rows == 1

    def test_another_order_of_the_sum_is_found_out(self):
        """The first and the third term cancel, and what was added between them is rounded to a multiple of 16."""
        random = np.random.default_rng(0)
        large, small = random.uniform(1e17, 2e17, 1000), random.normal(size=(2, 1000))
        rows = np.column_stack([large, small[0], -large, small[1]]).astype(np.float32)
        form = LinearForm(np.zeros(4), np.ones(4), np.ones(4), 0.0)
        scorer = Scorer(build_model(form, n_features=4, scaling=None, threshold=0.5, metadata={}))
        assert check_parity(form.predict, scorer, rows, threshold=0.5).differing_bits == 0
        with pytest.raises(ParityError, match="another probability"):
            check_parity(lambda X: form.predict(X[:, ::-1]), scorer, rows, threshold=0.5)

    def test_missing_and_infinite_values_count_as_the_center(self):
        form = LinearForm(np.array([5.0, 1.0]), np.array([2.0, 1.0]), np.array([3.0, 0.0]), 0.0)
        rows = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [5, 1], [7, 1]], dtype=np.float32)
        np.testing.assert_allclose(form.predict(rows), [0.5, 0.5, 0.5, 0.5, 1 / (1 + np.exp(-3))])

    @pytest.mark.parametrize(
        "changes",
        [
            {"weight": np.array([np.nan, 1.0])},
            {"scale": np.array([0.0, 1.0])},
            {"weight": np.array([1.0])},
            {"intercept": np.inf},
        ],
    )
    def test_numbers_that_cannot_be_are_refused(self, changes):
        whole = {"center": np.zeros(2), "scale": np.ones(2), "weight": np.ones(2), "intercept": 0.0}
        with pytest.raises(ParityError, match="the linear model"):
            LinearForm(**(whole | changes))


def test_a_logistic_regression_goes_through_the_gate_with_its_window_graph():
    """As a version has it, with a scaler in front."""
    model, engineer, frame, rows, metadata = trained("logistic_regression")
    models, metadata = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=3000)
    parity = metadata.parity
    assert parity is not None
    assert parity.windows is not None
    assert (parity.probabilities.rows, parity.leaves) == (3000, None)
    assert np.unique(Scorer(models.model).probability(np.ascontiguousarray(rows))).size > 100


@dataclass
class Converted:
    """A classifier as the gate asks it."""

    model: Any
    shape: ConvertedForm

    def form(self) -> ConvertedForm:
        return self.shape

    def predict(self, X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # rows at the ends of float32 overflow in the classifier
            return self.model.predict_proba(self.shape.filled(X))[:, 1]

    def leaves(self, X):
        raise AssertionError(f"{len(X)} rows reach no leaf, as there are no trees")


def gate(classifier: Any) -> ModelMetadata:
    """The comparison that convert_to_onnx makes, on readings of a plant."""
    rows, labels = plant_rows(n_rows=4000)
    fill = np.nanmean(rows.astype(np.float64), axis=0)
    values = np.where(np.isnan(rows), fill, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about convergence and nearly constant columns, which are not under test
        classifier.fit((values - fill) / values.std(axis=0), labels)
    scaled = ((values - fill) / values.std(axis=0)).astype(np.float32)
    metadata = ModelMetadata.model_validate(
        content(features=[f"f{j}" for j in range(N_FEATURES)], scaling={"method": "none"}, parity=None)
    )
    model = Converted(classifier, from_scikit_learn(classifier, np.zeros(N_FEATURES)))
    return exact_model(model, metadata, real_rows=scaled, parity_rows=8000)[1]


def name_of(value: Any) -> str | None:
    return None if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize("classifier", [GaussianNB(), QuadraticDiscriminantAnalysis()], ids=name_of)
def test_what_skl2onnx_may_repeat_is_equal_in_every_bit_or_refused(classifier):
    try:
        parity = gate(classifier).parity
    except ParityError as refusal:  # by the exponentials and sums of this processor
        if "differs from the trained model" not in refusal.message:
            raise
        return
    assert parity is not None
    assert (parity.probabilities.rows, parity.probabilities.differing_bits) == (8000, 0)


@pytest.mark.parametrize(
    ("classifier", "words"),
    [
        (LinearDiscriminantAnalysis(), "differs from the trained model"),
        (HistGradientBoostingClassifier(max_iter=3), "does not convert it"),
        (LinearSVC(), "cannot be exported"),
    ],
    ids=name_of,
)
def test_what_it_does_not_repeat_is_refused(classifier, words):
    with pytest.raises(ParityError, match=words):
        gate(classifier)


def test_a_classifier_of_one_class_is_refused():
    classifier = GaussianNB().fit(np.eye(3), np.zeros(3))
    with pytest.raises(ParityError, match="needed are 0 and 1"):
        from_scikit_learn(classifier, np.zeros(3))


def test_the_estimator_agrees_with_scikit_learn():
    rows, labels = plant_rows(missing=0.0)
    settings = TrainingConfig.model_validate(
        {"modelType": "logistic_regression", "modelParams": {"penaltyInverse": 1.0}}
    )
    model = estimators.get("logistic_regression")(settings).fit(rows, labels, names=list("abcdef"))
    values = rows.astype(np.float64)
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    expected = LogisticRegression(C=1.0, max_iter=500).fit(standardised, labels).predict_proba(standardised)[:, 1]
    np.testing.assert_allclose(model.predict(rows), expected, rtol=1e-9)


def moved_scorer(form: Any, place: np.ndarray, width: int) -> Scorer:
    moved = form.with_columns(place, width)
    return Scorer(build_model(moved, n_features=width, scaling=None, threshold=0.5, metadata={}))


@pytest.mark.parametrize("kind", ["gbdt", "zero_as_missing", "categorical", "categorical_zero_as_missing", "linear"])
def test_columns_in_another_order_and_among_others_change_no_bit(kind):
    """As the window graph has them, which makes features in its own order and leaves out what nobody asks for."""
    if kind == "linear":
        form, rows = linear(N_FEATURES), edge_rows(N_FEATURES, 3000, seed=2)
        predict = form.predict
    else:
        model = model_of_kind(kind)
        form, predict = model.ensemble, model.predict
        rows = adversarial_rows(form, 3000, seed=2)
    used, width = form.used_features(), 9
    place = np.zeros(N_FEATURES, dtype=np.int64)  # of features that are not used as well
    place[used] = np.array([7, 2, 5, 0, 8, 3])[: len(used)]
    moved = np.full((len(rows), width), -1.5, dtype=np.float32)
    moved[:, place[used]] = rows[:, used]
    expected = predict(rows).astype(np.float32)
    np.testing.assert_array_equal(moved_scorer(form, place, width).probability(moved), expected)
