"""The work of one Dask task: one trial. It is names and numbers, without configuration, rows or passwords."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ml.spread.children import CHILDREN


@dataclass(frozen=True)
class TrialTask:
    """What a worker must know to run a trial."""

    search: str
    """Id of this run of the search."""
    organization_id: str
    root: str
    """Workspace root."""
    job: str
    """File of `ml.spread.job`."""
    study: str
    """Name of the search; another one here means that the worker has other data, settings or libraries."""
    number: int
    values: dict[str, Any] | None
    """As in `ml.learning.search_study.Proposal`."""
    bars: tuple[tuple[int, float], ...]
    """Rung and the score that is needed there; below it the trial is hopeless."""
    threads: int
    deadline: float | None
    """Seconds since 1970."""


def run_trial(task: TrialTask) -> dict[str, Any]:
    """The answer of `ml.spread.child`; shares of the trial go to the search's topic on the scheduler."""
    from distributed import get_worker

    worker = get_worker()

    def tell(share: float) -> None:
        worker.log_event(task.search, {"number": task.number, "share": share})

    with CHILDREN.borrowed(task.search, task.root, task.threads) as child:
        return child.ask(asdict(task), tell)


def end_search(search: str) -> None:
    """End the processes of a search in this worker; called on every worker."""
    CHILDREN.end(search)
