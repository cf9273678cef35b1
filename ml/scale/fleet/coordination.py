"""Tasks out to the workers, outcomes back, and an end to all of it when the fleet is stopped."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.task import OrganizationTask, Outcome, run_organization, stop_run

if TYPE_CHECKING:
    from distributed import Client, Future

STOP_SECONDS = 1.2
"""How long to wait for workers on other machines to end their steps; this process has two seconds in all."""


def work_off(
    client: Client,
    tasks: Sequence[OrganizationTask],
    whole: Budget,
    on_progress: Callable[[dict[str, Any]], None],
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run all tasks, which belong to one fleet run, and give their outcomes in the order of `tasks`.

    A task that outgrew its share of memory is run once more with all that a worker has, `whole.memory`. One whose
    worker died is run again by Dask, on another worker.

    Any exception that reaches the caller's thread meanwhile, such as a request to stop, ends the steps of all workers.
    """
    if not tasks:
        return []
    outcomes: dict[int, Outcome] = {}
    finished: queue.SimpleQueue[tuple[int, Future]] = queue.SimpleQueue()
    waiting: dict[int, OrganizationTask] = dict(enumerate(tasks))

    def submit(index: int, task: OrganizationTask) -> None:
        future = client.submit(
            run_organization,
            task,
            key=f"{task.run}-{index}-{task.share.memory}",
            pure=False,
            resources=task.share.resources(),
            priority=-index,
        )
        future.add_done_callback(lambda done: finished.put((index, done)))

    run = tasks[0].run
    with _stopped_on_error(client, run), _progress(client, run, on_progress):
        for index, task in enumerate(tasks):
            submit(index, task)
        while len(outcomes) < len(tasks):
            index, future = finished.get()
            task, outcome = waiting[index], _outcome(waiting[index], future)
            future.release()
            if outcome.outgrew and task.share.memory < whole.memory:
                waiting[index] = replace(task, share=replace(task.share, memory=whole.memory))
                submit(index, waiting[index])
            else:
                outcomes[index] = outcome
                on_outcome(outcome)
    return [outcomes[index] for index in range(len(tasks))]


def _outcome(task: OrganizationTask, future: Future) -> Outcome:
    if future.status == "finished":
        outcome: Outcome = future.result()
        return outcome
    reason = type(future.exception()).__name__ if future.status == "error" else "the scheduler was lost"
    error = ClusterError(
        f"the Dask cluster gave up on it: {reason}",
        hint="look at the logs of the scheduler and its workers, then run the fleet again: it goes on where it was",
    )
    return Outcome(task.organization_id, task.version, "failed", error=error.to_json())


@contextmanager
def _progress(client: Client, run: str, on_progress: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    client.subscribe_topic(run, lambda event: on_progress(event[1]))
    try:
        yield
    finally:
        with suppress(Exception):  # the cluster may be gone, and with it the subscription
            client.unsubscribe_topic(run)


@contextmanager
def _stopped_on_error(client: Client, run: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop_run(run)  # the embedded worker is this process
        with suppress(Exception):  # workers that cannot be reached do not keep the fleet from ending
            client.sync(client._run, stop_run, run, on_error="ignore", callback_timeout=STOP_SECONDS)
        raise
