import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.metrics import complete_score, reference_results, row_metrics
from tests.reference import metrics as naive

# Few distinct values, so that ties and values on the threshold are common.
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.7, 0.9, 1.0])), min_size=1, max_size=40
)


@given(rows=ROWS, threshold=st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0]))
def test_every_metric_equals_the_naive_one(rows, threshold):
    label = [truth for truth, _ in rows]
    probability = [float(np.float32(value)) for _, value in rows]

    metrics = row_metrics(label, probability, threshold)

    assert metrics.rows == len(label)
    assert metrics.positives == sum(label)
    assert metrics.base_rate == sum(label) / len(label)
    assert [list(row) for row in metrics.confusion] == naive.confusion(label, probability, threshold)
    for name, expected in naive.ratio_metrics(label, probability, threshold).items():
        assert getattr(metrics, name) == pytest.approx(expected), name
    assert metrics.brier == pytest.approx(naive.brier(label, probability))
    bins = naive.calibration(label, probability, 10)
    expected_error = sum(rows * abs(predicted - observed) for predicted, observed, rows in bins) / len(label)
    assert metrics.calibration_error == pytest.approx(expected_error)
    assert metrics.auc == (None if sum(label) in (0, len(label)) else pytest.approx(naive.auc(label, probability)))
    assert metrics.average_precision == (
        pytest.approx(naive.average_precision(label, probability)) if any(label) else None
    )


def test_every_metric_equals_scikit_learn():
    random = np.random.default_rng(5)
    label = (random.random(3000) < 0.2).astype(np.int8)
    probability = np.clip(0.2 + 0.4 * label + random.normal(0, 0.2, 3000), 0, 1).astype(np.float32)
    alarm = probability >= np.float32(0.4)

    metrics = row_metrics(label, probability, 0.4)

    assert metrics.accuracy == pytest.approx(sk.accuracy_score(label, alarm))
    assert metrics.precision == pytest.approx(sk.precision_score(label, alarm))
    assert metrics.recall == pytest.approx(sk.recall_score(label, alarm))
    assert metrics.f1 == pytest.approx(sk.f1_score(label, alarm))
    assert metrics.mcc == pytest.approx(sk.matthews_corrcoef(label, alarm))
    assert metrics.brier == pytest.approx(sk.brier_score_loss(label, probability.astype(np.float64)))
    assert metrics.auc == pytest.approx(sk.roc_auc_score(label, probability))
    assert metrics.average_precision == pytest.approx(sk.average_precision_score(label, probability))
    assert np.array_equal(metrics.confusion, sk.confusion_matrix(label, alarm))


@pytest.mark.parametrize(
    ("label", "undefined"),
    [
        ([0, 0, 0], {"recall", "auc", "average_precision", "mcc"}),
        ([1, 1, 1], {"auc", "mcc"}),
    ],
)
def test_one_class_leaves_what_needs_two_undefined(label, undefined):
    metrics = row_metrics(label, [0.2, 0.6, 0.9], 0.5)

    assert {name for name in vars(metrics) if getattr(metrics, name) is None} == undefined


def test_no_rows_leave_everything_undefined_but_the_counts():
    values = row_metrics([], [], 0.5).to_json()

    assert (values.pop("rows"), values.pop("positives"), values.pop("confusion")) == (0, 0, [[0, 0], [0, 0]])
    assert set(values.values()) == {None}


def test_precision_without_an_alarm_is_undefined_and_f1_is_zero():
    metrics = row_metrics([0, 1], [0.1, 0.2], 0.5)

    assert metrics.precision is None
    assert metrics.f1 == 0


def test_the_alarm_is_decided_in_float32_as_the_exported_model_decides():
    just_below_in_float64 = 0.7 - 1e-10

    assert row_metrics([1], [just_below_in_float64], 0.7).recall == 1
    assert row_metrics([1], [np.nextafter(np.float32(0.7), np.float32(0))], 0.7).recall == 0


@pytest.mark.parametrize(
    ("label", "probability", "words"),
    [
        ([0, -1], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1, np.nan], "must be finite"),
        ([0, 1], [0.1], "columns of one length"),
    ],
)
def test_unusable_columns_are_refused(label, probability, words):
    with pytest.raises(ValueError, match=words):
        row_metrics(label, probability, 0.5)


def test_json_names_are_camel_case():
    assert set(row_metrics([0, 1], [0.1, 0.9], 0.5).to_json()) == {
        "rows", "positives", "baseRate", "accuracy", "precision", "recall", "f1", "auc", "averagePrecision", "brier",
        "mcc", "calibrationError", "confusion",
    }  # fmt: skip


def test_a_missing_reference_score_counts_as_the_lowest():
    label = [0, 1, 0, 1]

    (with_gap, filled) = reference_results(label, {"gap": [3.0, np.nan, -2.0, 9.0], "filled": [3.0, -2.0, -2.0, 9.0]})

    assert (with_gap.average_precision, with_gap.auc) == (filled.average_precision, filled.auc)
    assert with_gap.auc == pytest.approx(naive.auc(label, [3.0, -2.0, -2.0, 9.0]))


def test_a_reference_score_without_any_value_ranks_nothing():
    assert reference_results([0, 1], {"empty": [np.nan, np.nan]})[0].auc == 0.5


def test_infinite_reference_scores_keep_their_order():
    assert np.isfinite(complete_score([-np.inf, 0.0, np.inf, np.nan])).all()
    assert reference_results([0, 1, 0], {"limit": [-np.inf, np.inf, 0.0]})[0].auc == 1
