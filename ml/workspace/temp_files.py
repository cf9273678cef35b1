"""Temporary names, and what a killed process left behind under them.

A temporary entry is called ``.<kind>-<token>-<name>``. As long as somebody works on it, that process holds the lock of
the file ``.alive-<token>`` beside it. A process id would not do: processes in other containers, which share a workspace
but no process ids, look dead, and another one that has a dead one's id looks alive. The system gives the lock back when
the process ends, however it ends.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from ml.workspace.safe_open import pinned

Kind = Literal["staging", "old"]
"""`staging`: not complete yet. `old`: moved out of the way while its successor is renamed into place."""

_TEMPORARY_NAME = re.compile(r"\.(?P<kind>staging|old)-(?P<token>[0-9a-f]{16})-(?P<name>.+)")
_ALIVE_NAME = re.compile(r"\.alive-(?P<token>[0-9a-f]{16})")
_HELD_ELSEWHERE = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_MODE = 0o600


@contextmanager
def temporary_path(target: Path, kind: Kind) -> Iterator[Path]:
    """A free name beside `target` that keeps its suffix; what has it is safe from `clear_leftovers` within the block.

    Nothing is made under the name, and nothing removed. Raises as `ml.workspace.safe_open.pinned`; the folder of
    `target` must be there.
    """
    with pinned(target.parent) as place:
        token, lock = _new_lock(place)
        try:
            yield target.with_name(f".{kind}-{token}-{target.name}")
        finally:
            with suppress(OSError):  # the next one to clear the folder removes it
                _lock_file(place, token).unlink()
            os.close(lock)


def clear_leftovers(folder: Path) -> None:
    """Remove from `folder` what dead processes were still writing, and give back what they had only moved aside."""
    if not folder.is_dir():
        return
    with pinned(folder) as place:
        for entry in list(place.iterdir()):
            if match := _TEMPORARY_NAME.fullmatch(entry.name):
                with _if_dead(place, match["token"]) as dead:
                    if dead:
                        _clear(entry, place / match["name"], match["kind"])
            elif match := _ALIVE_NAME.fullmatch(entry.name):
                with _if_dead(place, match["token"]):
                    pass


def remove(path: Path) -> None:
    """Delete a file, link or folder, if it is there; another process may be deleting it as well."""
    while path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _clear(entry: Path, original: Path, kind: str) -> None:
    if kind == "old" and not original.exists():
        with suppress(FileNotFoundError):  # somebody else has given it back
            entry.rename(original)
    else:
        remove(entry)


@contextmanager
def _if_dead(folder: Path, token: str) -> Iterator[bool]:
    """Whether nobody works on the entries of `token`; nobody else clears them within the block, and the lock goes."""
    file = _lock_file(folder, token)
    try:
        lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        yield True
        return
    try:
        dead = _try_lock(lock)
        yield dead
        if dead:
            file.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _new_lock(folder: Path) -> tuple[str, int]:
    """A token and the descriptor of its locked file."""
    while True:
        token = os.urandom(8).hex()
        file = _lock_file(folder, token)
        lock = os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
        # Between the two, somebody who clears the folder may have taken it for a dead process's.
        if _try_lock(lock, where_there_are_none=True) and os.fstat(lock).st_nlink:
            return token, lock
        os.close(lock)


def _try_lock(descriptor: int, *, where_there_are_none: bool = False) -> bool:
    """Lock a file unless it is locked; on a file system without locks, what is asked for."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return where_there_are_none and error.errno not in _HELD_ELSEWHERE
    return True


def _lock_file(folder: Path, token: str) -> Path:
    return folder / f".alive-{token}"
