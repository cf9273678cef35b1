from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ml.errors import DataError
from ml.learning.calibration import fit_calibration

GROUPS = np.repeat(np.arange(20), 200)


def drawn(link: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, the probability that the model makes of them, and labels drawn by another link."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(-1, 2, len(GROUPS))
    return scores, 1 / (1 + np.exp(-scores)), rng.random(len(scores)) < link(scores)


def twisted(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(0.4 * scores - 1)))


def honest(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-scores))


def stepped(scores: np.ndarray) -> np.ndarray:
    return np.where(scores < -1, 0.3, np.where(scores < 2, 0.35, 0.95))


def test_the_sigmoid_is_a_logistic_regression_on_the_score() -> None:
    scores, own, label = drawn(twisted)
    fitted = fit_calibration("sigmoid", scores, own, label, GROUPS).map
    second = LogisticRegression(C=1e9, tol=1e-10).fit(scores[:, None], label)
    assert fitted.slope == pytest.approx(second.coef_[0, 0], rel=5e-3)  # Platt's targets pull by 1 row in 4,000
    assert fitted.intercept == pytest.approx(second.intercept_[0], rel=5e-3)
    assert (fitted.slope, fitted.intercept) == (pytest.approx(0.4, abs=0.05), pytest.approx(-1, abs=0.1))


@pytest.mark.parametrize("levels", [7, 10**9])
def test_the_steps_are_those_of_scikit_learn_within_the_bounds(levels: int) -> None:
    scores, own, label = drawn(twisted)
    scores = np.round(scores * levels / 8) / levels
    fitted = fit_calibration("isotonic", scores, own, label, GROUPS).map
    lowest, highest = 1 / ((~label).sum() + 2), (label.sum() + 1) / (label.sum() + 2)
    second = IsotonicRegression(y_min=lowest, y_max=highest).fit(scores, label.astype(float)).predict(scores)
    np.testing.assert_allclose(fitted.of_scores(scores), second, rtol=1e-12)
    assert list(fitted.values) == sorted(fitted.values)
    assert fitted.values[0] > 0
    assert fitted.values[-1] < 1


@pytest.mark.parametrize(("link", "method"), [(honest, "none"), (twisted, "sigmoid"), (stepped, "isotonic")])
def test_auto_finds_the_kind_of_distortion_and_helps_new_rows(
    link: Callable[[np.ndarray], np.ndarray], method: str
) -> None:
    fitted = fit_calibration("auto", *drawn(link), GROUPS)
    assert fitted.map.method == method
    assert set(fitted.log_loss) == {"none", "sigmoid", "isotonic"}
    if method != "none":
        scores, own, label = drawn(link, seed=1)
        assert log_loss(label, fitted.map.of_scores(scores)) < log_loss(label, own) - 0.02


def test_auto_leaves_a_model_alone_that_one_group_cannot_speak_against() -> None:
    scores, own, label = drawn(twisted)
    assert fit_calibration("auto", scores, own, label, np.zeros(len(scores))).map.method == "none"


def test_scores_that_fall_before_failures_are_refused_by_sigmoid_and_left_by_auto() -> None:
    scores, own, label = drawn(lambda score: honest(-score))
    with pytest.raises(DataError, match="do not become likelier") as caught:
        fit_calibration("sigmoid", scores, own, label, GROUPS)
    assert caught.value.field == "trainingConfig.calibration"
    assert "sigmoid" not in fit_calibration("auto", scores, own, label, GROUPS).log_loss
