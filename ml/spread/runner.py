"""Trials out to the workers, outcomes back, and an end to all of it when the search ends or is stopped."""

from __future__ import annotations

import math
import os
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.cluster.clients import SCHEDULER_VARIABLE, embedded_cluster, existing_cluster, offered_resources
from ml.config import OrganizationConfig
from ml.errors import ERRORS, ClusterError
from ml.learning.cross_validation import Outcome
from ml.learning.search_study import Proposal
from ml.learning.search_trials import Runner
from ml.spread.job import written_job
from ml.spread.task import TrialTask, end_search, run_trial
from ml.windows.parallel import threads_for
from ml.workspace.paths import OrganizationPaths, workspace_root

if TYPE_CHECKING:
    from distributed import Client, Future

    from ml.scada.prepared import Prepared

RETRIES = 3
"""How often a trial whose process was killed is run again; Dask has a number of its own for killed workers."""
STOP_SECONDS = 1.2
"""How long to wait for workers on other machines to end their processes; this one has two seconds in all."""
LATE_SECONDS = 5.0
"""How long after the deadline to wait for what trials have reached by then."""
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Share:
    """What one trial may use: CPUs, and of an existing cluster's memory as large a share as of a worker's CPUs."""

    cpus: int
    memory: float = 0.0

    def resources(self) -> dict[str, float]:
        """As Dask counts them."""
        return {"cpus": float(self.cpus)} | ({"memory": self.memory} if self.memory else {})


@contextmanager
def runner_for(
    config: OrganizationConfig, paths: OrganizationPaths, data: Prepared, data_file: Path | None
) -> Iterator[Runner | None]:
    """What runs ``tuningConfig.workers`` trials side by side; None where one after the other is all there are CPUs for.

    On an existing cluster, of the scheduler that ``DASK_SCHEDULER_ADDRESS`` names, trials share its CPUs; else they
    share those of this process. No trial has more threads than ``trainingConfig.threads``.

    Parameters
    ----------
    data, data_file
        As `written_job`.

    Raises
    ------
    ClusterError
        If the existing cluster cannot be reached or names no resources.
    """
    workers, address = config.tuning_config.workers, os.environ.get(SCHEDULER_VARIABLE)
    if workers == 1:
        yield None
    elif address:
        with existing_cluster(address) as client, written_job(config, paths, data, data_file) as job:
            share = share_of(offered_resources(client), workers, config.training_config.threads)
            with _spread(client, config, job, share) as runner, _ended_elsewhere(client, runner.search):
                yield runner
    else:
        cpus = threads_for(config.training_config.threads)
        share = Share(max(1, cpus // workers))
        if cpus == share.cpus:
            yield None
            return
        with (
            embedded_cluster({"cpus": float(cpus)}, cpus // share.cpus) as client,
            written_job(config, paths, data, data_file) as job,
            _spread(client, config, job, share) as runner,
        ):
            yield runner


def share_of(offered: list[dict[str, float]], workers: int, threads: int | None) -> Share:
    """A trial's share of what the workers of a cluster offer, no more than the smallest of them has."""
    smallest = min(int(each["cpus"]) for each in offered)
    together = sum(int(each["cpus"]) for each in offered)
    cpus = max(1, min(smallest, together // workers, threads or smallest))
    return Share(cpus, min(each["memory"] for each in offered) * cpus // smallest)


@contextmanager
def _spread(client: Client, config: OrganizationConfig, job: Path, share: Share) -> Iterator[_Spread]:
    workers = config.tuning_config.workers
    runner = _Spread(client, f"search-{uuid.uuid4().hex[:12]}", config.organization_id, job, share, workers)
    client.subscribe_topic(runner.search, lambda event: runner.on_share(event[1]))
    try:
        yield runner
    finally:
        end_search(runner.search)  # the embedded worker is this process


@contextmanager
def _ended_elsewhere(client: Client, search: str) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(Exception):  # workers that cannot be reached do not keep the search from ending
            client.unsubscribe_topic(search)
            client.sync(client._run, end_search, search, on_error="ignore", callback_timeout=STOP_SECONDS)


class _Spread:
    """A `Runner` on a cluster."""

    def __init__(
        self, client: Client, search: str, organization_id: str, job: Path, share: Share, side_by_side: int
    ) -> None:
        self.search, self._side_by_side = search, side_by_side
        self._client, self._organization_id = client, organization_id
        self._job, self._share = job, share
        self._shares: dict[int, float] = {}

    def on_share(self, event: dict[str, Any]) -> None:
        """A worker tells how far a trial is; one that is run again starts lower, which nobody needs to see."""
        number = event["number"]
        self._shares[number] = max(event["share"], self._shares.get(number, 0.0))

    def __call__(
        self, name: str, draw: Callable[[], Proposal | None], deadline: float, progress: Callable[[float], None]
    ) -> Iterator[tuple[Proposal, Outcome]]:
        finished: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
        running: dict[int, Proposal] = {}
        while True:
            while len(running) < self._side_by_side and (proposal := draw()) is not None:
                running[proposal.number] = proposal
                self._submit(name, proposal, deadline, finished)
            if not running:
                return
            try:
                number, future = finished.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() > deadline + LATE_SECONDS:
                    yield from ((proposal, _nothing()) for proposal in running.values())
                    return
            else:
                outcome = _outcome(number, future)
                future.release()
                yield running.pop(number), outcome
            progress(math.fsum(self._shares.get(number, 0.0) for number in running))

    def _submit(
        self, name: str, proposal: Proposal, deadline: float, finished: queue.SimpleQueue[tuple[int, Future]]
    ) -> None:
        task = TrialTask(
            search=self.search,
            organization_id=self._organization_id,
            root=str(workspace_root().resolve()),
            job=str(self._job),
            study=name,
            number=proposal.number,
            values=proposal.values,
            bars=tuple(proposal.bars.items()),
            threads=self._share.cpus,
            deadline=None if math.isinf(deadline) else time.time() + deadline - time.monotonic(),
        )
        future = self._client.submit(
            run_trial,
            task,
            key=f"{self.search}-{proposal.number}",
            pure=False,
            retries=RETRIES,
            resources=self._share.resources(),
            priority=-proposal.number,
        )
        future.add_done_callback(lambda done: finished.put((proposal.number, done)))


def _outcome(number: int, future: Future) -> Outcome:
    if future.status != "finished":
        reason = type(future.exception()).__name__ if future.status == "error" else "the scheduler was lost"
        raise ClusterError(
            f"trial {number} was given up by the Dask cluster: {reason}",
            hint="finished trials are kept: run the step again, and give a worker more memory if it had too little",
        )
    answer: dict[str, Any] = future.result()
    if "bug" in answer:
        raise RuntimeError(f"trial {number} failed on its worker:\n{answer['bug']}")
    if "error" in answer:
        error = answer["error"]
        kind = next(kind for kind in ERRORS if kind.code == error["code"])
        raise kind(error["message"], field=error.get("field"), hint=error.get("hint"))
    return Outcome(**answer["outcome"])


def _nothing() -> Outcome:
    """Of a trial whose worker has not answered in time."""
    return Outcome(math.nan, [], [], 0.0, [], "LATE")
