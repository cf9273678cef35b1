"""Tasks out to a pool, outcomes back."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from ml.scale.fleet.budget import Budget
from ml.scale.fleet.pools import Submit
from ml.scale.fleet.task import OrganizationTask, Outcome


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
