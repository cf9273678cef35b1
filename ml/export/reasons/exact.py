"""The reasons of one model: the table fitted, the graph built and compared with the table bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, NonNegativeInt

from ml.errors import ParityError
from ml.export.graph.calibration import Calibration, ScoredModel
from ml.export.graph.model import INPUT
from ml.export.graph.scaling import StoredScaling, apply_scaling
from ml.export.reasons.agreement import Agreement, agreement
from ml.export.reasons.graph import CONTRIBUTIONS, build_reasons
from ml.export.reasons.leaf_values import leaf_table, positions_of_leaves, summed
from ml.export.session import open_model
from ml.export.trees.ensemble import TreeEnsemble
from ml.options.base import Section
from ml.windows.catalogue import Feature

TIME = "time of day and week"
"""What features are counted under that read no sensor."""
_COVER_ROWS = 20_000
_KNOWN_ROWS = 1_000
_COMPARED_ROWS = 1_000

_Rows = NDArray[np.float32]
_Doubles = NDArray[np.float64]


class Reasons(Section):
    """What ``reasons.onnx`` gives for a row of features: how far each sensor moved its score (log-odds)."""

    sensors: tuple[str, ...] = Field(min_length=1, description="Columns of `contributions`, in order.")
    expected_score: FiniteFloat = Field(description="The score that contributions are counted from.")
    agreement: Agreement = Field(description="Beside exact contributions.")
    parity_rows: NonNegativeInt = Field(description="Rows in which the graph gave the table's sums, bit by bit.")


class ExplainedModel(ScoredModel, Protocol):
    """A trained model that knows the exact contributions of its features; features are scaled."""

    def leaves(self, X: _Rows) -> NDArray[np.int64]:
        """Leaf that each row reaches in each tree, (n_rows, n_trees)."""

    def contributions(self, X: _Rows) -> _Doubles | None:
        """SHAP values (n_rows, n_features + 1), the expected score last; None if there are none."""


def exact_reasons(
    trained: ExplainedModel,
    ensemble: TreeEnsemble,
    features: Sequence[Feature],
    *,
    scaling: StoredScaling,
    calibration: Calibration,
    threshold: float,
    real_rows: _Rows,
    probing_rows: _Rows,
    metadata: dict[str, str],
) -> tuple[bytes, Reasons] | None:
    """``reasons.onnx`` and what metadata says of it; None where the model has no contributions or no split.

    Parameters
    ----------
    real_rows
        Features (n_rows, n_features), not scaled, by asset and time. The first half of the alarm rows among them, and
        as many other rows, fit the table; the second half, of other assets where there are several, measures it.
    probing_rows
        Rows on which the graph is held against the table.

    Raises
    ------
    ParityError
        A contribution of the graph has other bits than the table's sum.
    """
    if len(real_rows) < 2 or not (ensemble.leaf_weight != ensemble.leaf_weight[0]).any():
        return None
    rows = apply_scaling(real_rows[_positions(np.arange(len(real_rows)), _COVER_ROWS)], scaling)
    fitted, measured = _halves(calibration.predict(trained, rows), threshold)
    exact = trained.contributions(rows[np.concatenate([fitted, measured])])
    if exact is None:
        return None
    sensors, shares = sensor_shares(features)
    by_sensor = exact[:, :-1] @ shares
    order = np.concatenate([fitted, np.setdiff1d(np.arange(len(rows)), fitted)])
    leaves = positions_of_leaves(ensemble, trained.leaves(rows[order]))
    table, expected = leaf_table(ensemble, shares, leaves, by_sensor[: len(fitted)])
    content = build_reasons(ensemble, table, scaling=scaling, metadata=metadata)
    _check(content, table, ensemble, trained, probing_rows, scaling)
    given = summed(table, positions_of_leaves(ensemble, trained.leaves(rows[measured])))
    return content, Reasons(
        sensors=sensors,
        expected_score=expected,
        agreement=agreement(given, by_sensor[len(fitted) :]),
        parity_rows=len(probing_rows),
    )


def sensor_shares(features: Sequence[Feature]) -> tuple[tuple[str, ...], _Doubles]:
    """Sensors in the order in which features name them, and how much of each feature is whose: rows sum to 1."""
    own = [feature.operation.sensors or (TIME,) for feature in features]
    sensors = tuple(dict.fromkeys(name for names in own for name in names))
    shares = np.zeros((len(features), len(sensors)))
    for at, names in enumerate(own):
        for name in names:
            shares[at, sensors.index(name)] += 1 / len(names)
    return sensors, shares


def _positions(of: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, at even distances."""
    return of[np.unique(np.linspace(0, max(len(of) - 1, 0), min(len(of), most)).astype(np.int64))]


def _halves(probability: _Doubles, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to fit on, half of them in alarm where there are enough, and later rows in alarm to compare on."""
    by_score = np.argsort(-probability, kind="stable")
    alarms = by_score[: max(int((probability >= threshold).sum()), min(len(by_score), 2))]
    alarms = np.sort(alarms)
    half = (len(alarms) + 1) // 2
    fitted, measured = _positions(alarms[:half], _KNOWN_ROWS // 2), _positions(alarms[half:], _COMPARED_ROWS)
    others = np.setdiff1d(np.arange(len(probability)), alarms)
    return np.concatenate([fitted, _positions(others, _KNOWN_ROWS // 2)]), measured


def _check(
    content: bytes,
    table: _Doubles,
    ensemble: TreeEnsemble,
    trained: ExplainedModel,
    rows: _Rows,
    scaling: StoredScaling,
) -> None:
    (given,) = open_model(content).run([CONTRIBUTIONS], {INPUT: rows})
    wanted = summed(table, positions_of_leaves(ensemble, trained.leaves(apply_scaling(rows, scaling))))
    differing = int((given.view(np.uint32) != wanted.astype(np.float32).view(np.uint32)).sum())
    if differing:
        raise ParityError(
            f"reasons.onnx differs from its table: {differing} of {given.size} contributions; allowed is none",
            hint="the trained model is untouched; the version must not be published",
        )
