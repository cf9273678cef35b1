"""The member that a worker runs: a process that it starts, feeds, listens to, keeps within its memory, and can end."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from ml.errors import InternalError, StorageError
from ml.learning.memory import give_back
from ml.scale.partitioned.member import Group, Growth, MemberRequest, MemberRows
from ml.scale.partitioned.stored import forget_files
from ml.scale.processes import command, environment, error_of, resident, start

_POLL_SECONDS = 0.05


class MemberLostError(Exception):
    """A member ended without a model, because of others, of a port, or of the system; another attempt may succeed."""


def run_member(topic: str, common: Growth, share: MemberRows, group: Group | None) -> str | None:
    """Run one member on a Dask worker; its progress goes to `topic`. The model comes from rank 0, None from others.

    When its task is cancelled, or the client that asked for it is gone, the member is killed.

    Raises MemberLostError if it ended without a model for a reason that another attempt may not meet; StorageError if
    it needs more memory than the worker may use; EagleError as `ml.scale.partitioned.member.fit`.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state != "cancelled"

    text = fit_member(
        MemberRequest(common, share, group),
        worker.memory_manager.memory_limit,
        lambda event: worker.log_event(topic, {**event, "rank": share.rank}),
        is_wanted,
    )
    return text if share.rank == 0 else None


def fit_member(
    order: MemberRequest,
    limit: int | None,
    tell: Callable[[dict[str, Any]], None],
    is_wanted: Callable[[], bool] = lambda: True,
) -> str:
    """LightGBM's text of the model that a member fits; its progress goes to `tell`, in this thread.

    Raises MemberLostError, StorageError or EagleError as `run_member`.

    Parameters
    ----------
    limit
        Bytes of memory that it and this process may use together; None: as many as there are.
    is_wanted
        When it gives false, the member is killed.
    """
    with start(command("ml.scale.partitioned.member"), environment()) as process:
        try:
            last = _last_word(process, order, limit, tell, is_wanted)
        finally:
            process.kill()
    if "error" in last:
        raise MemberLostError(last["error"]["message"]) if last["lost"] else error_of(last)
    if "model" not in last:
        raise MemberLostError(f"a member ended with {_ended_by(process.returncode)}")
    return str(last["model"])


def forget() -> None:
    """Keep nothing of what has been worked on; called on every worker at the end."""
    forget_files()
    give_back()


def _last_word(
    process: subprocess.Popen[bytes],
    order: MemberRequest,
    limit: int | None,
    tell: Callable[[dict[str, Any]], None],
    is_wanted: Callable[[], bool],
) -> dict[str, Any]:
    """Feed the member and wait for its end: what it has told last, nothing if it was killed.

    Raises StorageError if it and this process outgrow `limit` bytes together.
    """
    if process.stdin is None or process.stdout is None:
        raise InternalError("the member has no pipes")
    last: dict[str, Any] = {}
    told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def listen(lines: IO[bytes]) -> None:
        for line in lines:
            event = json.loads(line)
            if "model" in event or "error" in event:
                last.update(event)
            else:
                told.put(event)

    listener = threading.Thread(target=listen, args=(process.stdout,), daemon=True)
    listener.start()
    outgrew = False
    try:
        with suppress(OSError):  # it has ended already, and says why
            pickle.dump(order, process.stdin)
            process.stdin.close()
        del order
        while process.poll() is None:
            outgrew = outgrew or bool(limit and resident(process.pid) + resident(os.getpid()) > limit)
            if outgrew or not is_wanted():
                process.kill()
            time.sleep(_POLL_SECONDS)
            while not told.empty():
                tell(told.get())
    finally:
        process.kill()
        listener.join()  # it ends with the member; the pipe cannot be closed before
    if outgrew:
        raise StorageError(
            f"a worker needs more than its {(limit or 0) / 1e6:,.0f} MB to hold its share of the rows",
            hint="give workers more memory, use more of them, or compute fewer features",
        )
    return last


def _ended_by(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"
