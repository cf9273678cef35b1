"""A process that runs trials of one search for the Dask worker that started it, and keeps tables and bins for the next.

    python -P -m ml.spread.child

Reads a trial (`ml.spread.task.TrialTask`) as one JSON line from stdin, writes JSON lines to stdout: ``{"share": ...}``
while it runs, then one of ``{"outcome": ...}``, ``{"error": ...}`` of `ml.errors`, and ``{"bug": traceback}``. It ends
when stdin ends, in the middle of a trial as well, and when it is given nothing to do for a while: nothing of an
organisation stays in memory longer.
"""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError, InternalError

if TYPE_CHECKING:
    from ml.learning.cross_validation import Outcome

IDLE_SECONDS = 120.0
"""Longer than workers usually wait for a trial; a driver that was killed says nothing any more."""
_TELL_SECONDS = 0.2

Request = dict[str, Any]


class Workbench:
    """Tables, bins and folds of the search that `request`, its first trial, belongs to."""

    def __init__(self, request: Request) -> None:
        from ml.learning import estimators
        from ml.learning.cross_validation import CrossValidation
        from ml.learning.search_name import search_name
        from ml.learning.search_rows import search_rows
        from ml.learning.search_trials import Trials
        from ml.spread.job import read_job

        config, data = read_job(request["organization_id"], Path(request["root"]), Path(request["job"]))
        training, tuning = config.training_config, config.tuning_config
        rows = search_rows(config, data.frame, data.interval)
        owner = f"{config.organization_id}/{config.version}"
        table = rows.features.table({})
        self._name = search_name(owner, table, rows.labels, rows.folds, training, tuning)
        self._validate = CrossValidation(rows.labels, rows.folds, tuning.scoring_metric, request["threads"])
        self._trials = Trials(
            estimators.get(training.model_type),
            rows.features,
            rows.labels,
            rows.folds,
            training,
            self._validate,
            configured=table,
        )

    def run(self, request: Request, progress: Callable[[float], None]) -> Outcome:
        """The outcome of a trial; raises ClusterError if it is not about the same rows and settings here."""
        if request["study"] != self._name:
            raise ClusterError(
                "a worker computes other features or folds than the process that searches",
                hint="workers need the same files, the same libraries and the same release",
            )
        until = request["deadline"]
        deadline = math.inf if until is None else time.monotonic() + until - time.time()
        with self._validate:
            return self._trials.run(request["values"], dict(request["bars"]), deadline, progress)


def main() -> int:
    """Serve until there is nothing to do; returns the exit status."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    bench: Workbench | None = None
    while True:
        try:
            request = requests.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return 0
        try:
            bench = bench or Workbench(request)
            answer = {"outcome": asdict(bench.run(request, _telling(answers.write, answers.flush)))}
        except Exception as error:
            answer = _failure(error)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _listen(requests: queue.SimpleQueue[Request]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # the process that started this one has ended


def _telling(write: Callable[[str], Any], flush: Callable[[], None]) -> Callable[[float], None]:
    last = -math.inf

    def tell(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _TELL_SECONDS:
            last = time.monotonic()
            write(json.dumps({"share": share}) + "\n")
            flush()

    return tell


def _failure(error: Exception) -> dict[str, Any]:
    from ml.workspace.harness import as_told_to_user

    told = as_told_to_user(error)
    if isinstance(told, InternalError):
        return {"bug": "".join(traceback.format_exception(error))}
    return {"error": told.to_json()}


if __name__ == "__main__":
    sys.exit(main())
