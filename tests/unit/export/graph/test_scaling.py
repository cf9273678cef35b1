from __future__ import annotations

import numpy as np
import pytest

from ml.errors import ParityError
from ml.export.graph.scaling import apply_scaling, scaler_object, scaling_constants

SCALING = {"method": "minmax", "center": [1e6, -0.3, 2.0], "scale": [7.0, 0.1, 3e5]}


@pytest.mark.parametrize("scaling", [SCALING, {"method": "none", "center": [], "scale": []}, None])
def test_the_scikit_learn_object_gives_the_same_bits(scaling):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(5000, 3)) * [1e6, 1, 1e6]).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    transformed = scaler_object(scaling, 3).transform(rows)
    assert transformed.dtype == np.float32
    np.testing.assert_array_equal(transformed, apply_scaling(rows, scaling))


def test_scaled_is_the_difference_over_the_scale():
    rows = np.array([[1e6 + 14, 0.7, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(apply_scaling(rows, SCALING), [[2.0, 10.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize(
    ("center", "scale", "reason"),
    [
        ([0.0], [1.0], "1 centers and 1 scales for 3 features"),
        ([0.0, np.nan, 0.0], [1.0, 1.0, 1.0], "not finite"),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 1.0], "not positive"),
    ],
)
def test_unusable_constants_are_refused(center, scale, reason):
    with pytest.raises(ParityError, match=reason):
        scaling_constants({"method": "standard", "center": center, "scale": scale}, 3)
