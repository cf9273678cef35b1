"""Pictures of a search: its history, what mattered, and which values went with which scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ml.arrays import Float64s
from ml.drawing import BLUE, MUTED, VERMILION, render
from ml.learning.search.search import SearchResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def history_plot(result: SearchResult, marks: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Score of each trial, the best so far, and the given configuration, as a PNG with the `marks` in its title."""
    from matplotlib.ticker import MaxNLocator

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        complete = [trial for trial in result.trials if trial["state"] == "COMPLETE"]
        numbers = [trial["number"] for trial in complete]
        scores = [trial["score"] for trial in complete]
        given_up = [trial for trial in result.trials if trial["state"] == "PRUNED"]
        axes.scatter(numbers, scores, s=18, color=MUTED, label="trial")
        if given_up:
            where = [trial["number"] for trial in given_up], [trial["score"] for trial in given_up]
            axes.scatter(*where, s=18, marker="x", linewidths=0.8, color=MUTED, label="given up, score until then")
        axes.step(numbers, list(accumulate(scores, max)), where="post", color=BLUE, label="best so far")
        axes.axhline(
            result.baseline_score, color=VERMILION, linestyle="--", linewidth=1, label="configuration as given"
        )
        words = ", ".join([result.method, *(f"{name}: {mark}" for name, mark in marks.items())])
        axes.set(xlabel="trial", ylabel=_axis_name(result.metric), title=f"Search ({words})")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    return render(draw, (8, 4))


def importance_plot(result: SearchResult) -> bytes:
    """Share of each searched value in the scores' variance, as a PNG; says so where there are too few trials."""
    shares = sorted(result.importances.items(), key=lambda item: item[1])

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if shares:
            axes.barh([name for name, _ in shares], [share for _, share in shares], color=BLUE)
        else:
            axes.text(0.5, 0.5, "too few complete trials", ha="center", va="center", transform=axes.transAxes)
        axes.set(xlabel=f"share of the variance of {_axis_name(result.metric)}", title="Importance (fANOVA)")

    return render(draw, (8, 1.2 + 0.35 * max(len(shares), 2)))


def parallel_plot(result: SearchResult) -> bytes:
    """One line per trial through its values and its score, darker for better ones, as a PNG."""
    trials = sorted(
        (trial for trial in result.trials if trial["state"] == "COMPLETE"), key=lambda trial: float(trial["score"])
    ) or list(result.trials)
    names = list(result.space)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        columns = [
            _scaled(axes, place, [trial["params"].get(name) for trial in trials], result.space[name].log)
            for place, name in enumerate(names)
        ]
        columns.append(_scaled(axes, len(names), [trial["score"] for trial in trials], log=False))
        for rank, line in enumerate(np.column_stack(columns)):
            strength = (rank + 1) / len(trials)
            axes.plot(line, color=BLUE, alpha=0.08 + 0.85 * strength**3, linewidth=0.6 + 1.2 * strength**3)
        axes.set(xlim=(-0.3, len(names) + 0.6), ylim=(-0.06, 1.06), yticks=[], title="Values of complete trials")
        axes.set_xticks(range(len(names) + 1), [*names, _axis_name(result.metric)], rotation=20, ha="right")
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)

    return render(draw, (1.6 * (len(names) + 1) + 1, 4.5))


def _scaled(axes: Axes, place: int, values: Sequence[Any], log: bool) -> Float64s:
    """Heights in [0, 1] of one column's values, whose axis is drawn; NaN, a gap in the line, where there is none."""
    numbers, marks = _numbers(values)
    if log and np.nanmin(numbers) > 0:
        numbers, marks = np.log(numbers), {text: float(np.log(mark)) for text, mark in marks.items()}
    low, high = np.nanmin(numbers), np.nanmax(numbers)
    span = high - low or 1.0
    start = 0.0 if high > low else 0.5
    axes.axvline(place, color=MUTED, linewidth=0.8)
    for text, mark in marks.items():
        where = place, start + (mark - low) / span
        axes.annotate(text, where, xytext=(4, 0), textcoords="offset points", fontsize=7, va="center")
    return np.asarray(start + (numbers - low) / span)


def _numbers(values: Sequence[Any]) -> tuple[Float64s, dict[str, float]]:
    """Values as numbers, and what to write at which: the ends of an interval, or every choice."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        numbers = np.asarray([np.nan if value is None else float(value) for value in values])
        return numbers, {f"{mark:.4g}": float(mark) for mark in (np.nanmin(numbers), np.nanmax(numbers))}
    texts = ["-" if value is None else json.dumps(value) for value in values]
    order = {text: float(number) for number, text in enumerate(sorted(set(texts)))}
    return np.asarray([order[text] for text in texts]), order


def _axis_name(metric: str) -> str:
    return "-log loss" if metric == "log_loss" else metric.replace("_", " ")
