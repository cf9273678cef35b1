"""Sensor columns that know too much: the label in disguise, or a count of rows or time.

A model trained on such a column scores well on its own history and fails in the plant. Nothing is removed: what looks
like a leak may be a meter that the plant has, so a person decides. Two tests, on the training part alone:

knows the label
    One column by itself separates the rows labelled 1 from the others, or those of the label some steps ahead, with an
    area under the ROC curve of at least 0.99 (Kaufman, Rosset, Perlich and Stitelman, "Leakage in Data Mining", ACM
    TKDD 6(4), 2012, advise to distrust exactly that); or it has two values of which one covers the label moved by less
    than the horizon.
follows time
    Within segments the column is a straight line of time, so it numbers rows, tells the time, or counts down to an end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.learning.events.failures import epoch_seconds

SEPARATION = 0.99  # honest sensors come near: 0.967 is the best of C-MAPSS FD001, 30 cycles ahead
OVERLAP = 0.95
STRAIGHTNESS = 0.9999
_SHIFTS = 64  # moves of the label that are tried on either side
_ROWS = 50_000  # evenly spread; an AUC of these is known to a few thousandths
_LONG_SEGMENT = 20  # rows; shorter ones are straight lines by accident


@dataclass(frozen=True)
class SuspiciousColumn:
    """A column, why it is suspicious in plain words, and the figure that says so: an AUC, overlap or correlation."""

    column: str
    reason: str
    figure: float

    def to_json(self) -> dict[str, Any]:
        """The finding for JSON."""
        return asdict(self)


def suspicious_columns(
    frame: pd.DataFrame,
    rows: Bools,
    columns: Sequence[str],
    *,
    counters: Sequence[str],
    horizon_steps: int,
    readings: Callable[[Bools], pd.DataFrame] | None = None,
) -> tuple[SuspiciousColumn, ...]:
    """The columns that know too much, in the given order.

    Parameters
    ----------
    frame
        Grid frame, sorted by asset and time, with labels.
    rows
        (n_rows,), true for the training part.
    columns
        Sensors to test.
    counters
        Those of them that the model sees as increases only: these may follow time.
    horizon_steps
        The horizon in samples.
    readings
        Gives the sensors of some rows, where `frame` does not hold them. Default: they are in `frame`.
    """
    label = frame["label"].to_numpy()
    asset = pd.factorize(frame["asset_id"])[0]
    rows = rows & (rows.cumsum() % max(1, int(rows.sum()) // _ROWS) == 0)
    at = np.flatnonzero(rows)
    steps = np.unique(np.linspace(0, max(horizon_steps - 1, 0), _SHIFTS).astype(int)).tolist()
    ahead = {step: _moved(label, asset, at, step) for step in sorted({*steps, *(-step for step in steps)})}
    segment, seconds = frame["segment"].to_numpy()[at], epoch_seconds(frame["timestamp"].iloc[at])
    sensors = frame.iloc[at] if readings is None else readings(rows)
    found = []
    for column in columns:
        values = sensors[column].to_numpy(dtype=np.float64)
        finding = _knows_label(column, values, ahead)
        if finding is None and column not in counters:
            finding = _follows_time(column, values, segment, seconds)
        if finding is not None:
            found.append(finding)
    return tuple(found)


def _moved(label: npt.NDArray[Any], asset: npt.NDArray[Any], rows: Int64s, steps: int) -> npt.NDArray[np.int8]:
    """The label `steps` rows after each of some rows, -1 where that is another asset's or unknown."""
    moved = np.full(len(rows), -1, dtype=np.int8)
    at = rows + steps
    inside = (at >= 0) & (at < len(label))
    at = np.clip(at, 0, max(len(label) - 1, 0))
    same = inside & (asset[at] == asset[rows])
    moved[same] = label[at[same]]
    return moved


def _knows_label(column: str, values: Float64s, ahead: dict[int, npt.NDArray[np.int8]]) -> SuspiciousColumn | None:
    usable = np.flatnonzero(np.isfinite(values))
    levels = np.unique(values[usable])
    if len(levels) < 2:
        return None
    two_valued = len(levels) == 2
    tried = ahead if two_valued else {steps: label for steps, label in ahead.items() if steps >= 0}
    for steps, label in sorted(tried.items(), key=lambda item: abs(item[0])):
        known = usable[label[usable] >= 0]
        positive = label[known] == 1
        if not positive.any() or positive.all():
            continue
        when = "the label" if steps == 0 else f"the label {abs(steps)} rows {'later' if steps > 0 else 'earlier'}"
        if two_valued:
            figure = max(_overlap(values[known] == level, positive) for level in levels)
            reason = f"one of its two values covers {when}"
        else:
            figure = _separation(values[known], positive)
            reason = f"it alone separates nearly all rows by {when}"
        if figure >= (OVERLAP if two_valued else SEPARATION):
            return SuspiciousColumn(column, reason, figure)
    return None


def _overlap(one: Bools, other: Bools) -> float:
    """Rows in both over rows in either (Jaccard)."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def _separation(values: Float64s, positive: Bools) -> float:
    """Area under the ROC curve, of the column or of its negative, whichever is larger; ties count half."""
    ranks = pd.Series(values).rank().to_numpy()
    n_positive = int(positive.sum())
    area = (ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * (len(values) - n_positive))
    return float(max(area, 1 - area))


def _follows_time(column: str, values: Float64s, segment: npt.NDArray[Any], seconds: Int64s) -> SuspiciousColumn | None:
    """The correlation with time inside segments, pooled; only changes inside a segment count, not its level."""
    usable = np.isfinite(values)
    table = pd.DataFrame({"segment": segment[usable], "x": values[usable], "t": seconds[usable].astype(np.float64)})
    groups = table.groupby("segment")
    table = table[groups["x"].transform("size") >= _LONG_SEGMENT]
    if table.empty:
        return None
    apart = table[["x", "t"]] - table.groupby("segment")[["x", "t"]].transform("mean")
    spread = float((apart["x"] ** 2).sum() * (apart["t"] ** 2).sum())
    if not spread > 0:
        return None
    figure = abs(float((apart["x"] * apart["t"]).sum())) / float(np.sqrt(spread))
    if figure < STRAIGHTNESS:
        return None
    reason = (
        "it is a straight line of time, like a row number, a clock or a position in the history; keep it only if the "
        "machine has such a meter, and name a totaliser in schemaConfig.counterColumns"
    )
    return SuspiciousColumn(column, reason, min(figure, 1.0))
