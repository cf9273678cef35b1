"""The picture that plant engineers look at first: probability over time, alarms, and what really happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ml.arrays import Bools, Float64s, Int64s
from ml.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    VERMILION,
    render,
    say_nothing_to_show,
    shorten,
    time_axis,
)

MAX_ASSETS = 4

_WIDTH, _PANEL_HEIGHT = 10.0, 1.45  # inches
_MAX_POINTS = 1500  # points per panel: more than pixels across would only cost time
_ZOOMED_POINTS = 20_000  # points per panel of a page that shows a part of the time at will
_GAP_STEPS = 10  # usual steps without a row that break the line: excluded rows after a failure are no gap in the story


@dataclass(frozen=True)
class _Track:
    """One asset's rows: times, and values of shape ``(n_rows,)``."""

    name: str
    time: NDArray[np.datetime64]
    probability: Float64s
    positive: Bools
    event: Int64s

    @property
    def step(self) -> np.timedelta64:
        """The usual time between rows."""
        if len(self.time) < 2:
            return np.timedelta64(1, "s")
        steps = np.diff(self.time).astype("timedelta64[s]").astype(np.int64)
        return np.timedelta64(max(int(np.median(steps)), 1), "s")


def timeline(
    frame: pd.DataFrame,
    threshold: float,
    *,
    max_assets: int = MAX_ASSETS,
    score_name: str = "probability",
) -> bytes:
    """Probability over time for a few assets, with the alarm threshold, the positive rows and the failures.

    Assets with most failures (then most positive rows) come first. If some asset has neither, the one among these with
    the highest probability takes the last panel: a picture without the quiet machines would hide false alarms.

    Parameters
    ----------
    frame
        One row per scored instant: ``asset_id``, ``timestamp``, ``probability`` (NaN: not scored), ``label``
        (1: positive) and, if known, ``event`` (number of the failure that the row lies in, -1 outside).
    threshold
        Alarm threshold.
    score_name
        What the number is called in the legend.
    """
    tracks = _choose(frame, max_assets)

    def draw(figure: Figure) -> None:
        if not tracks:
            say_nothing_to_show(figure.add_subplot(), "There are no scored rows to show.")
            return
        panels = figure.subplots(len(tracks), 1, squeeze=False)[:, 0]
        for axes, track in zip(panels, tracks, strict=True):
            _panel(axes, track, threshold)
        if len({axes.get_xlim() for axes in panels}) == 1:
            for axes in panels[:-1]:
                axes.tick_params(labelbottom=False)
                axes.xaxis.get_offset_text().set_visible(False)
        figure.legend(handles=_legend_handles(score_name), loc="outside upper left", ncols=6)

    return render(draw, (_WIDTH, 0.5 + _PANEL_HEIGHT * max(len(tracks), 1)))


def timeline_data(frame: pd.DataFrame, threshold: float, *, max_assets: int = MAX_ASSETS) -> dict[str, Any]:
    """The same picture as data, for a page that draws it for any stretch of time.

    Times are seconds since 1970, probabilities thousandths (null breaks the line), and stretches of positive rows,
    alarms and failures have a begin and an end. Parameters as of `timeline`.
    """
    tracks = []
    for track in _choose(frame, max_assets):
        time, probability = _line(track, _ZOOMED_POINTS)
        alarm = np.nan_to_num(track.probability, nan=-1.0) >= np.float32(threshold)
        tracks.append(
            {
                "name": shorten(track.name, 60),
                "step": int(track.step.astype(np.int64)),
                "end": _seconds(track.time[-1:] + track.step)[0],
                "time": _seconds(time),
                "probability": [None if np.isnan(each) else round(1000 * each) for each in probability.tolist()],
                "positive": _stretches(track, _runs(track.positive)),
                "alarms": _stretches(track, _runs(alarm)),
                "failures": _stretches(track, _failures(track.event)),
            }
        )
    return {"threshold": threshold, "tracks": tracks}


def timeline_csv(
    frame: pd.DataFrame, threshold: float, score_name: str = "probability", *, max_assets: int = MAX_ASSETS
) -> str:
    """The rows behind the picture; parameters as of `timeline`."""
    tables = [
        pd.DataFrame(
            {
                "asset_id": track.name,
                "timestamp": track.time,
                score_name: track.probability.astype(np.float32),
                "alarm": (np.nan_to_num(track.probability, nan=-1.0) >= np.float32(threshold)).astype(int),
                "positive": track.positive.astype(int),
                "failed": (track.event >= 0).astype(int),
            }
        )
        for track in _choose(frame, max_assets)
    ]
    return pd.concat(tables).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ") if tables else ""


def _seconds(time: NDArray[np.datetime64]) -> list[int]:
    seconds: list[int] = time.astype("datetime64[s]").astype(np.int64).tolist()
    return seconds


def _stretches(track: _Track, runs: list[tuple[int, int]]) -> list[list[int]]:
    starts = _seconds(track.time[[first for first, _ in runs]]) if runs else []
    ends = _seconds(track.time[[last for _, last in runs]] + track.step) if runs else []
    return [list(pair) for pair in zip(starts, ends, strict=True)]


def _choose(frame: pd.DataFrame, max_assets: int) -> list[_Track]:
    tracks = [_track(str(name), rows) for name, rows in frame.groupby("asset_id", sort=True, observed=True)]
    eventful = [track for track in tracks if track.positive.any() or (track.event >= 0).any()]
    quiet = [track for track in tracks if not track.positive.any() and not (track.event >= 0).any()]
    eventful.sort(key=lambda track: (-np.unique(track.event[track.event >= 0]).size, -int(track.positive.sum())))
    quiet.sort(key=lambda track: -float(np.nanmax(track.probability, initial=0.0)))
    places = max_assets - 1 if quiet else max_assets
    chosen = eventful[:places]
    return chosen + quiet[: max_assets - len(chosen) if not eventful else 1]


def _track(name: str, rows: pd.DataFrame) -> _Track:
    ordered = rows.sort_values("timestamp", kind="stable")
    event = ordered["event"] if "event" in ordered else pd.Series(-1, index=ordered.index)
    return _Track(
        name=name,
        time=ordered["timestamp"].dt.tz_localize(None).to_numpy(),
        probability=ordered["probability"].to_numpy(dtype=np.float64),
        positive=(ordered["label"] == 1).to_numpy(),
        event=event.to_numpy(dtype=np.int64),
    )


def _panel(axes: Axes, track: _Track, threshold: float) -> None:
    time, probability = _line(track)
    above = np.where(probability >= np.float32(threshold), probability, np.nan)
    for first, last in _runs(track.positive):
        axes.axvspan(track.time[first], track.time[last] + track.step, color=GREEN, alpha=0.16, linewidth=0)
    for first, last in _failures(track.event):
        axes.axvspan(track.time[first], track.time[last] + track.step, color=INK, alpha=0.18, linewidth=0)
        axes.axvline(track.time[first], color=INK, linewidth=1.6)
        axes.plot([track.time[first]], [1.06], marker="v", markersize=6, color=INK, clip_on=False)
    axes.axhline(threshold, color=MUTED, linewidth=1, linestyle="--")
    axes.plot(time, probability, color=BLUE, linewidth=1)
    axes.fill_between(time, threshold, above, color=VERMILION, alpha=0.3, linewidth=0)
    axes.plot(time, above, color=VERMILION, linewidth=1.4, marker=".", markersize=2.5)
    time_axis(axes)
    axes.set(xlim=(track.time[0], track.time[-1] + track.step), ylim=(0, 1.04), yticks=(0, 0.5, 1))
    axes.grid(visible=False, axis="x")
    axes.set_title(shorten(track.name, 60))


def _line(track: _Track, points: int = _MAX_POINTS) -> tuple[NDArray[np.datetime64], Float64s]:
    """The highest probability in each of `points` slices of time, so that no alarm is lost, broken at gaps."""
    span = (track.time[-1] - track.time[0]).astype("timedelta64[s]").astype(np.int64)
    seconds = (track.time - track.time[0]).astype("timedelta64[s]").astype(np.int64)
    slices = seconds * (points - 1) // max(int(span), 1)
    order = np.lexsort((-np.nan_to_num(track.probability, nan=-1.0), slices))
    _, firsts = np.unique(slices[order], return_index=True)
    kept = order[firsts] if len(order) > points else np.arange(len(order))
    time, probability = track.time[kept], track.probability[kept]
    widest = max(track.step * _GAP_STEPS, np.timedelta64(3 * int(span) // points, "s"))
    breaks = np.flatnonzero(np.diff(time) > widest) + 1
    return np.insert(time, breaks, time[breaks - 1] + track.step), np.insert(probability, breaks, np.nan)


def _runs(flags: Bools) -> list[tuple[int, int]]:
    """First and last position of every run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _failures(event: Int64s) -> list[tuple[int, int]]:
    """First and last position of every failure event."""
    numbers = np.unique(event[event >= 0])
    return [(int(rows[0]), int(rows[-1])) for rows in (np.flatnonzero(event == number) for number in numbers)]


def _legend_handles(score_name: str) -> list[Patch | Line2D]:
    return [
        Line2D([], [], color=BLUE, linewidth=1.4, label=score_name),
        Line2D([], [], color=VERMILION, linewidth=2.2, label="alarm"),
        Line2D([], [], color=MUTED, linewidth=1, linestyle="--", label="threshold"),
        Patch(color=GREEN, alpha=0.25, linewidth=0, label="positive rows (an alarm here is right)"),
        Line2D([], [], color=INK, linewidth=1.6, marker="v", markersize=5, label="failure"),
        Patch(color=INK, alpha=0.18, linewidth=0, label="failed"),
    ]
