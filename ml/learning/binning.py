"""Rows as LightGBM trains on them: every feature as one of a few hundred bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np

from ml.arrays import Float32s
from ml.learning.feature_rows import FeatureRows
from ml.learning.memory import give_back

SAMPLE_ROWS = 50_000
"""Rows whose features give the bins their thresholds.

About 200 values for each of the 255 bins, in a quarter of the time and memory that LightGBM's own 200,000 take.
"""


def binned(
    X: Float32s | FeatureRows, label: Float32s, *, reference: lgb.Dataset | None, categorical: Sequence[int],
    params: Mapping[str, Any], seed: int,
) -> lgb.Dataset:  # fmt: skip
    """The data set of rows `X` (n_rows, n_features) with their labels (n_rows,).

    Features that are computed when read are binned a batch at a time, so that their table is never in memory. The
    bins' thresholds then come from at most `SAMPLE_ROWS` of the rows, drawn by `seed`.

    Raises lightgbm.basic.LightGBMError if LightGBM refuses a parameter.

    Parameters
    ----------
    reference
        Data set whose thresholds to use. Default: they are found.
    categorical
        Features that are split by sets of values.
    params
        LightGBM's parameters of binning.
    """
    options: dict[str, Any] = {"width": X.shape[1], "categorical": categorical, "params": params}
    if not isinstance(X, FeatureRows):
        return _data_set(X.astype(np.float32, copy=False), label, reference, **options)
    if reference is None:
        reference = thresholds_of(X.sample(SAMPLE_ROWS, seed), categorical=categorical, params=params)
        give_back()
    return _data_set(_Batches(X), label, reference, **options)


def thresholds_of(sample: Float32s, *, categorical: Sequence[int], params: Mapping[str, Any]) -> lgb.Dataset:
    """A data set to give `binned` as reference: the thresholds that some rows (n_rows, n_features) lead to."""
    return _data_set(sample, None, None, width=sample.shape[1], categorical=categorical, params=params)


def _data_set(
    rows: Any, label: Float32s | None, reference: lgb.Dataset | None, *,
    width: int, categorical: Sequence[int], params: Mapping[str, Any],
) -> lgb.Dataset:  # fmt: skip
    return lgb.Dataset(
        rows,
        label=label,
        feature_name=[f"f{number}" for number in range(width)],
        categorical_feature=list(categorical),
        reference=reference,
        params=dict(params),
    ).construct()


class _Batches(lgb.Sequence):  # type: ignore[misc]
    """`FeatureRows` as LightGBM reads rows that are not in memory."""

    def __init__(self, rows: FeatureRows) -> None:
        self._rows = rows
        self.batch_size = rows.batch_rows

    def __getitem__(self, part: slice) -> Float32s:
        return self._rows[part]

    def __len__(self) -> int:
        return len(self._rows)
