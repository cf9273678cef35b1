"""Opens files of the workspace, folder by folder, and refuses what is not a plain file with one name.

A path that was checked a moment ago may lead elsewhere by now. So no link is followed on the way: each folder is opened
below the one before it (as openat does), and what is opened at the end is looked at, not its name. A file with a second
name (a hard link) may be another organisation's, and is refused like a link.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from ml.errors import IsolationError

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_DESCRIPTORS = Path("/proc/self/fd")
_PINNED: set[Path] = set()
"""Paths that `pinned` has given, which lead through a descriptor of ours."""
_ALWAYS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # nobody waits for the other end of a pipe


def open_file(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the regular file `path`, which must be absolute with links resolved; `flags` as for `os.open`.

    Raises IsolationError if a part of the path is a link, or the file is not a regular one or has a second name;
    OSError as `os.open`.
    """
    folder = _walk(path.parent, path)
    try:
        descriptor = _open_below(folder, path.name, flags | _ALWAYS, mode, path)
    finally:
        os.close(folder)
    try:
        refuse_second_name(os.fstat(descriptor), path)
    except IsolationError:
        os.close(descriptor)
        raise
    return descriptor


def open_folder(path: Path, *, create_mode: int | None = None) -> int:
    """A descriptor of the folder `path`, which must be absolute with links resolved; missing ones are made if asked to.

    Raises IsolationError if a part of the path is a link; OSError as `os.open` and `os.mkdir`.
    """
    return _walk(path, path, create_mode)


@contextmanager
def pinned(folder: Path) -> Iterator[Path]:
    """A path that leads to `folder` within the block, even if the name is given to something else meanwhile.

    Everything may be done by it that is done by names: it goes through the descriptor of the folder. Where the system
    has no such paths, it is `folder` itself. Raises as `open_folder`.
    """
    descriptor = open_folder(folder)
    through = _DESCRIPTORS / str(descriptor)
    try:
        _PINNED.add(through)
        yield through if through.exists() else folder
    finally:
        _PINNED.discard(through)
        os.close(descriptor)


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """The file `path`, open for reading; raises as `open_file`."""
    with open(open_file(path, os.O_RDONLY), "rb") as file:
        yield file


def read_bytes(path: Path) -> bytes:
    """The content of `path`; raises as `open_file`."""
    with opened(path) as file:
        return file.read()


def refuse_second_name(status: os.stat_result, path: Path) -> None:
    """Raise IsolationError unless `status` is that of a regular file with one name; `path` is for the message."""
    if not stat.S_ISREG(status.st_mode):
        raise IsolationError(f"{path.name} is not a regular file", hint="remove it")
    if status.st_nlink > 1:
        raise IsolationError(f"{path.name} has a second name (a hard link)", hint="put a copy in its place")


def _walk(path: Path, named: Path, create_mode: int | None = None) -> int:
    """As `open_folder`; errors are about `named`."""
    folder, parts = _start(path)
    for part in parts:
        try:
            below = _open_below(folder, part, _FOLDER, 0, named)
        except FileNotFoundError:
            if create_mode is None:
                raise
            _make_below(folder, part, create_mode)
            below = _open_below(folder, part, _FOLDER, 0, named)
        finally:
            os.close(folder)
        folder = below
    return folder


def _start(path: Path) -> tuple[int, tuple[str, ...]]:
    """A descriptor of the folder in which `path` begins, and the parts that follow."""
    length = len(_DESCRIPTORS.parts) + 1
    begin = Path(*path.parts[:length])
    if begin in _PINNED:
        return os.dup(int(begin.name)), path.parts[length:]
    return os.open(path.anchor or ".", _FOLDER), path.parts[1 if path.anchor else 0 :]


def _make_below(folder: int, name: str, mode: int) -> None:
    with suppress(FileExistsError):  # also if another process was faster
        os.mkdir(name, mode, dir_fd=folder)


def _open_below(folder: int, name: str, flags: int, mode: int, path: Path) -> int:
    try:
        return os.open(name, flags, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP or (error.errno == errno.ENOTDIR and _is_link(folder, name)):
            raise IsolationError(f"a link lies on the way to {path.name}", hint="remove the link") from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def _is_link(folder: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
