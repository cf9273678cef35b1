"""The files that a search leaves behind: every trial, the best parameters, and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ml.learning.search.plots import history_plot, importance_plot, parallel_plot
from ml.learning.search.search import SearchResult
from ml.workspace.files import write_bytes, write_json, write_text

TRIAL_COLUMNS = ("number", "state", "score", "seconds", "rounds", "foldScores", "rungScores")


def write_results(directory: Path, result: SearchResult, *, marks: Mapping[str, str] = MappingProxyType({})) -> None:
    """Write ``trials.csv``, ``trials.json``, ``best_parameters.json`` and three pictures into `directory`.

    ``best_parameters.json`` holds a ``trainingConfig`` that a configuration may contain as it is. The pictures are
    ``history.png``, ``importance.png`` and ``parallel_coordinates.png``. `marks` stand beside the scores and on the
    picture of the history: what a reader must know before believing them.
    """
    summary = {
        "searchMethod": result.method,
        "scoringMetric": result.metric,
        "bestTrial": result.best_number,
        "bestScore": result.best_score,
        "baselineScore": result.baseline_score,
        "importances": result.importances,
        **marks,
    }
    best = result.best.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_text(directory / "trials.csv", _trials_csv(result.trials, marks))
    write_json(directory / "trials.json", {**summary, "trials": result.trials})
    write_json(
        directory / "best_parameters.json", {**summary, "trainingConfig": best, "features": result.best_features}
    )
    write_bytes(directory / "history.png", history_plot(result, marks))
    write_bytes(directory / "importance.png", importance_plot(result))
    write_bytes(directory / "parallel_coordinates.png", parallel_plot(result))


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
