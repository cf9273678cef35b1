"""How many threads numerical work may use, by CPUs and by the quota of CPU time, and a pool to use them.

Control groups limit CPU time in containers and batch systems. A quota below the number of CPUs does not keep threads
from running on all of them: the kernel stops the whole process for the rest of each period instead, which is slower
than fewer threads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

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


CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota(control_groups: Path = CONTROL_GROUPS, membership: Path = MEMBERSHIP) -> int | None:
    """CPUs that the quota is worth, rounded up and at least 1; None without a quota, or where there is none to read.

    Of the groups that a process is in, each within the one before, the smallest quota counts. Both versions of control
    groups are read (kernel documentation: admin-guide/cgroup-v2, ``cpu.max``; scheduler/sched-bwc,
    ``cpu.cfs_quota_us``).
    """
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    shares = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, read = control_groups, _version_2
        elif "cpu" in controllers.split(","):
            top, read = control_groups / "cpu", _version_1
        else:
            continue
        group = top / path.lstrip("/")
        shares += [read(each) for each in (group, *group.parents) if each.is_relative_to(top)]
    return min((max(1, math.ceil(share)) for share in shares if share is not None), default=None)


def _version_2(group: Path) -> float | None:
    return _ratio(_words(group / "cpu.max"))


def _version_1(group: Path) -> float | None:
    return _ratio(_words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us"))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []


def _ratio(words: list[str]) -> float | None:
    """Quota over period; the words for "no quota" are ``max`` and ``-1``."""
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None
