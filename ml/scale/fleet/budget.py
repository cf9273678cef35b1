"""What a fleet may use, and what one task of it may: CPUs and bytes of memory."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml.errors import UsageError

MEMORY_SHARE = 0.8
"""Of the machine's memory, if no budget is named: the rest is for the system and its file cache."""

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True)
class Budget:
    """CPUs and bytes, of a machine or of a task."""

    cpus: int
    memory: int

    def room_for(self, share: Budget) -> int:
        """How many tasks of a share fit in side by side."""
        return min(self.cpus // share.cpus, self.memory // share.memory)

    def resources(self) -> dict[str, float]:
        """As Dask counts them; a worker on another machine offers them with ``--resources "cpus=8 memory=16e9"``."""
        return {"cpus": float(self.cpus), "memory": float(self.memory)}


def parse_size(text: str) -> int:
    """Bytes of ``512M``, ``3G``, ``1.5GiB`` (all powers of 1024) or a plain number; an argparse type."""
    found = _SIZE.fullmatch(text.strip())
    if found is None or not (size := int(float(found[1]) * _UNITS[found[2].upper()])):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it as 512M or 3G")
    return size


def parse_count(text: str) -> int:
    """A whole number of at least 1; an argparse type."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def machine_budget(cpus: int | None, memory: int | None) -> Budget:
    """The budget asked for; by default all CPUs of this process and `MEMORY_SHARE` of the memory."""
    from ml.windows.parallel import available_cpus

    return Budget(cpus or available_cpus(), memory or int(MEMORY_SHARE * _machine_memory()))


def task_budget(whole: Budget, cpus: int, memory: int | None) -> Budget:
    """What one task gets: `cpus`, and `memory` or as large a share of the memory as of the CPUs.

    Raises UsageError if a task needs more than there is: it would wait for ever.
    """
    if cpus > whole.cpus:
        raise UsageError(
            f"--task-cpus {cpus} is more than the {whole.cpus} CPUs of the budget", hint=f"at most {whole.cpus}"
        )
    share = memory or whole.memory * cpus // whole.cpus
    if share > whole.memory:
        raise UsageError(
            f"--task-memory {share:,} bytes is more than the {whole.memory:,} bytes of the budget",
            hint="raise --memory or lower --task-memory",
        )
    return Budget(cpus, share)


def smallest_budget(offered: Sequence[Mapping[str, float]]) -> Budget:
    """What every worker of a cluster has at least, from what each offers."""
    return Budget(min(int(each["cpus"]) for each in offered), min(int(each["memory"]) for each in offered))


def _machine_memory() -> int:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(limit for file in _CGROUP_LIMITS if (limit := _limit(file)) is not None)])


def _limit(file: Path) -> int | None:
    """The memory limit of the container, if there is one."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
