"""How many threads numerical work may use, and a pool to use them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ml.windows.cpu_quota import cpu_quota

Item = TypeVar("Item")


def available_cpus() -> int:
    """CPUs this process may use.

    In a container or under a batch system these are fewer than the machine has: by affinity, by a quota of CPU time, or
    because ``OMP_NUM_THREADS`` says so, as it does to numerical libraries.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, cpu_quota() or cpus, _thread_limit() or cpus)


def threads_for(configured: int | None) -> int:
    """Threads of a computation: as configured, but no more than ``OMP_NUM_THREADS``; by default `available_cpus`."""
    if configured is None:
        return available_cpus()
    return min(configured, _thread_limit() or configured)


def _thread_limit() -> int | None:
    """``OMP_NUM_THREADS``, if it is a number; OpenMP also allows a list for nested regions, whose first counts."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else None


def for_each(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call `work` on every item with that many threads.

    The first exception, also one that reaches the caller from elsewhere, such as a request to stop, ends it: what has
    begun is finished, the rest is not begun.
    """
    if threads == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
