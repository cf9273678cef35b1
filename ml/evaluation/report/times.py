"""The time to failure beside the truth: the first alarm of every failure, and how some of them closed in."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.drawing import BLUE, INK, MUTED, VERMILION, render, say_nothing_to_show, shorten
from ml.learning.times.measured import first_alarms

_FANS = 5
_POINTS = 150
_UNITS = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_FEWEST = 4  # of a unit, in a horizon that is written in it


def times_picture(told: pd.DataFrame, horizon: int) -> bytes:
    """What was said before each failure against what came.

    The first panel has the first row in alarm of every failure: the interval, and the median as a dot. The others
    follow single failures, those of the smallest, the largest and three errors between at that row.

    Parameters
    ----------
    told
        Rows before failures, as `ml.learning.times.measured.story` gives them.
    horizon
        Of the model, in seconds.
    """
    unit, name = next((each for each in _UNITS if horizon >= _FEWEST * each[0]), _UNITS[-1])
    first = first_alarms(told, reach=4.0 * horizon)
    errors = (first["p50"] - first["truth"]).abs().fillna(np.inf)
    ranked = first.loc[errors.sort_values(kind="stable").index, "failure"].to_numpy()
    places = np.unique(np.linspace(0, len(ranked) - 1, _FANS).astype(np.int64)) if len(ranked) else np.empty(0, int)

    def draw(figure: Figure) -> None:
        if not len(ranked):
            say_nothing_to_show(figure.add_subplot(), "No failure was in alarm before it began.")
            return
        panels = figure.subplots(2, 3).ravel()
        _overview(panels[0], first, horizon, unit, name)
        for axes, place in zip(panels[1:], places, strict=False):
            rows = told[(told["failure"] == ranked[place]) & (told["truth"] <= 2 * horizon)]
            _fan(axes, rows, 2 * horizon, unit, name)
        for axes in panels[1 + len(places) :]:
            axes.set_axis_off()

    return render(draw, (10.0, 6.0))


def _overview(axes: Axes, first: pd.DataFrame, horizon: int, unit: float, name: str) -> None:
    top = 4 * horizon / unit
    truth = first["truth"].to_numpy() / unit
    low, middle, high = (np.minimum(first[each].to_numpy() / unit, top) for each in ("p10", "p50", "p90"))
    inside = (truth >= low) & (truth <= high)
    axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle=":")
    for rows, colour in ((inside, BLUE), (~inside, VERMILION)):
        axes.vlines(truth[rows], low[rows], high[rows], color=colour, alpha=0.45, linewidth=1.2)
        axes.scatter(truth[rows], middle[rows], color=colour, s=10, zorder=3)
    reach = min(top, max(float(truth.max()), float(np.median(high)), 1.2 * horizon / unit))
    axes.set(xlim=(0, reach), ylim=(0, reach), xlabel=f"True time to failure, {name}", ylabel=f"Said, {name}")
    axes.set_title("First alarm of each failure")


def _fan(axes: Axes, rows: pd.DataFrame, reach: float, unit: float, name: str) -> None:
    shown = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, _POINTS).astype(np.int64))]
    truth = shown["truth"].to_numpy() / unit
    low, middle, high = (np.minimum(shown[each].to_numpy() / unit, 2 * reach / unit) for each in ("p10", "p50", "p90"))
    axes.fill_between(truth, low, high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(truth, middle, color=BLUE, linewidth=1.4)
    axes.plot([0, reach / unit], [0, reach / unit], color=INK, linewidth=1, linestyle=":")
    alarm = shown["alarm"].to_numpy()
    axes.scatter(truth[alarm], np.zeros(int(alarm.sum())), color=VERMILION, s=6, clip_on=False, zorder=3)
    axes.set(xlim=(reach / unit, 0), ylim=(0, reach / unit), xlabel=f"{name.capitalize()} before the failure")
    axes.set_ylabel(f"Said, {name}")
    axes.set_title(shorten(str(shown["asset_id"].iloc[0]), 24))
