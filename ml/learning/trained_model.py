"""A fitted model together with the features it reads, and what was found out while it was fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.features import FeatureEngineer
from ml.findings import Finding
from ml.learning.calibration import FittedCalibration
from ml.learning.engine import Engine
from ml.learning.estimators.base import Estimator
from ml.learning.family_choice import FamilyChoice
from ml.learning.folds.splits import Parts
from ml.learning.held_out import HeldOut
from ml.learning.leakage import SuspiciousColumn
from ml.learning.modes.models import FittedModes
from ml.learning.modes.plan import ModePlan
from ml.learning.thresholds.policy import ThresholdChoice
from ml.learning.times.training import TrainedTimes


@dataclass(frozen=True)
class TrainedModel:
    """A fitted model together with the features it reads.

    Attributes
    ----------
    parts
        Rows by their use. After a backtest, which holds every row out once, the parts overlap: training has all.
    scheme
        ``holdout`` or ``backtest``.
    seen
        What the shipped model was fitted on: ``training``, ``trainingAndValidation`` or ``all``.
    calibration
        What turns scores into probabilities, fitted on the validation rows.
    choice
        The alarm threshold, chosen by the configured policy on the validation rows.
    suspicious
        Sensors of the training part that know too much; they were used all the same.
    imbalance
        Validation scores of each way of weighing classes, where they were asked for.
    validation_probability
        float32 probabilities of the validation rows by models that were not fitted on them, before any refit.
    judged
        Probabilities of the test rows by models that have not seen them; None where the shipped model has not.
    family_choices
        Which families are on that the configuration leaves open.
    times
        The model of the time to failure; None where there is none.
    findings
        What the fit itself has to tell.
    normal
        Of a model of normal behaviour: healthy asset-days, and figures of each sensor.
    mode_plan, modes
        Modes of failure, and the models that tell them apart; None where there are none to tell apart.
    """

    engine: Engine
    engineer: FeatureEngineer
    estimator: Estimator
    parts: Parts
    scheme: str
    seen: str
    calibration: FittedCalibration
    choice: ThresholdChoice
    suspicious: tuple[SuspiciousColumn, ...]
    imbalance: dict[str, dict[str, float]]
    validation_probability: Float32s
    judged: HeldOut | None = None
    family_choices: tuple[FamilyChoice, ...] = ()
    times: TrainedTimes | None = None
    findings: tuple[Finding, ...] = ()
    normal: dict[str, Any] | None = None
    mode_plan: ModePlan = field(default_factory=ModePlan)
    modes: FittedModes | None = None

    @property
    def threshold(self) -> float:
        """The alarm threshold; exactly a float32."""
        return self.choice.threshold

    def predict(self, frame: pd.DataFrame, rows: Bools) -> Float64s:
        """Probability of a failure of some rows of a grid frame, float64 (n_wanted,)."""
        return self._predicted(Engine(self.engineer.config, frame), rows)

    def held_out(self) -> npt.NDArray[Any]:
        """Probability of a failure of the test part, (n_test_rows,), by models that have not seen it."""
        return self._held_out

    @cached_property
    def _held_out(self) -> npt.NDArray[Any]:
        return self._predicted(self.engine, self.parts.test) if self.judged is None else self.judged.probability

    def _predicted(self, engine: Engine, rows: Bools) -> Float64s:
        return engine.predicted(partial(self.calibration.map.predict, self.estimator), self.engineer, rows)
