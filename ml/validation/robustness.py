"""What noise and missing readings do to a model: the raw sensors are spoilt, features and scores follow.

Noise is added before the features are computed, because a plant's noise does not arrive on a rolling mean but under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.config import OrganizationConfig
from ml.progress import ProgressCallback
from ml.validation.metrics import row_metrics
from ml.validation.subset import robustness_subset

Kind = Literal["noise", "missing"]

_DRAWS: dict[Kind, int] = {"noise": 0, "missing": 1}  # stream of the random generator that each kind draws from


class Engineer(Protocol):
    """The part of the feature engineer that is needed here."""

    @property
    def look_back(self) -> int:
        """Samples that a row's features depend on, the row itself included."""

    def transform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Float32 features, shape ``(n_rows, n_features)``, of a grid frame."""


@dataclass(frozen=True)
class RobustnessPoint:
    """Metrics after spoiling the sensors; level 0 is the untouched data."""

    kind: Kind
    level: float
    """Noise: in training standard deviations. Missing: share of readings removed."""
    average_precision: float | None
    auc: float | None
    f1: float | None

    def to_json(self) -> dict[str, Any]:
        """The point under its JSON names."""
        return {
            "kind": self.kind,
            "level": self.level,
            "averagePrecision": self.average_precision,
            "auc": self.auc,
            "f1": self.f1,
        }


def robustness_curves(
    frame: pd.DataFrame,
    engineer: Engineer,
    score: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    threshold: float,
    config: OrganizationConfig,
    seed: int,
    sensor_std: Mapping[str, float],
    *,
    scored: NDArray[np.bool_] | None = None,
    progress: ProgressCallback | None = None,
) -> list[RobustnessPoint]:
    """Metrics of the test rows at every configured noise level and missing rate, level 0 first.

    All points are computed on one subset of at most ``robustnessRows`` rows (see `robustness_subset`), so they compare
    with each other, not with the metrics of the whole test part. Every level spoils the same readings in the same
    direction, only more, which keeps chance out of the shape of a curve.

    Parameters
    ----------
    frame
        Grid frame; left as it is. Rows before the scored ones give their windows context.
    engineer, score
        Features of a grid frame, and probabilities, float32 of shape ``(n_rows,)``, of a feature matrix.
    threshold
        Alarm threshold, for F1.
    config
        ``noiseLevels``, ``missingRates``, ``robustnessRows`` and the columns.
    seed
        Seed of the subset and of what is spoilt.
    sensor_std
        Standard deviation of continuous sensors on the training part. Without one (absent, NaN, 0): no noise.
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
        max_rows=config.validation_config.robustness_rows,
        seed=seed,
    )
    if not part.scored.any():
        return []
    label = part.frame["label"].to_numpy()[part.scored]

    def point(kind: Kind, level: float, spoilt: pd.DataFrame) -> RobustnessPoint:
        features = engineer.transform(spoilt)[part.scored].to_numpy(dtype=np.float32)
        metrics = row_metrics(label, score(features), threshold)
        return RobustnessPoint(kind, level, metrics.average_precision, metrics.auc, metrics.f1)

    settings = list(_settings(config))
    untouched = point("noise", 0.0, part.frame)
    points = []
    for done, (kind, level) in enumerate(settings, start=1):
        if level == 0:
            points.append(RobustnessPoint(kind, level, untouched.average_precision, untouched.auc, untouched.f1))
        else:
            points.append(point(kind, level, spoil(part.frame, kind, level, config, sensor_std, seed)))
        if progress is not None:
            progress(done, len(settings), f"robustness: {kind} {level:g}")
    return points


def spoil(
    frame: pd.DataFrame,
    kind: Kind,
    level: float,
    config: OrganizationConfig,
    sensor_std: Mapping[str, float],
    seed: int,
) -> pd.DataFrame:
    """A copy of a grid frame with spoilt sensors.

    ``noise`` adds normal noise of ``level`` training standard deviations to continuous sensors. Counters get none:
    noise on a running total would make it run backwards, which no totaliser does and which would read as a reset.
    ``missing`` removes that share of the readings of every sensor, counters and booleans included.
    """
    random = np.random.default_rng([seed, _DRAWS[kind]])
    spoilt = frame.copy()
    if kind == "noise":
        for name, values in _noisy_columns(frame, level, config, sensor_std, random):
            spoilt[name] = values
    else:
        for name in config.schema_config.sensor_columns:
            spoilt[name] = frame[name].mask(random.random(len(frame)) < level)
    return spoilt


def _noisy_columns(
    frame: pd.DataFrame,
    level: float,
    config: OrganizationConfig,
    sensor_std: Mapping[str, float],
    random: np.random.Generator,
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    counters = config.schema_config.counter_columns
    for name in config.schema_config.continuous_columns:
        std = sensor_std.get(name, 0.0)
        if name in counters or not std > 0:
            continue
        noise = level * std * random.standard_normal(len(frame))
        yield name, (frame[name].to_numpy(dtype=np.float64) + noise).astype(np.float32)


def _settings(config: OrganizationConfig) -> Iterator[tuple[Kind, float]]:
    for level in (0.0, *config.validation_config.noise_levels):
        yield "noise", level
    for rate in (0.0, *config.validation_config.missing_rates):
        yield "missing", rate
