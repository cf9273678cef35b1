"""Where the tasks of a fleet run: in threads of this process, or on the workers of a Dask cluster.

Either way a task only watches over a process of its own. A pool is a context manager that gives a `Submit`; whatever
its block raises, such as a request to stop, ends the processes of the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from ml.errors import ClusterError
from ml.scale.fleet.task import OrganizationTask, Outcome, run_organization, stop_run, work_on
from ml.workspace.step_runner import as_told_to_user

if TYPE_CHECKING:
    from distributed import Client, Future

STOP_SECONDS = 1.2
"""How long to wait for workers on other machines to end their steps; this process has two seconds in all."""

Submit = Callable[[OrganizationTask, Callable[[Outcome], None]], None]
"""Begins a task as soon as there is room for it; its outcome is given to the function, in another thread."""
OnProgress = Callable[[dict[str, Any]], None]


@contextmanager
def local_pool(side_by_side: int, run: str, on_progress: OnProgress) -> Iterator[Submit]:
    """So many threads of this process."""
    pool = ThreadPoolExecutor(side_by_side, thread_name_prefix="organization")

    def work(task: OrganizationTask, done: Callable[[Outcome], None]) -> None:
        try:
            outcome = work_on(task, on_progress)
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
