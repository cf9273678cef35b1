"""Models that say nothing, which no configured limit lets pass: one value for all rows, an alarm that never ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml import wording
from ml.findings import Finding
from ml.options.thresholds import MOST_HEALTHY_TIME

LEAST_HEALTHY_ROWS = 20  # of one machine: fewer say little about it
_SECONDS_PER_DAY = 86_400


def refusals(
    probability: npt.NDArray[Any],
    events: Mapping[str, Any],
    *,
    horizon: int,
    interval: int,
    score_name: str = "probability",
) -> tuple[Finding, ...]:
    """Why a model is refused whatever is configured; parameters as of `constant_model` and `standing_alarm`."""
    found = constant_model(probability, score_name), standing_alarm(events, horizon=horizon, interval=interval)
    return tuple(finding for finding in found if finding is not None)


def constant_model(probability: npt.NDArray[Any], score_name: str = "probability") -> Finding | None:
    """A finding if all probabilities, as float32, are one; (n_rows,)."""
    values = np.asarray(probability, dtype=np.float32)
    if not len(values) or values.min() != values.max():
        return None
    return Finding(
        "MODEL_CONSTANT",
        f"it gives the {score_name} {float(values[0]):.4g} for all {wording.plural(len(values), 'row')}, so it tells "
        "no row from another",
        hint="look at the findings about the data: sensors without readings, too few failures, or a smallest leaf "
        "(minDataInLeaf, minSamplesLeaf) that is too large for so few rows",
    )


def constant_on_assets(
    asset: npt.NDArray[Any],
    label: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    score_name: str = "probability",
) -> Finding | None:
    """A finding if the model gives one value for all rows of a machine that fails, though the rows are many.

    Parameters
    ----------
    asset, label, probability
        Of the scored rows, (n_rows,).
    """
    table = pd.DataFrame({"asset": asset, "label": label, "probability": np.asarray(probability, dtype=np.float32)})
    spread = table.groupby("asset").agg(
        rows=("label", "size"), classes=("label", "nunique"), n=("probability", "nunique")
    )
    constant = spread.index[(spread["n"] == 1) & (spread["classes"] == 2) & (spread["rows"] >= LEAST_HEALTHY_ROWS)]
    if not len(constant):
        return None
    return Finding(
        "CONSTANT_ON_ASSETS",
        f"it gives one {score_name} for all rows of {wording.listed([str(name) for name in constant])}, before "
        "failures and after",
        str(constant[0]),
        "these machines run at levels that the training rows do not have; give rows of more machines, or set "
        "featureConfig.families.history to true",
    )


def standing_alarm(events: Mapping[str, Any], *, horizon: int, interval: int) -> Finding | None:
    """A finding if the alarm stands for more than half of the healthy time, of all machines or of one.

    One machine counts if it has enough healthy rows, and two horizons of healthy time: up to one horizon before a
    failure that nobody observed an early alarm is right.

    Parameters
    ----------
    events
        As from `ml.learning.events.metrics.event_metrics`.
    horizon, interval
        Seconds.
    """
    hint = "raise the threshold (trainingConfig.thresholdPolicy), or look at why the model mistakes these machines"
    overall = events.get("healthyTimeInAlarm")
    if overall is not None and overall > MOST_HEALTHY_TIME:
        return Finding(
            "ALARM_NEVER_ENDS",
            f"it is in alarm for {wording.percent(overall)} of the healthy time of all machines",
            hint=hint,
        )
    enough = max(LEAST_HEALTHY_ROWS * interval, 2 * horizon) / _SECONDS_PER_DAY
    standing = {
        name: each["healthyTimeInAlarm"]
        for name, each in (events.get("perAsset") or {}).items()
        if (each.get("healthyTimeInAlarm") or 0) > MOST_HEALTHY_TIME and each["healthyDays"] >= enough
    }
    if not standing:
        return None
    shares = [f"{wording.percent(share)} of the healthy time of {name}" for name, share in standing.items()]
    return Finding(
        "ALARM_NEVER_ENDS", f"it is in alarm for {wording.listed(shares)}", field=next(iter(standing)), hint=hint
    )
