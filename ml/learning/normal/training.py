"""Train a model of normal behaviour on prepared data: what is judged are rows whose block it was not fitted on."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ml import wording
from ml.arrays import Bools, Float64s
from ml.config import OrganizationConfig
from ml.errors import ConfigError, NoRowsError
from ml.export.graph.calibration import Calibration
from ml.features import FeatureEngineer
from ml.findings import Finding
from ml.learning.calibration import FittedCalibration
from ml.learning.engine import Engine
from ml.learning.estimators.normal_behaviour import NormalBehaviour
from ml.learning.events.alarm_curve import AlarmCurve, alarm_curve
from ml.learning.events.failures import event_horizon
from ml.learning.folds.splits import Parts
from ml.learning.held_out import HeldOut, HeldOutFold
from ml.learning.normal.fit import FittedNormal, driving_column, fit_normal, sensor_groups
from ml.learning.normal.history import History
from ml.learning.normal.limits import achieved
from ml.learning.thresholds.policy import ThresholdChoice
from ml.learning.trained_model import TrainedModel
from ml.options.features import SelectionConfig
from ml.options.thresholds import ThresholdPolicy
from ml.progress import ProgressCallback

ALARM = 0.5
"""score / (score + 1) at the limits."""
FEW_ALARMS = 5
"""Alarms that the rate should allow in the healthy history; limits from fewer depend on chance."""
_SECONDS_PER_DAY = 86_400


def train_normal(config: OrganizationConfig, engine: Engine, interval: int, tell: ProgressCallback) -> TrainedModel:
    """Fit the model on all healthy rows, and answer for every labelled row out of fold.

    Raises NoRowsError if there is no healthy row, or so few that the rate allows not one alarm among them, and
    ConfigError if a server that computes features itself is to serve the model.
    """
    config = _with_features_as_they_are(config)
    frame = engine.frame
    tell(0, 3, "reading the history")
    history = History.of(config, frame)
    rate = config.training_config.normal_behaviour.rate(config.data_config.prediction_horizon_seconds)
    label = frame["label"].to_numpy()
    judged = (label >= 0) & (history.healthy | (label == 1))
    days = _healthy_days(history, interval, rate)
    engineer = FeatureEngineer(config, interval)
    engine.learn_features(engineer, history.healthy)
    names = engineer.get_feature_names_out()
    tell(1, 3, "learning what is normal")
    curve = partial(_curve, config, engine, interval)
    fitted = fit_normal(config, history, interval, names, curve=curve, rate=rate, judged=judged)
    tell(2, 3, "looking at what it would have done")
    figures = achieved(curve(judged, fitted.value[judged]), ALARM, rate)
    held_out = _held_out(engine, history, fitted, judged)
    policy = ThresholdPolicy(rule="maxFalseAlarmsPerAssetDay", limit=rate)
    met = figures["falseAlarmsPerAssetDayInterval"][0] <= rate or not history.is_clean
    choice = ThresholdChoice(ALARM, policy, met, figures, config.validation_config.alarm_cooldown_seconds)
    tell(3, 3, "fitted")
    return TrainedModel(
        engine,
        engineer,
        NormalBehaviour.of(fitted.form, names, config.training_config),
        Parts(history.healthy, judged, judged, 0, held_out.describe()),
        "backtest",
        "all",
        FittedCalibration(Calibration(), {}),
        choice,
        (),
        {},
        fitted.value[judged].astype(np.float32),
        held_out,
        findings=tuple(_findings(config, history, fitted, figures, rate * days)),
        normal=_described(fitted, judged, days, is_clean=history.is_clean),
    )


def _with_features_as_they_are(config: OrganizationConfig) -> OrganizationConfig:
    """The configuration without scaling and selection: the model reads readings in their own units, and all of them."""
    features = config.feature_config
    if features.serving_profile is not None:
        raise ConfigError(
            "a model of normal behaviour reads the samples of a window, and the server of "
            f'"{features.serving_profile}" does not compute these',
            field="featureConfig.servingProfile",
            hint="set it to null and serve window.onnx, or choose another trainingConfig.modelType",
        )
    kept = features.model_copy(update={"scaling": "none", "selection": SelectionConfig(method="none")})
    return config.model_copy(update={"feature_config": kept})


def _curve(config: OrganizationConfig, engine: Engine, interval: int, rows: Bools, value: Float64s) -> AlarmCurve:
    return alarm_curve(
        engine.frame.loc[rows],
        value,
        horizon=event_horizon(engine.frame, config.data_config.prediction_horizon_seconds),
        cooldown=config.validation_config.alarm_cooldown_seconds,
        interval=interval,
        history=engine.frame,
        without_failures=True,
    )


def _healthy_days(history: History, interval: int, rate: float) -> float:
    days = float(history.healthy.sum()) * interval / _SECONDS_PER_DAY
    if not history.healthy.any():
        raise NoRowsError(
            "no row is known to be of normal operation: all are failed, before a failure, unknown, off, or excluded",
            hint="give a longer dataRange, or look at the labels in the data summary",
        )
    if rate * days < 1:
        raise NoRowsError(
            f"the healthy history of {days:.3g} asset-days is too short for {rate:.3g} false alarms per asset-day, "
            "which allows not one alarm in it",
            field="trainingConfig.normalBehaviour.falseAlarmsPerAssetDay",
            hint=f"give at least {1 / rate:.3g} asset-days of healthy history ({FEW_ALARMS / rate:.3g} hold the rate "
            f"well), or allow {1 / days:.3g} false alarms per asset-day",
        )
    return days


def _held_out(engine: Engine, history: History, fitted: FittedNormal, judged: Bools) -> HeldOut:
    blocks = [np.flatnonzero(judged & (history.block == block)) for block in np.unique(history.block[judged])]
    return HeldOut.of(
        engine.frame, [HeldOutFold(rows, fitted.value[rows].astype(np.float32), ALARM, 1) for rows in blocks]
    )


def _findings(
    config: OrganizationConfig, history: History, fitted: FittedNormal, figures: dict[str, Any], allowed: float
) -> list[Finding]:
    found, rate = [], figures["targetFalseAlarmsPerAssetDay"]
    alone = tuple(name for name in sensor_groups(config).get((), ()) if name in fitted.sensors)
    driving = driving_column(history, alone)
    if driving is not None:
        name, share = driving
        found.append(
            Finding(
                "OPERATING_COLUMN_MISSING",
                f"no operating column is named for {wording.listed(list(alone))}, and {name} alone explains "
                f"{wording.percent(share)} of what the others do: changes of load will look like faults, or hide them",
                "schemaConfig.operatingColumns",
                f"if {name} is set or driven from outside, name it in schemaConfig.operatingColumns",
            )
        )
    if allowed < FEW_ALARMS:
        found.append(
            Finding(
                "HEALTHY_HISTORY_SHORT",
                f"{rate:.3g} false alarms per asset-day allow {allowed:.1f} alarms in the healthy history, so the "
                "limits depend on chance",
                "dataRange",
                f"{FEW_ALARMS} need {FEW_ALARMS / rate:.3g} asset-days",
            )
        )
    if not history.is_clean:
        found.append(
            Finding(
                "HISTORY_UNCHECKED",
                "no failure, maintenance or downtime is recorded, so the history may hold failures; limits were not "
                f"set above what most asset-days let expect, and {figures['falseAlarmsPerAssetDay']:.2g} alarms per "
                f"asset-day in it may be false, or right ({rate:.2g} false ones were aimed at)",
                "trainingConfig.normalBehaviour.historyIsClean",
                "confirm or dismiss the episodes that the report lists; or set it to true if there was no failure",
            )
        )
    elif figures["falseAlarmsPerAssetDayInterval"][0] > rate:
        low, high = figures["falseAlarmsPerAssetDayInterval"]
        found.append(
            Finding(
                "FALSE_ALARM_RATE_MISSED",
                f"on time that its limits had not seen, it raised {figures['falseAlarmsPerAssetDay']:.3g} false alarms "
                f"per asset-day ({low:.3g} to {high:.3g}); aimed at were {rate:.3g}",
                "trainingConfig.normalBehaviour",
                "what is normal changes with time: name what it depends on in operatingColumns, exclude what was not "
                'normal, give more history, or set baseline to "asset"',
            )
        )
    if fitted.left_out:
        found.append(
            Finding(
                "SENSORS_NOT_WATCHED",
                f"{wording.listed(list(fitted.left_out))} never changed, or had too few readings, and "
                f"{'is' if len(fitted.left_out) == 1 else 'are'} not watched",
                "schemaConfig.continuousColumns",
            )
        )
    return found


def _described(fitted: FittedNormal, judged: Bools, days: float, *, is_clean: bool) -> dict[str, Any]:
    """What the report tells of each sensor: its fit, and in how many alarm rows it deviated most."""
    alarm = judged & (fitted.value >= ALARM)
    first = np.argmax(fitted.squares[alarm], axis=1)
    often = np.bincount(first, minlength=len(fitted.sensors))
    sensors = {name: {**fitted.fit[name], "alarmRowsFirst": int(often[at])} for at, name in enumerate(fitted.sensors)}
    return {"healthyDays": days, "historyIsClean": is_clean, "sensors": sensors}
