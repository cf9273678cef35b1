"""What a published model has shown since it went live: its scores computed again, and what came of them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s
from ml.config import OrganizationConfig
from ml.errors import NoRowsError
from ml.evaluation.drift.baseline import learn_baseline, stability_index
from ml.evaluation.drift.evaluated import sensor_drift
from ml.findings import Finding
from ml.ingest.failures.answers import FIELD, Verdict, read_answers
from ml.ingest.inputs import refuse_foreign_files, refuse_foreign_source
from ml.ingest.model_grid import on_grid_of
from ml.ingest.prepare import prepare
from ml.learning.events.detection import find_events
from ml.learning.events.failures import epoch_seconds, event_horizon, onsets
from ml.learning.events.windows import SECONDS_PER_DAY
from ml.monitoring.alarms import Alarms, Outcome, find_alarms
from ml.monitoring.answers import Matched, findings_of, match_answers
from ml.monitoring.sequential import confidence_sequence
from ml.options.source import DataRange
from ml.predict.model import LoadedModel
from ml.progress import ProgressCallback
from ml.windows.channels import physical_samples
from ml.wording import percent
from ml.workspace.locks import slices_lock
from ml.workspace.paths import OrganizationPaths

_PIECE_CELLS = 20_000_000  # features at a time: 80 MB
_MUCH_MISSING = 0.5  # share of the time
_FEWEST_ROWS = 50  # of a sensor, below which shares of tenths say nothing
_LISTED = 50  # missed failures that are named
_AS_IN_TRAINING = ("labelled", "censored")
"""Status of rows that drift compares: what a failed or stopped machine measures was not learned from."""


@dataclass(frozen=True)
class Span:
    """The time that is looked at."""

    since: datetime
    until: datetime

    @property
    def seconds(self) -> tuple[int, int]:
        """Both ends as epoch seconds."""
        return int(self.since.timestamp()), int(self.until.timestamp())


def look_at(
    config: OrganizationConfig, paths: OrganizationPaths, model: LoadedModel, span: Span, progress: ProgressCallback
) -> dict[str, Any]:
    """Figures of a published model over the rows with since <= time < until, as ``monitoring.json`` has them.

    Rows go through the reading, the cleaning, the grid and the labels of training. Those before are read as far as
    windows and the comparison of sensors need them.

    Raises
    ------
    DataError, SourceError, ConfigError, IsolationError, StorageError
        As `ml.ingest.prepare.prepare` and `ml.monitoring.answers.read_answers`; no rows are no error.
    """
    answers = None
    refuse_foreign_source(config, paths)
    if (feedback := config.feedback_config) is not None:
        if feedback.path is not None:
            refuse_foreign_files(Path(feedback.path), paths, f"{FIELD}.path")
        answers = read_answers(config, feedback)
    engineer, horizon = model.engineer, model.metadata.horizon_seconds
    interval = engineer.interval
    cooldown = config.validation_config.alarm_cooldown_seconds
    spacing = max(cooldown, interval)
    frame = _rows(config, paths, model, span, progress)
    seconds = epoch_seconds(frame["timestamp"])
    since, until = span.seconds
    live = (seconds >= since) & (seconds < until)  # the row at the end has the readings up to it, and is not whole
    probability, alarm = _scored(model, frame, live)
    alarms = find_alarms(frame, alarm, horizon=event_horizon(frame, horizon), spacing=spacing)
    matched = None
    if answers is not None and feedback is not None:
        within = feedback.match_within_seconds or spacing
        matched = match_answers(answers, alarms, since=since, until=until, within=within, horizon=horizon)
    events = find_events(
        frame["asset_id"].to_numpy(),
        seconds,
        np.where(live, frame["label"].to_numpy(), -1),
        probability,
        onsets(frame),
        threshold=model.metadata.threshold,
        horizon=event_horizon(frame, horizon),
        cooldown=cooldown,
        interval=interval,
    )
    missed = np.flatnonzero(~events.failures.detected)
    days = max(int(live.sum()) * interval / SECONDS_PER_DAY, interval / SECONDS_PER_DAY)
    without_data = _without_data(frame[live], seconds[live], model, span)
    told = [] if answers is None or matched is None else [*answers.findings, *findings_of(matched, answers)]
    if without_data > _MUCH_MISSING:
        told.append(_missing_readings(without_data))
    return {
        "since": span.since.isoformat(),
        "until": span.until.isoformat(),
        "ageDays": round((until - since) / SECONDS_PER_DAY, 2),
        "trainedUntil": model.metadata.data.to.isoformat(),
        "rows": int(live.sum()),
        "assets": int(frame["asset_id"][live].nunique()),
        "withoutData": without_data,
        "alarms": {**_counts(alarms, matched), "perAssetDay": len(alarms.start) / days},
        "answers": None if matched is None else matched.counts,
        "precision": precision_of(
            alarms, matched, until=until, horizon=horizon, wrong_answers=feedback.wrong_answers if feedback else 0.0
        ),
        "failures": {
            "count": len(events.failures.asset),
            "missed": len(missed),
            "detectedInterval": confidence_sequence(len(events.failures.asset) - len(missed), len(missed)),
            "missedList": [
                {"asset": str(events.assets[events.failures.asset[at]]), "time": _iso(events.failures.seconds[at])}
                for at in missed[:_LISTED]
            ],
        },
        "drift": _drift(config, model, frame, seconds, span),
        "warnings": [finding.to_json() for finding in told],
    }


def _missing_readings(share: float) -> Finding:
    return Finding(
        "READINGS_MISSING",
        f"for {percent(share)} of the time there are no readings, so what happened then is not known",
        hint="check that the source still gets readings, and that dataRange and the configuration still fit it",
    )


def precision_of(
    alarms: Alarms, matched: Matched | None, *, until: int, horizon: int, wrong_answers: float = 0.0
) -> dict[str, Any]:
    """The share of right alarms: of those answered, and by the record of failures.

    An answered alarm is right if it was confirmed or its failure came, whatever the answer. By the record an alarm
    counts once its horizon has passed, and not if it was confirmed without a failure: that may have been prevented.

    The interval of answers reaches further by what a share `wrong_answers` of them can hide: among the false alarms, of
    which the dismissed ones are known, so many more were confirmed, and among those that prevented a failure, so many
    more dismissed. Where the failure came, the record corrects the answer.
    """
    followed, not_followed = (alarms.outcome == each for each in (Outcome.FOLLOWED, Outcome.NOT_FOLLOWED))
    verdict = np.zeros(len(alarms.start), dtype=np.int64) if matched is None else matched.verdict
    confirmed, dismissed = verdict == Verdict.CONFIRMED, verdict == Verdict.DISMISSED
    ripe = np.minimum(alarms.end, alarms.start + horizon) + horizon <= until
    by_record = _share(followed & ripe, not_followed & ripe & ~confirmed)
    if matched is None or not (confirmed | dismissed).any():
        return {"basis": "record", **by_record, "byRecord": by_record}
    by_answers = _share(confirmed | (dismissed & followed), dismissed & ~followed)
    alone, odds = int((confirmed & ~followed).sum()), wrong_answers / (1 - wrong_answers)
    judged, (low, high) = by_answers["right"] + by_answers["wrong"], by_answers["interval"]
    by_answers["interval"] = (
        max(0.0, low - min(alone, odds * by_answers["wrong"]) / judged),
        min(1.0, high + odds * alone / judged),
    )
    return {"basis": "answers", **by_answers, "byRecord": by_record}


def _share(right: Bools, wrong: Bools) -> dict[str, Any]:
    hits, misses = int(right.sum()), int(wrong.sum())
    value = hits / (hits + misses) if hits + misses else None
    return {"right": hits, "wrong": misses, "value": value, "interval": confidence_sequence(hits, misses)}


def _counts(alarms: Alarms, matched: Matched | None) -> dict[str, int]:
    outcome = alarms.outcome
    verdict = np.zeros(len(outcome), dtype=np.int64) if matched is None else matched.verdict
    confirmed, dismissed = verdict == Verdict.CONFIRMED, verdict == Verdict.DISMISSED
    return {
        "count": len(outcome),
        "confirmed": int(confirmed.sum()),
        "dismissed": int(dismissed.sum()),
        "unknown": int((verdict == Verdict.UNKNOWN).sum()),
        "unanswered": int((verdict == Verdict.NONE).sum()),
        "followedByFailure": int((outcome == Outcome.FOLLOWED).sum()),
        "notFollowed": int((outcome == Outcome.NOT_FOLLOWED).sum()),
        "open": int((outcome == Outcome.OPEN).sum()),
        "confirmedWithoutFailure": int((confirmed & (outcome != Outcome.FOLLOWED)).sum()),
        "dismissedBeforeFailure": int((dismissed & (outcome == Outcome.FOLLOWED)).sum()),
    }


def _rows(
    config: OrganizationConfig, paths: OrganizationPaths, model: LoadedModel, span: Span, progress: ProgressCallback
) -> pd.DataFrame:
    """The labelled grid from before the model went live; without rows if there are none."""
    lead = max(_window(config, span), timedelta(seconds=model.engineer.look_back * model.engineer.interval))
    settings = on_grid_of(model.engineer.config, config).model_copy(
        update={"data_range": DataRange(start_date=span.since - lead, end_date=span.until)}
    )
    reading = nullcontext() if config.scada_db_config is None else slices_lock(paths)
    try:
        with reading:
            return prepare(
                settings,
                interval=model.engineer.interval,
                own_gaps=model.metadata.grid.own_gaps,
                slices=paths.slices,
                progress=progress,
            ).frame
    except NoRowsError:
        kinds = {"asset_id": "str", "timestamp": "datetime64[us, UTC]", "segment": "int32", "target": "int8"}
        kinds |= {"event": "int32", "label": "int8", "status": "str"}
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in kinds.items()})


def _scored(model: LoadedModel, frame: pd.DataFrame, wanted: Bools) -> tuple[Float32s, Bools]:
    """Probability, or score, of the wanted rows, NaN for others, and which rows have label 1; both (n_rows,)."""
    probability = np.full(len(frame), np.nan, dtype=np.float32)
    alarm = np.zeros(len(frame), dtype=np.bool_)
    step, back = max(1, _PIECE_CELLS // len(model.metadata.features)), model.engineer.look_back
    for start in range(0, len(frame), step):
        rows = slice(start, min(start + step, len(frame)))
        if wanted[rows].any():
            history = min(start, back)
            scored = model.predict_grid(frame.iloc[start - history : rows.stop], skip=history)
            probability[rows] = scored[model.metadata.score_name].to_numpy()
            alarm[rows] = scored["label"].to_numpy() == 1
    probability[~wanted] = np.nan
    return probability, alarm & wanted


def _window(config: OrganizationConfig, span: Span) -> timedelta:
    """How much of the newest time is compared with the same length before the model went live."""
    return min(timedelta(days=config.monitoring_config.drift_days), span.until - span.since)


def _drift(
    config: OrganizationConfig, model: LoadedModel, frame: pd.DataFrame, seconds: np.ndarray[Any, Any], span: Span
) -> list[dict[str, Any]]:
    """Sensors by falling index against training; beside it the index against the time before the model went live."""
    since, until = span.seconds
    window = int(_window(config, span).total_seconds())
    usual = frame["status"].isin(_AS_IN_TRAINING).to_numpy(dtype=np.bool_)
    newest = (seconds >= until - window) & (seconds >= since) & usual
    before = (seconds >= since - window) & (seconds < since) & usual
    if newest.sum() < _FEWEST_ROWS:
        return []
    schema, baselines = model.engineer.config.schema_config, model.metadata.drift_baseline
    earlier: dict[str, float] = {}
    if before.sum() >= _FEWEST_ROWS:
        now = dict(physical_samples(frame, schema, newest))
        earlier = {
            name: stability_index(learn_baseline(values), now[name])
            for name, values in physical_samples(frame, schema, before)
        }
    return [
        {"name": each.name, "psi": each.psi, "psiBeforeLive": earlier.get(each.name)}
        for each in sensor_drift(baselines, frame, schema, newest)
    ]


def _without_data(rows: pd.DataFrame, seconds: np.ndarray[Any, Any], model: LoadedModel, span: Span) -> float:
    """Share of the grid rows between the ends that are not there, over the assets of training and those seen since.

    An asset that was not in training counts from its first row.
    """
    since, until = span.seconds
    interval = model.engineer.interval
    first = dict.fromkeys(model.metadata.data.seen, since)
    if len(rows):
        began = pd.Series(seconds).groupby(rows["asset_id"].to_numpy()).min()
        first = {str(name): int(start) for name, start in began.items()} | first
    expected = sum(max(0, (until - start) // interval) for start in first.values())
    return 1 - min(1.0, len(rows) / expected) if expected else 1.0


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
