"""A parameter search in several processes of this machine, which ask and tell one Optuna study.

The processes share nothing but the study's storage. One that is killed loses the trial that it was running; another is
started in its place. They end with the process that started them.
"""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ml.config import OrganizationConfig
from ml.errors import StorageError
from ml.ingest.prepared.data import Prepared
from ml.learning.search.search import SideBySide
from ml.learning.search.study import SearchStudy
from ml.scale.processes import command, environment, error_of, start
from ml.windows.parallel import threads_for

SPARE = 3
"""How many processes may be killed before the search gives up: by then, memory is likely to be short."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Part:
    """What a process of the search is given, through a pipe: `ml.scale.search_worker` reads it."""

    config: OrganizationConfig  # without a source of data; `trainingConfig.threads` is the process's share of the CPUs
    frame: pd.DataFrame  # prepared data, on a grid of `interval` seconds
    interval: int
    journal: Path  # Optuna's journal file
    name: str  # of the search
    worker: int  # number of the process, from 1 on
    deadline: float  # `time.time` at which to stop


def side_by_side(config: OrganizationConfig, data: Prepared, journal: Path) -> SideBySide | None:
    """What runs ``tuningConfig.workers`` trials side by side; None where there are CPUs for one at a time only.

    The processes share the CPUs that one process would use.
    """
    cpus = threads_for(config.training_config.threads)
    processes = min(cpus, config.tuning_config.workers)
    if processes == 1:
        return None
    training = config.training_config.model_copy(update={"threads": cpus // processes})
    told = config.model_copy(update={"scada_db_config": None, "data_source": None, "training_config": training})

    def run(study: SearchStudy, name: str, deadline: float, progress: Callable[[float], None]) -> None:
        until = time.time() + deadline - time.monotonic() if math.isfinite(deadline) else math.inf
        part = Part(told, data.frame, data.interval, journal, name, 0, until)
        _Processes(part, study, progress).run(processes)

    return run


class _Processes:
    """The processes of one search."""

    def __init__(self, part: Part, study: SearchStudy, progress: Callable[[float], None]) -> None:
        self._part, self._study, self._progress = part, study, progress
        self._running: list[subprocess.Popen[bytes]] = []
        self._started = self._killed = 0

    def run(self, processes: int) -> None:
        """Search to the end or the deadline with so many processes.

        Raises StorageError if too many of them were killed; EagleError: what one of them raises.
        """
        while self._study.missing and time.time() < self._part.deadline:
            self._study.begin()  # without the trials of processes that were killed
            try:
                for _ in range(min(processes, self._study.missing)):
                    self._start()
                while self._running:
                    time.sleep(_POLL_SECONDS)
                    self._study.refresh()
                    self._progress(0.0)
                    self._look()
            finally:
                self._end()

    def _start(self) -> None:
        self._started += 1
        part = replace(self._part, worker=self._started)
        process = start(command("ml.scale.search_worker"), environment(part.config.training_config.threads))
        self._running.append(process)
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:  # it may have been killed already
                pickle.dump(part, pipe)

    def _look(self) -> None:
        """Raise what a process has raised, and start another for each that was killed."""
        for process in [each for each in self._running if each.poll() is not None]:
            self._running.remove(process)
            with process.stdout or nullcontext() as pipe:
                told = b"" if pipe is None else pipe.read()
            if told:
                raise error_of(json.loads(told))
            if process.returncode == 0:
                continue
            self._killed += 1
            if self._killed > SPARE:
                raise StorageError(
                    f"{self._killed} processes of the search were killed, the last one with {process.returncode}",
                    hint="memory may be short: lower tuningConfig.workers. Finished trials are kept",
                )
            self._start()

    def _end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    if pipe is not None:
                        pipe.close()
        self._running.clear()
