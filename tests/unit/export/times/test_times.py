"""time_to_failure.onnx: the bits of numpy, one row as in a batch, and quantiles that a second reading gives as well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import ParityError
from ml.export.graph.model import INPUT
from ml.export.session import open_model
from ml.export.times import exact
from ml.export.times.curve import quantiles
from ml.export.times.described import Coverage, MeasuredTimes
from ml.export.times.exact import ExportedTimes, exact_times
from ml.export.times.graph import TIMES, with_one_horizon
from ml.learning.times.pooled import HorizonModel
from ml.learning.times.targets import horizons_of, samples_of
from ml.options.learning import TrainingConfig
from tests.reference.times import naive_quantiles
from tests.reference.trees import raw_scores

HORIZONS = horizons_of(3600, 60)
ASKED = samples_of(np.array(HORIZONS), 60)
NOTHING = Coverage(count=0, share=None, interval=None)
MEASURED = MeasuredTimes(
    part="test",
    rows=NOTHING,
    alarm_rows=NOTHING,
    first_alarms=NOTHING,
    median_error_seconds=None,
    median_width_seconds=None,
)


def model_of(copies=3, **lgb_params):
    """A model of four features, the first of which tells the time to failure, and rows of them."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(900, 4)).astype(np.float32)
    X[::7, 1] = np.nan
    X[:, 3] = rng.integers(0, 4, 900)
    horizon = rng.choice(ASKED, 900).astype(np.float32)
    label = ASKED.mean() + 3 * X[:, 0] + (X[:, 3] == 2) + 0.3 * rng.normal(size=900) < horizon
    params = {"num_iterations": 30, "min_data_in_leaf": 5, "feature_fraction": 0.6, **lgb_params}
    model = HorizonModel(HorizonModel.settings(TrainingConfig.model_validate({"lgb_params": params, "threads": 1})))
    model.width = 4
    names = ["a", "b", "c", "d", *(f"h{number}" for number in range(copies))]
    model.fit(np.column_stack([X, *[horizon] * copies]), label.astype(np.float32), names=names)
    return model, X


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    "lgb_params", [{}, {"zero_as_missing": True}, {"categorical_features": ["d"]}, {"boosting": "dart"}], ids=str
)
def test_the_graph_has_the_bits_of_numpy_on_adversarial_rows_alone_and_together(lgb_params, scaled):
    model, X = model_of(**lgb_params)
    center, scale = (0.5, 0.0, -1.0, 0.0), (2.0, 1.0, 1.0, 1.0)
    scaling = {"method": "standard", "center": center, "scale": scale} if scaled else {"method": "none"}
    real = (X * np.array(scale) + np.array(center)).astype(np.float32) if scaled else X
    times = ExportedTimes(model, HORIZONS, ASKED, MEASURED)
    content = exact_times(
        times, n_features=4, scaling=scaling, real_rows=real, n_rows=3000, seed=1, metadata={"version": "v1"}
    )
    (given,) = open_model(content).run([TIMES], {INPUT: real})
    assert given.dtype == np.float32
    assert (given[:, :2] <= given[:, 1:]).all()
    assert not np.isnan(given).any()
    assert 0.05 < np.isinf(given[:, 2]).mean() < 0.9
    assert (given[:, 0] == 0).any()


def test_scores_are_those_of_the_trees_walked_one_by_one_and_never_fall_with_the_horizon():
    model, X = model_of()
    ensemble = with_one_horizon(model.ensemble(), 4)
    scores = model.at(X[:40], ASKED)
    each = np.column_stack([np.repeat(X[:40], len(ASKED), axis=0), np.tile(ASKED, 40)]).astype(np.float32)
    assert raw_scores(ensemble, each).tobytes() == scores.ravel().tobytes()
    assert (np.diff(model.at(X, ASKED), axis=1) >= 0).all()


@given(
    st.lists(st.floats(-8, 8), min_size=2, max_size=9).map(sorted),
    st.lists(st.integers(1, 10**7), min_size=9, max_size=9, unique=True).map(sorted),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_quantiles_equal_the_reference(scores, horizons):
    horizons = horizons[: len(scores)]
    (found,) = quantiles(np.array([scores]), horizons)
    np.testing.assert_allclose(found, naive_quantiles(scores, horizons), rtol=1e-12)
    assert (found[:2] <= found[1:]).all()


def test_a_row_has_fifty_percent_by_its_median():
    (found,) = quantiles(np.array([[-5.0, -1.0, 3.0]]), (100, 200, 400))
    assert found.tolist() == pytest.approx([100 + 100 * (5 - np.log(9)) / 4, 250, 200 + 200 * (np.log(9) + 1) / 4])
    assert quantiles(np.array([[-9.0, -8.0, -7.0]]), (100, 200, 400)).tolist() == [[np.inf] * 3]


def test_a_graph_that_differs_is_no_version(monkeypatch):
    model, X = model_of()
    right = exact.build_times
    monkeypatch.setattr(
        exact, "build_times", lambda trees, asked, *rest, **more: right(trees, asked + 1, *rest, **more)
    )
    with pytest.raises(ParityError, match=r"time_to_failure\.onnx differs"):
        exact_times(
            ExportedTimes(model, HORIZONS, ASKED, MEASURED),
            n_features=4, scaling={"method": "none"}, real_rows=X, n_rows=400, seed=1, metadata={},
        )  # fmt: skip
