"""The times of one model: the graph built, and compared with numpy bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ml.arrays import Float32s, Float64s
from ml.errors import ParityError
from ml.export.adversarial import adversarial_rows
from ml.export.graph.model import INPUT
from ml.export.graph.scaling import StoredScaling, apply_scaling, scaling_constants
from ml.export.session import BATCH_ROWS, batches, open_model
from ml.export.times.curve import quantiles
from ml.export.times.described import MeasuredTimes, TimeToFailure
from ml.export.times.graph import TIMES, build_times, with_one_horizon
from ml.export.trees.ensemble import TreeEnsemble

_ALONE = 64


class TimedModel(Protocol):
    """A trained model of features and horizons."""

    @property
    def rounds(self) -> int:
        """Its trees."""

    def at(self, X: Float32s, horizons: Float64s) -> Float64s:
        """The score of scaled features at each horizon as the trees take it, (n_rows, n_horizons)."""

    def ensemble(self) -> TreeEnsemble:
        """Its trees, the horizon in all columns behind the features."""


@dataclass(frozen=True)
class ExportedTimes:
    """A trained model with what is known of it.

    Attributes
    ----------
    horizons, asked
        Where rows are asked, in seconds and as the trees take it, (n_horizons,).
    """

    model: TimedModel
    horizons: tuple[int, ...]
    asked: Float64s
    measured: MeasuredTimes

    def described(self, parity_rows: int) -> TimeToFailure:
        """For metadata."""
        return TimeToFailure(
            horizons_seconds=self.horizons, trees=self.model.rounds, measured=self.measured, parity_rows=parity_rows
        )


def exact_times(
    times: ExportedTimes,
    *,
    n_features: int,
    scaling: StoredScaling,
    real_rows: Float32s,
    n_rows: int,
    seed: int,
    metadata: dict[str, str],
) -> bytes:
    """``time_to_failure.onnx``, held against numpy on real and adversarial rows, together and some of them alone.

    Parameters
    ----------
    real_rows
        Features, (n_real, n_features), not scaled; adversarial rows make them up to `n_rows`.

    Raises
    ------
    ParityError
        A quantile of the graph has other bits.
    """
    trained, asked, horizons = times.model, times.asked, times.horizons
    ensemble = with_one_horizon(trained.ensemble(), n_features)
    content = build_times(ensemble, asked, horizons, scaling=scaling, metadata=metadata)
    session = open_model(content)
    base = real_rows[: n_rows // 2]
    rows = np.concatenate([base, _adversarial(ensemble, n_rows - len(base), base, scaling, seed)])
    differing = 0
    for part in batches(len(rows), BATCH_ROWS // 4):
        (given,) = session.run([TIMES], {INPUT: rows[part]})
        wanted = quantiles(trained.at(apply_scaling(rows[part], scaling), asked), horizons).astype(np.float32)
        differing += int((given.view(np.uint32) != wanted.view(np.uint32)).sum())
        for at in range(0, len(given), max(1, len(rows) // _ALONE)):
            (alone,) = session.run([TIMES], {INPUT: rows[part][at : at + 1]})
            differing += int((alone[0].view(np.uint32) != given[at].view(np.uint32)).sum())
    if differing:
        raise ParityError(
            f"time_to_failure.onnx differs from the trained model: {differing} of {3 * len(rows)} times; allowed is "
            "none",
            hint="the trained model is untouched; the version must not be published",
        )
    return content


def _adversarial(ensemble: TreeEnsemble, n_rows: int, base: Float32s, scaling: StoredScaling, seed: int) -> Float32s:
    """Rows that try the splits of the features; the horizon among them is the graph's own."""
    constants = scaling_constants(scaling, ensemble.n_features - 1)
    widened: StoredScaling | None = None
    if constants is not None:
        center, scale = constants
        widened = {"method": "standard", "center": np.append(center, 0), "scale": np.append(scale, 1)}
    padded = np.pad(base, ((0, 0), (0, 1)), constant_values=1) if len(base) else None
    rows = adversarial_rows(ensemble, n_rows, seed=seed, base_rows=padded, scaling=widened)
    return np.ascontiguousarray(rows[:, :-1])
