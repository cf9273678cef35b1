"""What drove the alarms of a trained version on the rows that it is evaluated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from ml.arrays import Float32s, Int64s
from ml.evaluation.attributions.contributions import Case, CaseKind, Explanation, explained, mean_contributions
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData
from ml.learning.events.detection import Events
from ml.learning.events.failures import epoch_seconds, positive_runs
from ml.windows.feature_words import value_teller

MOST_ALARM_ROWS = 1_000  # contributions of a large forest take milliseconds per row; the mean needs no more
MOST_CASES = 20

Positions = Int64s


def explanation_of(
    trained: TrainedVersion,
    rows: EvaluatedData,
    features: Float32s,
    probability: Float32s,
    events: Events,
    measured: Mapping[str, Any],
) -> Explanation | None:
    """Contributions over all alarms, and for missed failures and false alarms; None if the model type has none.

    The means are over at most `MOST_ALARM_ROWS` alarm rows at even distances. Of each kind at most `MOST_CASES` cases
    are explained, those with the highest probability first: alarms that were most wrong, failures most nearly found.

    Parameters
    ----------
    features, probability
        Unscaled features and probabilities of the scored rows.
    events, measured
        Failures and alarms of these rows, and their metrics, as from `ml.learning.events.metrics`.
    """
    alarms = events.rows.position[events.rows.alarm]
    shown = alarms[np.unique(np.linspace(0, max(alarms.size - 1, 0), min(alarms.size, MOST_ALARM_ROWS)).astype(int))]
    missed = _missed_failures(rows, probability, measured, trained.metadata.horizon_seconds)
    false = _false_alarms(rows, probability, events)
    cases = [*_most_alarming(missed), *_most_alarming(false)]

    wanted = np.array([*shown.tolist(), *(case.row for case in cases)], dtype=np.int64)
    values = features[wanted]
    contributions = trained.estimator.contributions(trained.engineer.scaling.apply(values))
    if contributions is None:
        return None
    columns = trained.engineer.features
    tell = value_teller(trained.engineer.interval, trained.engineer.constants)
    by_sensor, by_feature = mean_contributions(columns, contributions[: shown.size])
    return Explanation(
        alarm_rows=int(alarms.size),
        explained_rows=int(shown.size),
        sensors=by_sensor,
        features=by_feature,
        missed=len(missed),
        false=len(false),
        cases=tuple(
            explained(case, columns, values[at], contributions[at], tell)
            for at, case in enumerate(cases, start=shown.size)
        ),
    )


def _missed_failures(
    rows: EvaluatedData, probability: Float32s, measured: Mapping[str, Any], horizon: int
) -> list[Case]:
    """Failures that came without an alarm; their rows are those labelled 1 because of them."""
    asset = rows.table["asset_id"].astype(str).to_numpy()
    seconds = epoch_seconds(rows.table["timestamp"])
    runs = positive_runs(rows.table["asset_id"].factorize()[0], rows.label)
    cases = []
    for failure in measured.get("failureList") or ():
        if failure["detected"] or failure["tooEarly"]:
            continue
        at = int(datetime.fromisoformat(failure["time"]).timestamp())
        own = asset == failure["asset"]
        if "detectionDelaySeconds" in measured:
            inside = own & (runs >= 0) & np.isin(runs, runs[own & (seconds == at)])
        else:
            inside = own & (seconds >= at - horizon) & (seconds < at)
        cases.append(_case("missedFailure", rows, probability, np.flatnonzero(inside), failure["time"]))
    return cases


def _false_alarms(rows: EvaluatedData, probability: Float32s, events: Events) -> list[Case]:
    """Alarms that are false, however often."""
    times = rows.table["timestamp"]
    return [
        _case("falseAlarm", rows, probability, group, times.iloc[int(group[0])].isoformat())
        for group, is_false in zip(events.rows_of_alarms(), events.alarms.is_false, strict=True)
        if is_false
    ]


def _case(kind: CaseKind, rows: EvaluatedData, probability: Float32s, group: Positions, time: str) -> Case:
    peak = int(group[np.argmax(probability[group])])
    return Case(kind, str(rows.table["asset_id"].iloc[peak]), time, peak, float(probability[peak]))


def _most_alarming(cases: Sequence[Case]) -> list[Case]:
    """At most `MOST_CASES`, those of highest probability, in order of time and asset."""
    chosen = sorted(cases, key=lambda case: -case.probability)[:MOST_CASES]
    return sorted(chosen, key=lambda case: (case.time, case.asset))
