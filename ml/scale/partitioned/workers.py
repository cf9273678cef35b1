"""What computes for the engine: this process, or the workers of a Dask cluster.

Both run the same functions (`ml.scale.partitioned.tasks`), and grow trees in processes that can be killed
(`ml.scale.partitioned.member`). This process needs no Dask and opens no port; its trees are those of one process to the
bit. The memory of either is that of a partition at a time, and of the bins of its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml.arrays import Bools
from ml.errors import ClusterError
from ml.scale.clients import existing_cluster, scheduler_address
from ml.scale.partitioned import tasks
from ml.scale.partitioned.boosting import OnProgress, grow_together
from ml.scale.partitioned.masks import Mask
from ml.scale.partitioned.member import Growth, MemberRequest, MemberRows
from ml.scale.partitioned.members import MemberLostError, fit_member, forget
from ml.scale.partitioned.stored import Stored

if TYPE_CHECKING:
    from distributed import Client, Future

_HINT = "start workers with: dask worker SCHEDULER --nthreads 1 --memory-limit 3GB --no-dashboard"


@contextmanager
def workers() -> Iterator[Workers]:
    """The workers of the scheduler that ``DASK_SCHEDULER_ADDRESS`` names; else this process.

    Raises MissingLibraryError if a scheduler is named and dask is not installed, and ClusterError if there is no
    scheduler at the address, or it has no worker.
    """
    address = scheduler_address()
    if address is None:
        yield ThisProcess()
        return
    with existing_cluster(address) as client:
        if not client.nthreads():
            raise ClusterError("the Dask cluster has no worker", hint=_HINT)
        yield DaskWorkers(client)


class ThisProcess:
    """One task after the other in this process; trees in one process of its own. `DaskWorkers` has the same methods."""

    def each(
        self, function: Callable[..., Any], stored: Stored, common: tuple[Any, ...], own: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """Number and result of ``function(stored, *common, one)`` for each of `own`; raises what the function does."""
        for number, one in enumerate(own):
            yield number, tasks.run(function, stored, common, one)

    def grow(self, common: Growth, rows: Bools, stop_by: Bools | None, on_progress: OnProgress) -> str:
        """As `ml.scale.partitioned.boosting.grow_together`, in a group of one."""
        share = MemberRows(0, Mask.of(rows), None if stop_by is None else Mask.of(stop_by))

        def on_event(event: dict[str, Any]) -> None:
            on_progress({**event, "rank": 0})

        try:
            return fit_member(MemberRequest(common, share, None), None, on_event)
        except MemberLostError as lost:
            raise ClusterError(
                f"growing trees failed: {lost}", hint="memory may be short: compute fewer features"
            ) from None

    def forget(self) -> None:
        """Keep nothing of what has been worked on."""
        forget()


class DaskWorkers:
    """The workers of a Dask cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def each(
        self, function: Callable[..., Any], stored: Stored, common: tuple[Any, ...], own: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        """As `ThisProcess.each`, as they come; the cluster forgets the results that are here.

        ClusterError, if the cluster is lost, or workers died of a task again and again.
        """
        from distributed import as_completed

        # Sent once, and to all workers: it must outlive one of them.
        sent = self._client.scatter(common, broadcast=True, hash=False)
        numbers = {
            self._client.submit(tasks.run, function, stored, sent, each, pure=False, priority=-number): number
            for number, each in enumerate(own)
        }
        try:
            for future in as_completed(list(numbers), loop=self._client.loop):
                yield numbers[future], _result(future)
                future.release()
        finally:
            self._client.cancel([*numbers, sent], force=True)

    def grow(self, common: Growth, rows: Bools, stop_by: Bools | None, on_progress: OnProgress) -> str:
        """As `ml.scale.partitioned.boosting.grow_together`."""
        return grow_together(self._client, common, rows, stop_by, on_progress)

    def forget(self) -> None:
        """Have the workers keep nothing of what they have worked on."""
        self._client.run(forget, on_error="ignore")


Workers = ThisProcess | DaskWorkers
"""What `ml.scale.partitioned.engine` works with."""


def _result(future: Future) -> Any:
    """What a task returned or raised; what Dask itself raises is a ClusterError."""
    try:
        return future.result()
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"distributed", "concurrent", "asyncio"}:
            raise
        raise ClusterError(
            f"the Dask cluster gave up on a task: {type(error).__name__}",
            hint="look at the logs of the scheduler and its workers, then run the step again",
        ) from None
