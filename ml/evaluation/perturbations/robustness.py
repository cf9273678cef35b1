"""What worse sensors do to a model: raw readings are perturbed (`perturbations.kinds`), features and scores follow.

Noise is added before the features are computed, because a plant's noise does not arrive on a rolling mean but under it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s
from ml.evaluation.metrics import row_metrics
from ml.evaluation.perturbations.kinds import Kind, SensorProfile, levels, perturb
from ml.evaluation.perturbations.subset import robustness_subset
from ml.evaluation.records import Record
from ml.features import FeatureEngineer
from ml.progress import ProgressCallback


@dataclass(frozen=True)
class RobustnessPoint(Record):
    """Metrics after perturbing the sensors; level 0 is the untouched data."""

    kind: Kind
    level: float
    """Noise: in training standard deviations. Missing: share of readings. Stuck, lost: share of sensors. Jitter:
    sampling intervals."""
    average_precision: float | None
    auc: float | None
    f1: float | None


def robustness_curves(
    frame: pd.DataFrame,
    engineer: FeatureEngineer,
    score: Callable[[Float32s], Float32s],
    threshold: float,
    profile: SensorProfile,
    seed: int,
    *,
    scored: Bools | None = None,
    progress: ProgressCallback | None = None,
) -> list[RobustnessPoint]:
    """Metrics of the test rows at every configured level of every kind of trouble, level 0 first.

    All points are computed on one subset of at most ``robustnessRows`` rows (see `robustness_subset`), so they compare
    with each other, not with the metrics of the whole test part. Every level changes the same readings in the same
    direction, only more, which keeps chance out of the shape of a curve.

    Parameters
    ----------
    frame
        Grid frame; left as it is. Rows before the scored ones give their windows context.
    engineer, score
        Features of a grid frame, and probabilities, float32 of shape ``(n_rows,)``, of a feature matrix.
    threshold
        Alarm threshold, for F1.
    profile
        The sensors, and through its configuration ``robustnessRows`` and the levels: ``noiseLevels``,
        ``missingRates``, ``stuckShares``, ``lostShares`` and ``jitterSteps``.
    seed
        Seed of the subset and of the perturbations.
    scored
        Rows that count, shape ``(n_rows,)``. Default: those with a label.
    progress
        Told about the points done.

    Returns
    -------
    list of RobustnessPoint
        Empty if no row is scored.
    """
    labelled = (frame["label"] >= 0).to_numpy()
    part = robustness_subset(
        frame,
        labelled if scored is None else labelled & scored,
        look_back=engineer.look_back,
        max_rows=profile.config.validation_config.robustness_rows,
        seed=seed,
    )
    if not part.scored.any():
        return []
    label = part.frame["label"].to_numpy()[part.scored]

    def point(kind: Kind, level: float, perturbed: pd.DataFrame) -> RobustnessPoint:
        features = engineer.transform(perturbed)[part.scored].to_numpy(dtype=np.float32)
        metrics = row_metrics(label, score(features), threshold)
        return RobustnessPoint(kind, level, metrics.average_precision, metrics.auc, metrics.f1)

    settings = list(levels(profile.config))
    untouched = point("noise", 0.0, part.frame)
    points = []
    for done, (kind, level) in enumerate(settings, start=1):
        if level == 0:
            points.append(RobustnessPoint(kind, level, untouched.average_precision, untouched.auc, untouched.f1))
        else:
            points.append(point(kind, level, perturb(part.frame, kind, level, profile, seed)))
        if progress is not None:
            progress(done, len(settings), f"robustness: {kind} {level:g}")
    return points
