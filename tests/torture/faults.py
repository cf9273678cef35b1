"""A layer under a running operation that counts its I/O steps and lets one of them go wrong.

Python tells an audit hook about every file that is opened, made, renamed, linked or removed, before it happens; writing
and flushing are wrapped. A hook cannot be taken away again, so the layer is for a process that ends with the operation.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVENTS = {
    "open",
    "os.rename",
    "os.mkdir",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.chmod",
    "os.listdir",
    "os.scandir",
}
_READING = {"os.listdir", "os.scandir", "open to read"}
_REMOVING = {"os.remove", "os.rmdir"}
_O_PATH = getattr(os, "O_PATH", 0)  # a folder on the way to a file; nothing is read or written


class FaultLayer:
    """Counts the steps below `root`; before step `number`, counted from 1, it calls `act`.

    Parameters
    ----------
    writes_only
        Count only what needs room on the disk or changes it: no reading, no removing.
    """

    def __init__(self, root: Path, number: int, act: Callable[[], None], *, writes_only: bool = False) -> None:
        self.steps: list[str] = []
        self._root = str(root)
        self._number = number
        self._act = act
        self._writes_only = writes_only
        self._inside = False

    def install(self) -> None:
        """From now on, for good."""
        sys.addaudithook(self._hook)
        self._wrap("fsync", os.fsync)
        self._wrap("write", os.write)

        def in_two_parts(path: Path, data: bytes) -> int:
            with path.open("wb", buffering=0) as file:
                half = len(data) // 2
                for part in (data[:half], data[half:]):
                    self._step(f"write {path.name}")
                    file.write(part)
            return len(data)

        Path.write_bytes = in_two_parts  # type: ignore[assignment,method-assign]

    def _wrap(self, name: str, original: Callable[..., Any]) -> None:
        def wrapped(descriptor: int, *arguments: Any) -> Any:
            target = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if target.startswith(self._root):
                self._step(f"{name} {Path(target).name}")
            return original(descriptor, *arguments)

        setattr(os, name, wrapped)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._inside or event not in _EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        self._inside = True
        try:
            path = _through_descriptors(os.fsdecode(arguments[0]))
            flags = arguments[2] if event == "open" else 0
            relative = not path.startswith("/") and event in ("open", "os.mkdir")
            below_a_descriptor = relative and not flags & _O_PATH
            if not path.startswith(self._root) and not below_a_descriptor:
                return
            writing = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            kind = event if event != "open" else "open to write" if writing else "open to read"
        finally:
            self._inside = False
        self._step(f"{kind} {Path(path).name}")

    def _step(self, name: str) -> None:
        if self._writes_only and any(name.startswith(f"{kind} ") for kind in _READING | _REMOVING):
            return
        self.steps.append(name)
        if len(self.steps) == self._number:
            self._act()


def _through_descriptors(path: str) -> str:
    """``/proc/self/fd/N/name`` by the name of the folder behind the descriptor."""
    if not path.startswith("/proc/self/fd/"):
        return path
    number, slash, rest = path.removeprefix("/proc/self/fd/").partition("/")
    return f"{Path('/proc/self/fd', number).readlink()}{slash}{rest}"


def kill() -> None:
    """End this process as a power cut would: nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)


def disk_says(number: int) -> Callable[[], None]:
    """Fail the step with the error `number` of the system."""

    def act() -> None:
        raise OSError(number, os.strerror(number))

    return act
