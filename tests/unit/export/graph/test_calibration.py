from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from ml.errors import ParityError
from ml.export.graph.calibration import Calibration
from ml.export.metadata import parse_metadata
from ml.export.package import exact_model, exact_models
from ml.export.session import Scorer
from tests.unit.export.test_package import trained

SIGMOID = Calibration(method="sigmoid", slope=0.7, intercept=-1.3)


def steps_for(model, rows) -> Calibration:
    """Steps whose bounds are scores that occur, so that comparisons are put to the test."""
    scores = np.unique(model.scores(rows))
    bounds = scores[np.linspace(0, len(scores) - 1, 12).astype(int)]
    return Calibration(method="isotonic", bounds=tuple(bounds), values=tuple(np.linspace(0.01, 0.97, len(bounds) + 1)))


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
@pytest.mark.parametrize("model_type", ["lightgbm", "random_forest", "logistic_regression"])
def test_both_graphs_hold_the_calibration_to_the_last_bit(model_type, kind):
    model, engineer, frame, rows, metadata = trained(model_type)
    scaled = engineer.scaling.apply(rows)
    calibration = SIGMOID if kind == "sigmoid" else steps_for(model, scaled)
    metadata = metadata.model_copy(update={"calibration": calibration})
    models, proven = exact_models(model, engineer, metadata, frame=frame, real_rows=rows, parity_rows=2000)
    assert proven.parity is not None
    assert (proven.parity.probabilities.rows, proven.parity.probabilities.differing_bits) == (2000, 0)
    assert proven.parity.windows is not None, "the window graph was compared as well"
    probability = Scorer(models.model).probability(rows)
    stored = parse_metadata(proven.to_json_bytes(), "metadata.json").calibration
    assert probability.tobytes() == stored.predict(model, scaled).astype(np.float32).tobytes()
    assert probability.tobytes() != model.predict(scaled).astype(np.float32).tobytes()


def test_a_graph_without_the_calibration_does_not_pass(monkeypatch):
    model, _, _, rows, metadata = trained("lightgbm")
    metadata = metadata.model_copy(update={"calibration": SIGMOID})
    monkeypatch.setattr("ml.export.graph.parts._add_link", lambda graph, score, form, calibration: score)
    with pytest.raises(ParityError, match="differs from the trained model"):
        exact_model(model, metadata, real_rows=rows, parity_rows=500)


def test_the_sigmoid_of_log_odds_is_the_identity_for_slope_1():
    scores = np.linspace(-40, 40, 101)
    same = Calibration(method="sigmoid", slope=1.0, intercept=0.0).of_scores(scores)
    np.testing.assert_allclose(same, 1 / (1 + np.exp(-scores)), rtol=1e-14)
    assert Calibration(method="sigmoid", slope=1e6, intercept=0.0).of_scores(np.array([-1e3])) == 0.0


def test_a_score_on_a_bound_takes_the_upper_step():
    steps = Calibration(method="isotonic", bounds=(0.0, 1.0), values=(0.1, 0.2, 0.4))
    assert steps.of_scores(np.array([-1.0, -0.0, 0.5, 1.0, 9.0])).tolist() == [0.1, 0.2, 0.2, 0.4, 0.4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"method": "sigmoid"}, "slope and intercept"),
        ({"method": "none", "slope": 1, "intercept": 0}, "slope and intercept"),
        ({"method": "sigmoid", "slope": -1, "intercept": 0}, "greater than 0"),
        ({"method": "isotonic", "bounds": [1], "values": [0.1]}, "one value more"),
        ({"method": "isotonic", "bounds": [1, 0], "values": [0.1, 0.2, 0.3]}, "must increase"),
        ({"method": "isotonic", "bounds": [0], "values": [0.3, 0.1]}, "must increase"),
    ],
)
def test_constants_that_do_not_fit_the_method_are_refused(content, words):
    with pytest.raises(ValidationError, match=words):
        Calibration.model_validate_json(json.dumps(content))
