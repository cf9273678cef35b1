import numpy as np
import pytest
import sklearn.metrics as sk

from ml.evaluation.report.curves import MAX_POINTS, calibration_points, precision_recall_points, roc_points
from tests.reference import metrics as naive


@pytest.fixture(scope="module")
def scored():
    random = np.random.default_rng(1)
    label = (random.random(20_000) < 0.02).astype(np.int8)
    return label, np.clip(0.2 + 0.3 * label + random.normal(0, 0.15, label.size), 0, 1).astype(np.float32)


def test_thinned_roc_keeps_its_ends_and_its_area(scored):
    label, probability = scored

    curve = roc_points(label, probability)

    assert len(curve.x) <= MAX_POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(sk.roc_auc_score(label, probability), abs=2e-3)


def test_thinned_precision_recall_curve_keeps_its_ends_and_its_area(scored):
    label, probability = scored

    curve = precision_recall_points(label, probability)

    assert len(curve.x) <= MAX_POINTS
    assert (curve.x[0], curve.y[0], curve.x[-1]) == (0, 1, 1)
    area = np.sum(np.diff(curve.x) * curve.y[1:])
    assert area == pytest.approx(sk.average_precision_score(label, probability), abs=1e-2)


def test_a_short_curve_is_whole():
    curve = roc_points([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4])

    assert curve.x.tolist() == [0, 0, 0.5, 0.5, 1]
    assert curve.y.tolist() == [0, 0.5, 0.5, 1, 1]


def test_one_class_has_no_curve():
    assert roc_points([1, 1], [0.1, 0.2]) is None
    assert roc_points([0, 0], [0.1, 0.2]) is None
    assert precision_recall_points([0, 0], [0.1, 0.2]) is None


def test_calibration_equals_the_naive_one(scored):
    label, probability = scored[0][:2000], scored[1][:2000].copy()
    probability[:3] = [0, 0.5, 1]  # edges of bins

    points = calibration_points(label, probability, bins=10)

    expected = naive.calibration(label.tolist(), probability.astype(float).tolist(), 10)
    assert np.allclose(np.column_stack([points.predicted, points.observed, points.rows]), expected)
    assert points.rows.sum() == 2000
