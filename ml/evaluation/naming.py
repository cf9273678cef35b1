"""How a version names the failures of the rows that it is evaluated on, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s
from ml.config import OrganizationConfig
from ml.evaluation.metrics import average_precision
from ml.findings import Finding
from ml.learning.events.detection import Events, find_events
from ml.learning.events.failures import epoch_seconds, event_horizon, onsets
from ml.learning.events.metrics import modes_of
from ml.learning.events.naming import naming_metrics
from ml.learning.modes.models import joint
from ml.learning.modes.plan import ModePlan
from ml.learning.trained_model import TrainedModel

_ENOUGH = 5


def measured_naming(
    plan: ModePlan,
    frame: pd.DataFrame,
    rows: Bools,
    events: Events,
    probability: Float32s,
    given: Float32s,
    horizon: int,
) -> dict[str, Any]:
    """``namedAtFirstRow``, ``namedAtHighestRow``, ``modesAveragePrecision``, and under ``modes`` all that was counted.

    Nothing where there are no modes, in the model or in the rows.

    Parameters
    ----------
    frame, rows
        Grid frame, and which of its rows were given to `find_events`.
    probability, given
        Of these rows: of a failure, (n_rows,), and of each mode, given one, (n_rows, n_modes).
    horizon
        In seconds, as labels were made with it.
    """
    begun = modes_of(events, onsets(frame))
    if not plan.names or begun is None:
        return {}
    named = naming_metrics(events, [plan.named(modes) for modes in begun], probability, given, plan.names)
    label, scores = plan.labels(frame, horizon)[rows], joint(probability, given)
    precision = {
        name: average_precision(label[:, at], scores[:, at]) if label[:, at].any() else None
        for at, name in enumerate(plan.names)
    }
    for name, value in precision.items():
        named["perMode"][name]["averagePrecision"] = value
    known = [value for value in precision.values() if value is not None]
    mean = float(np.mean(known)) if known else None
    gates = {key: named[key] for key in ("namedAtFirstRow", "namedAtHighestRow")}
    return gates | {"modesAveragePrecision": mean, "modes": {**named, "averagePrecision": mean}}


def naming_of_training(config: OrganizationConfig, model: TrainedModel) -> dict[str, Any]:
    """How a model names the failures of its validation rows, as ``modes``; nothing where it tells none apart."""
    if model.modes is None:
        return {}
    frame, rows, probability = model.engine.frame, model.parts.validation, model.validation_probability
    horizon, table = config.data_config.prediction_horizon_seconds, model.engine.frame.loc[model.parts.validation]
    events = find_events(
        table["asset_id"].to_numpy(),
        epoch_seconds(table["timestamp"]),
        table["label"].to_numpy(),
        probability,
        onsets(frame),
        threshold=model.threshold,
        horizon=event_horizon(frame, horizon),
        cooldown=config.validation_config.alarm_cooldown_seconds,
        interval=model.engineer.interval,
    )
    measured = measured_naming(model.modes.plan, frame, rows, events, probability, model.modes.validation, horizon)
    return {"modes": measured["modes"]} if measured else {}


def findings_about_naming(measured: Mapping[str, Any]) -> list[Finding]:
    """Modes that are mostly called by another name."""
    found = []
    for name, counts in (measured.get("modes") or {}).get("perMode", {}).items():
        if counts["detected"] >= _ENOUGH and 2 * counts["atHighestRow"] < counts["detected"]:
            told = (
                f"of {counts['detected']} detected failures of the mode {name}, {counts['atHighestRow']} are named so "
                "at their highest alarm row"
            )
            hint = "group modes that nobody needs to tell apart (failureConfig.modes), or give sensors that differ"
            found.append(Finding("MODE_NAMED_WRONGLY", told, "failureConfig.modes", hint))
    return found
