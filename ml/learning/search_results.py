"""The files that a search leaves behind: every trial, the best parameters, and the history as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml.learning.search import SearchResult
from ml.workspace.files import write_bytes, write_json, write_text

TRIAL_COLUMNS = ("number", "state", "score", "seconds", "rounds", "foldScores")


def write_results(directory: Path, result: SearchResult, *, marks: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write ``trials.csv``, ``trials.json``, ``best_parameters.json`` and ``history.png`` into `directory`.

    ``best_parameters.json`` holds a ``trainingConfig`` that a configuration may contain as it is. `marks` stand beside
    the scores and on the picture: what a reader must know before believing them.
    """
    summary = {
        "searchMethod": result.method,
        "scoringMetric": result.metric,
        "bestTrial": result.best_number,
        "bestScore": result.best_score,
        "baselineScore": result.baseline_score,
        **marks,
    }
    best = result.best.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_text(directory / "trials.csv", _trials_csv(result.trials, marks))
    write_json(directory / "trials.json", {**summary, "trials": result.trials})
    write_json(directory / "best_parameters.json", {**summary, "trainingConfig": best})
    write_bytes(directory / "history.png", history_plot(result, marks))


def history_plot(result: SearchResult, marks: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Score of each finished trial, the best so far, and the given configuration, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    finished = [trial for trial in result.trials if trial["state"] == "COMPLETE"]
    numbers = [trial["number"] for trial in finished]
    scores = [trial["score"] for trial in finished]
    figure = Figure(figsize=(8, 4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.scatter(numbers, scores, s=18, color="#7f8c9b", label="trial")
    axes.step(numbers, list(accumulate(scores, max)), where="post", color="#1f5fa8", label="best so far")
    axes.axhline(result.baseline_score, color="#b3541e", linestyle="--", linewidth=1, label="configuration as given")
    title = f"Search ({', '.join([result.method, *(f'{name}: {mark}' for name, mark in marks.items())])})"
    axes.set(xlabel="trial", ylabel=_axis_name(result.metric), title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    image = io.BytesIO()
    canvas.print_png(image)
    return image.getvalue()


def _axis_name(metric: str) -> str:
    return "-log loss" if metric == "log_loss" else metric.replace("_", " ")


def _trials_csv(trials: list[dict[str, Any]], marks: Mapping[str, str]) -> str:
    """One row per trial, lists joined by spaces, one column per parameter and mark."""
    parameters = list(dict.fromkeys(name for trial in trials for name in trial["params"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*TRIAL_COLUMNS, *parameters, *marks])
    for trial in trials:
        own = [_cell(trial[column]) for column in TRIAL_COLUMNS]
        writer.writerow([*own, *(_cell(trial["params"].get(name)) for name in parameters), *marks.values()])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value
