"""The scaler in front of a model: its stored constants, checked, and the same thing as a scikit-learn object."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.arrays import Float32s
from ml.errors import ParityError
from ml.windows import scaling as features_scaling

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

_PICKLE_PROTOCOL = 5

StoredScaling = Mapping[str, Any]
"""``{"method", "center", "scale"}``: scaled = (x - center) / scale, all in float32; method ``none``: left as it is."""


def scaling_constants(scaling: StoredScaling | None, n_features: int) -> tuple[Float32s, Float32s] | None:
    """Center and scale as float32, each (n_features,); None where nothing is scaled.

    Raises ParityError if the constants are not finite, a scale is not positive, or there is not one per feature.
    """
    if scaling is None or scaling["method"] == "none":
        return None
    center = np.asarray(scaling["center"], dtype=np.float32)
    scale = np.asarray(scaling["scale"], dtype=np.float32)
    if center.shape != (n_features,) or scale.shape != (n_features,):
        raise ParityError(f"the scaler holds {center.size} centers and {scale.size} scales for {n_features} features")
    if not (np.isfinite(center).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ParityError("the scaler holds a constant that is not finite, or a scale that is not positive")
    return center, scale


def apply_scaling(rows: Float32s, scaling: StoredScaling | None) -> Float32s:
    """Scale (n_rows, n_features) float32 rows exactly as the graphs do: subtract, then divide, both in float32.

    NaN stays NaN; what exceeds float32 becomes infinite.
    """
    constants = scaling_constants(scaling, rows.shape[1])
    if scaling is None or constants is None:
        return rows
    return features_scaling.Scaling(scaling["method"], *constants).apply(rows)


def scaler_pickle(scaling: StoredScaling | None, n_features: int) -> bytes:
    """The pickle of `scaler_object`, for users of scikit-learn; nothing here reads it."""
    return pickle.dumps(scaler_object(scaling, n_features), protocol=_PICKLE_PROTOCOL)


def scaler_object(scaling: StoredScaling | None, n_features: int) -> StandardScaler:
    """A fitted scikit-learn scaler whose ``transform`` of float32 rows has the bits of `apply_scaling`.

    Always a StandardScaler, whichever method found the constants: MinMaxScaler multiplies by a reciprocal and so gives
    other bits.
    """
    from sklearn.preprocessing import StandardScaler

    constants = scaling_constants(scaling, n_features)
    scaler = StandardScaler(with_mean=constants is not None, with_std=constants is not None)
    scaler.n_features_in_ = n_features
    scaler.n_samples_seen_ = 1
    center, scale = (None, None) if constants is None else constants
    scaler.mean_ = None if center is None else center.astype(np.float64)
    scaler.scale_ = None if scale is None else scale.astype(np.float64)
    scaler.var_ = None if scale is None else np.square(scaler.scale_)
    return scaler
