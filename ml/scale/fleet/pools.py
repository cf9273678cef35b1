"""Where the tasks of a fleet run: in threads of this process, or on the workers of a Dask cluster.

Either way a task only watches over a process of its own. A pool is a context manager that gives a `Submit`; whatever
its block raises, such as a request to stop, ends the processes of the run.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.retraining import carry_out, run_organization
from ml.scale.fleet.task import OrganizationTask, Outcome, stop_run
from ml.workspace.step_runner import as_told_to_user

if TYPE_CHECKING:
    from distributed import Client, Future

STOP_SECONDS = 1.2
"""How long to wait for workers on other machines to end their steps; this process has two seconds in all."""

Submit = Callable[[OrganizationTask, Callable[[Outcome], None]], None]
"""Begins a task as soon as there is room for it; its outcome is given to the function, in another thread."""
OnProgress = Callable[[dict[str, Any]], None]


def work_off(
    pool: Callable[[Budget], AbstractContextManager[Submit]],
    tasks: Iterable[OrganizationTask],
    share: Budget,
    memory: int,
    on_outcome: Callable[[Outcome], None],
) -> list[Outcome]:
    """Run all tasks, each as soon as it comes; `pool` opens a pool for tasks of a share.

    A task that outgrew its share of memory is run once more at the end, with `memory` bytes, which is all there is.
    Outcomes are sorted by organisation and version.
    """
    outcomes: dict[tuple[str, str], Outcome] = {}
    outgrown: list[OrganizationTask] = []
    shares = [share] if share.memory == memory else [share, replace(share, memory=memory)]
    for own in shares:
        again, outgrown = outgrown, []
        wanted = tasks if own is share else (replace(task, share=own) for task in again)
        with pool(own) as submit:
            for task, outcome in _as_they_end(submit, wanted):
                outcomes[task.organization_id, task.version] = outcome
                if outcome.outgrew and own is not shares[-1]:
                    outgrown.append(task)
                else:
                    on_outcome(outcome)
        if not outgrown:
            break
    return sorted(outcomes.values(), key=lambda outcome: (outcome.organization_id, outcome.version))


def _as_they_end(submit: Submit, tasks: Iterable[OrganizationTask]) -> Iterator[tuple[OrganizationTask, Outcome]]:
    ended: queue.SimpleQueue[tuple[OrganizationTask, Outcome]] = queue.SimpleQueue()
    running = 0

    def begin(task: OrganizationTask) -> None:
        submit(task, lambda outcome: ended.put((task, outcome)))

    for task in tasks:
        begin(task)
        running += 1
        while not ended.empty():
            running -= 1
            yield ended.get()
    for _ in range(running):
        yield ended.get()


@contextmanager
def local_pool(side_by_side: int, run: str, on_progress: OnProgress) -> Iterator[Submit]:
    """So many threads of this process."""
    pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="organization")

    def work(task: OrganizationTask, done: Callable[[Outcome], None]) -> None:
        try:
            outcome = carry_out(task, on_progress)
        except Exception as error:
            outcome = Outcome(task.organization_id, task.version, "failed", error=as_told_to_user(error).to_json())
        done(outcome)

    def submit(task: OrganizationTask, done: Callable[[Outcome], None]) -> None:
        pool.submit(work, task, done)

    try:
        yield submit
        pool.shutdown()
    except BaseException:
        stop_run(run)
        pool.shutdown(wait=False, cancel_futures=True)
        raise


@contextmanager
def cluster_pool(client: Client, run: str, on_progress: OnProgress) -> Iterator[Submit]:
    """The workers of a Dask cluster; a task whose worker died is given to another one by Dask."""
    numbers = count()

    def submit(task: OrganizationTask, done: Callable[[Outcome], None]) -> None:
        number = next(numbers)
        future = client.submit(
            run_organization,
            task,
            key=f"{run}-{number}-{task.share.memory}",
            pure=False,
            resources=task.share.resources(),
            priority=-number,
        )
        future.add_done_callback(lambda ended: done(_outcome(task, ended)))

    client.subscribe_topic(run, lambda event: on_progress(event[1]))
    try:
        yield submit
    except BaseException:
        _stop_on(client, run)
        raise
    finally:
        with suppress(Exception):  # the cluster may be gone, and with it the subscription
            client.unsubscribe_topic(run)


def _outcome(task: OrganizationTask, future: Future) -> Outcome:
    try:
        if future.status == "finished":
            outcome: Outcome = future.result()
            return outcome
        reason = type(future.exception()).__name__ if future.status == "error" else "the scheduler was lost"
    finally:
        future.release()
    error = ClusterError(
        f"the Dask cluster gave up on it: {reason}",
        hint="look at the logs of the scheduler and its workers, then run the fleet again: it goes on where it was",
    )
    return Outcome(task.organization_id, task.version, "failed", error=error.to_json())


def _stop_on(client: Client, run: str) -> None:
    """End the run's steps on all workers; those that cannot be reached do not keep the fleet from ending."""

    def stop() -> None:
        with suppress(Exception):
            client.run(stop_run, run, on_error="ignore")

    asking = threading.Thread(target=stop, daemon=True)
    asking.start()
    asking.join(STOP_SECONDS)
