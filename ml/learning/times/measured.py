"""How good times to failure are on rows that the models had not seen: does the interval hold the truth so often?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s, Int64s
from ml.config import OrganizationConfig
from ml.export.times.described import Coverage, MeasuredTimes, TimeToFailure
from ml.export.times.exact import ExportedTimes
from ml.features import FeatureEngineer
from ml.findings import Finding
from ml.learning.events.resampling import draw, independent_groups, percentile_interval
from ml.learning.times.pooled import HorizonModel
from ml.learning.times.targets import LONGEST, NEVER, remaining, samples_of
from ml.learning.times.training import TrainedTimes
from ml.wording import plural

TIMES_STORY_FILE = "time_to_failure.parquet"
TIMES_MODEL_FILE = "time_to_failure.txt"
_RELIABLE = 0.7
_ENOUGH_FAILURES = 10
_FIELD = "trainingConfig.timeToFailure"
_NORMAL_97_5 = 1.959963984540054


@dataclass(frozen=True)
class JudgedTimes:
    """The model of a version with its figures.

    Attributes
    ----------
    told
        As from `story`.
    finding
        What has to be known about it.
    kept
        Whether the version gets it.
    """

    trained: TrainedTimes
    told: pd.DataFrame
    measured: MeasuredTimes
    finding: Finding | None
    kept: bool

    @classmethod
    def of(
        cls,
        trained: TrainedTimes,
        frame: pd.DataFrame,
        alarm: Bools,
        part: Literal["test", "validation"],
        config: OrganizationConfig,
        interval: int,
    ) -> Self:
        """Measured on the rows `trained` speaks of, of which those of `alarm`, (n_rows,), are in alarm."""
        horizon = config.data_config.prediction_horizon_seconds
        told = story(frame, trained.row, trained.quantiles, alarm, horizon=horizon, interval=interval)
        measured = measure(told, part, horizon=horizon, seed=config.training_config.random_state)
        doubt = _doubt(measured)
        kept = doubt is None or config.training_config.time_to_failure == "on"
        finding = None
        if doubt is not None:
            code, done = ("TIME_TO_FAILURE_UNRELIABLE", "kept") if kept else ("TIME_TO_FAILURE_LEFT_OUT", "left out")
            finding = Finding(code, f"the time to failure is {done}: {doubt}", _FIELD)
        return cls(trained, told, measured, finding, kept)

    def to_json(self) -> dict[str, Any]:
        """For metrics.json."""
        figures = self.measured.model_dump(mode="json", by_alias=True)
        return {**figures, "trees": self.trained.model.rounds, "kept": self.kept}

    def exported(self) -> ExportedTimes:
        """For the export."""
        return ExportedTimes(self.trained.model, self.trained.horizons, self.trained.asked, self.measured)

    def save(self, folder: Path) -> None:
        """Write the model, and what was said on the last four horizons before failures, into a version's folder."""
        self.trained.model.save(folder / TIMES_MODEL_FILE)
        near = self.told[(self.told["truth"] > 0) & (self.told["truth"] <= self.trained.horizons[-1])]
        near.drop(columns="known").to_parquet(folder / TIMES_STORY_FILE, index=False)


def stored_times(folder: Path, described: TimeToFailure | None, engineer: FeatureEngineer) -> ExportedTimes | None:
    """What `JudgedTimes.save` has written, for another export; None where a version has no time to failure.

    Raises as `LightGBM.load`.
    """
    if described is None:
        return None
    settings = HorizonModel.settings(engineer.config.training_config)
    model = HorizonModel.read(folder / TIMES_MODEL_FILE, settings, len(engineer.features))
    horizons = described.horizons_seconds
    asked = samples_of(np.array(horizons), engineer.interval)
    return ExportedTimes(model, horizons, asked, described.measured)


def stored_story(folder: Path) -> pd.DataFrame:
    """What was said before failures, from the folder of a version whose manifest was checked before."""
    return pd.read_parquet(folder / TIMES_STORY_FILE)


def _doubt(measured: MeasuredTimes) -> str | None:
    """Why the interval cannot be relied on, or is not known to be."""
    first = measured.first_alarms
    if first.share is not None and first.count >= _ENOUGH_FAILURES and first.share >= _RELIABLE:
        return None
    held = "" if first.share is None else f", and the 80 % interval held the truth at {first.share:.0%} of them"
    return (
        f"{plural(first.count, 'failure')} of the {measured.part} part were in alarm before{held}; wanted are "
        f"{_ENOUGH_FAILURES} failures and {_RELIABLE:.0%}"
    )


def story(
    frame: pd.DataFrame, row: Int64s, quantiles: Float32s, alarm: Bools, *, horizon: int, interval: int
) -> pd.DataFrame:
    """What was said of some rows, beside what came.

    Returns
    -------
    DataFrame
        One row for each of `row`, the place in the frame: ``asset_id``, ``timestamp``, ``p10``, ``p50``, ``p90``,
        ``truth`` (seconds to the next failure; infinite where none came), ``known`` (seconds for which that is known),
        ``alarm`` and ``failure`` (number of the next failure, -1 without one).
    """
    labelled = frame["label"].to_numpy() >= 0
    found = remaining(frame, labelled, horizon=horizon, interval=interval)
    place = (np.cumsum(labelled) - 1)[row]
    came, known = found.failure[place], found.known[place]
    begins = (frame["event"].to_numpy() >= 0) & (frame["event"].diff() != 0).to_numpy()
    following = np.cumsum(begins)[row]
    table = frame.iloc[row][["asset_id", "timestamp"]].reset_index(drop=True)
    seconds = quantiles.astype(np.float64)
    return table.assign(
        p10=seconds[:, 0],
        p50=seconds[:, 1],
        p90=seconds[:, 2],
        truth=np.where(came == NEVER, np.inf, came.astype(np.float64)),
        known=np.where(known == NEVER, np.inf, known.astype(np.float64)),
        alarm=alarm,
        failure=np.where(came == NEVER, -1, following),
    )


def measure(told: pd.DataFrame, part: Literal["test", "validation"], *, horizon: int, seed: int) -> MeasuredTimes:
    """Coverage, error and width of the rows of `story` outside failures.

    A row counts if its truth is known as far as its interval reaches, whatever came: rows of which only an early
    failure would be known tell nothing about how often it comes early.
    """
    ahead = told[told["truth"] > 0]
    top = float(LONGEST * horizon)
    counts = ahead[ahead["known"] >= _needed(ahead, top)]
    inside = _inside(counts, top)
    alarm = counts["alarm"].to_numpy()
    first = first_alarms(ahead, reach=top)
    judged = first[first["known"] >= _needed(first, top)]
    hits = _inside(judged, top)
    return MeasuredTimes(
        part=part,
        rows=_of_rows(counts["asset_id"], inside, seed),
        alarm_rows=_of_rows(counts["asset_id"][alarm], inside[alarm], seed),
        first_alarms=Coverage(count=len(hits), share=_mean(hits), interval=_wilson(int(hits.sum()), len(hits))),
        median_error_seconds=_median((first["truth"] - first["p50"]).abs().to_numpy()),
        median_width_seconds=_median((first["p90"] - np.minimum(first["p10"], top)).to_numpy()),
    )


def first_alarms(ahead: pd.DataFrame, *, reach: float) -> pd.DataFrame:
    """Of each failure, the first row in alarm that is at most `reach` seconds before it."""
    near = ahead[ahead["alarm"] & (ahead["truth"] <= reach)]
    return near.drop_duplicates("failure")


def _needed(told: pd.DataFrame, top: float) -> Float64s:
    """How far the truth must be known to tell whether the interval holds it."""
    p10, p90 = told["p10"].to_numpy(), told["p90"].to_numpy()
    return np.where(np.isfinite(p90), p90, np.where(np.isfinite(p10), p10, top))


def _inside(told: pd.DataFrame, top: float) -> Bools:
    """An interval that begins beyond the last horizon holds what comes later than that."""
    truth, p10, p90 = (told[name].to_numpy() for name in ("truth", "p10", "p90"))
    inside: Bools = np.where(np.isinf(p10), truth > top, (truth >= p10) & (truth <= p90))
    return inside


def _of_rows(asset_id: pd.Series, inside: Bools, seed: int) -> Coverage:
    if not len(inside):
        return Coverage(count=0, share=None, interval=None)
    groups = independent_groups(asset_id)
    drawn = draw(int(groups.max()) + 1, seed)
    hits, rows = (drawn @ np.bincount(groups, weights=weights) for weights in (inside, None))
    shares = np.divide(hits, rows, out=np.full(len(drawn), np.nan), where=rows > 0)
    return Coverage(count=len(inside), share=_mean(inside), interval=percentile_interval(shares))


def _wilson(hits: int, total: int) -> tuple[float, float] | None:
    """The interval of a share of independent cases (Wilson, Journal of the American Statistical Association, 1927)."""
    if not total:
        return None
    z = _NORMAL_97_5
    share, spread = hits / total, z * z / total
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _mean(values: Bools) -> float | None:
    return float(values.mean()) if len(values) else None


def _median(values: Float64s) -> float | None:
    middle = float(np.nanmedian(values)) if len(values) else np.inf
    return middle if np.isfinite(middle) else None
