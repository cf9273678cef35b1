"""Feature selection: rank features on the training part, keep the best k, in catalogue order."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.arrays import Bools, Float32s, Float64s, Int64s

MOST_ROWS = 100_000
"""Rows that are enough to rank by; more would only take time and memory."""
_RANKING_ROWS = 20_000  # mutual information is estimated from neighbours, and their search grows faster than the rows
_IMPORTANCE_ROUNDS = 100


def select(
    matrix: Float32s, label: NDArray[np.int8], *, method: Literal["mutual_information", "f_test", "model_importance"],
    k: int, seed: int,
) -> list[int]:  # fmt: skip
    """Indices, ascending, of the k highest ranked columns of `matrix` (n_rows, n_features); ties keep the earlier one.

    mutual_information is Ross's k-nearest-neighbour estimate (PLoS ONE 9(2), 2014) and f_test one-way ANOVA, both as
    in scikit-learn on at most 20,000 rows drawn by `seed`, with NaN as the column's median; model_importance is the
    total gain of a LightGBM of 100 trees on all rows given, which are `MOST_ROWS` at most. Scores that cannot be
    computed (a constant column) rank last.
    """
    if k >= matrix.shape[1]:
        return list(range(matrix.shape[1]))
    score = _importance(matrix, label, seed) if method == "model_importance" else _filter(matrix, label, method, seed)
    score = np.where(np.isfinite(score), score, -np.inf)
    order = np.argsort(-score, kind="stable")
    return sorted(int(index) for index in order[:k])


def drawn_rows(rows: Bools, n_rows: int, seed: int) -> Bools:
    """`n_rows` of the rows (n_all,) that are true, drawn by `seed`; all of them where there are no more."""
    positions = np.flatnonzero(rows)
    if n_rows >= positions.size:
        return rows
    drawn = np.zeros(rows.size, dtype=np.bool_)
    drawn[np.random.default_rng(seed).choice(positions, n_rows, replace=False)] = True
    return drawn


def _filter(
    matrix: Float32s, label: NDArray[np.int8], method: Literal["mutual_information", "f_test"], seed: int
) -> Float64s:
    from sklearn.feature_selection import f_classif, mutual_info_classif

    rows = _sample(label, seed)
    values = matrix[rows].astype(np.float64)
    present = ~np.isnan(values)
    varying = np.array([np.unique(column[ok]).size > 1 for column, ok in zip(values.T, present.T, strict=True)])
    score = np.full(matrix.shape[1], -np.inf)
    if not varying.any():
        return score
    values, present = values[:, varying], present[:, varying]
    middle = np.nanmedian(values, axis=0)
    values = np.where(present, values, middle)
    if method == "f_test":
        with np.errstate(divide="ignore", invalid="ignore"):
            score[varying] = f_classif(values, label[rows])[0]
    else:
        score[varying] = mutual_info_classif(values, label[rows], random_state=seed)
    return score


def _sample(label: NDArray[np.int8], seed: int) -> Int64s:
    if label.size <= _RANKING_ROWS:
        return np.arange(label.size)
    return np.sort(np.random.default_rng(seed).choice(label.size, _RANKING_ROWS, replace=False))


def _importance(matrix: Float32s, label: NDArray[np.int8], seed: int) -> Float64s:
    import lightgbm

    parameters = {
        "objective": "binary",
        "verbosity": -1,
        "seed": seed,
        "deterministic": True,
        "force_col_wise": True,
        "learning_rate": 0.1,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, label), num_boost_round=_IMPORTANCE_ROUNDS)
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)
