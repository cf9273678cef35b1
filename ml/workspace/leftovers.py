"""Temporary names that tell who made them, so that what a killed process left behind can be found and removed.

A temporary entry is called ``.<kind>-<pid>-<start>-<random>-<name>``. The start time of the process (clock ticks since
boot) is part of it because process ids are used again, in containers after every restart.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Literal

from ml.workspace.opening import pinned

Kind = Literal["staging", "old"]
"""`staging`: not complete yet. `old`: moved out of the way while its successor is renamed into place."""

_TEMPORARY_NAME = re.compile(r"\.(?P<kind>staging|old)-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}-(?P<name>.+)")
_START_TIME_FIELD = 19  # starttime is field 22 of /proc/<pid>/stat; counted here from field 3, after the name


def temporary_path(target: Path, kind: Kind) -> Path:
    """A free name beside `target` that carries this process's id and keeps the suffix of `target`."""
    pid = os.getpid()
    return target.with_name(f".{kind}-{pid}-{_start_time(pid)}-{os.urandom(4).hex()}-{target.name}")


def clear_leftovers(folder: Path) -> None:
    """Remove from `folder` what dead processes were still writing, and give back what they had only moved aside."""
    if not folder.is_dir():
        return
    with pinned(folder) as place:
        _clear(place)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        match = _TEMPORARY_NAME.fullmatch(entry.name)
        if match is None or _is_alive(int(match["pid"]), int(match["start"])):
            continue
        original = folder / match["name"]
        if match["kind"] == "old" and not original.exists():
            entry.rename(original)
        else:
            remove(entry)


def remove(path: Path) -> None:
    """Delete a file, link or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_alive(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists and belongs to someone else
        return True
    return _start_time(pid) == start


def _start_time(pid: int) -> int:
    """Clock ticks from boot to the start of process `pid`; 0 where the system does not tell."""
    with suppress(OSError, IndexError, ValueError):
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2]
        return int(after_name.split()[_START_TIME_FIELD])
    return 0
