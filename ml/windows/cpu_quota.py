"""How much CPU time the control groups of this process allow, as containers and batch systems limit it.

A quota below the number of CPUs does not keep threads from running on all of them: the kernel stops the whole process
for the rest of each period instead, which is slower than fewer threads.
"""

from __future__ import annotations

import math
from pathlib import Path

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
