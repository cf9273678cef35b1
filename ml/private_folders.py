"""Folders in which libraries keep things between processes, and that nobody else can write.

What numba keeps is executed: pickles and machine code. Whoever can put a file there runs code as the user of the next
step. So such a folder must be the user's own, closed to everybody else, and below folders that others cannot exchange.
"""

from __future__ import annotations

import functools
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

PRODUCT = "eagle-ml"
VARIABLES = {"numba": "NUMBA_CACHE_DIR", "matplotlib": "MPLCONFIGDIR"}
"""Where an operator names the folder of each library."""

_OTHERS, _OTHERS_MAY_WRITE = 0o077, 0o022


@functools.cache
def private_folder(library: str) -> tuple[Path | None, str]:
    """The folder for what `library` keeps, made if need be, and why a better place was passed over, "" if none was.

    The first that is fit of: ``$NUMBA_CACHE_DIR`` (``$MPLCONFIGDIR``), or where it is not set
    ``$XDG_CACHE_HOME/eagle-ml/<library>`` (``~/.cache``); ``eagle-ml-<user id>/<library>`` in the temporary folder.
    None if neither is. The reason names no path: it may be told to whoever started the step.
    """
    variable = VARIABLES[library]
    better = variable if os.environ.get(variable) else "the user's cache folder"
    places: dict[str, Callable[[], Path]] = {
        better: lambda: Path(os.environ.get(variable) or Path(_kept(), PRODUCT, library)),
        "the temporary folder": lambda: Path(tempfile.gettempdir(), f"{PRODUCT}-{os.geteuid()}", library),
    }
    reasons: list[str] = []
    for name, place in places.items():
        try:
            folder = place()
            reason = _unfit(folder)
        except OSError as error:
            reason = f"cannot be used ({(error.strerror or type(error).__name__).lower()})"
        if not reason:
            return folder, "; ".join(reasons)
        reasons.append(f"{name} {reason}")
    return None, "; ".join(reasons)


def settle_matplotlib() -> None:
    """Let matplotlib, once it is loaded, keep its list of fonts in a private folder."""
    folder, _ = private_folder("matplotlib")
    if folder is not None:
        os.environ[VARIABLES["matplotlib"]] = str(folder)


def _kept() -> str:
    return os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - raises nothing


def _unfit(folder: Path) -> str:
    """What is wrong with `folder`, "" if it is safe and can be written; made if it is not there."""
    if not folder.is_absolute():
        return "is not named by an absolute path"
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o700, exist_ok=True)  # whatever the umask is
    folder = Path(os.path.realpath(folder.parent), folder.name)  # a circle of links raises nothing here
    for above in folder.parents:
        status = above.stat()
        shared = status.st_mode & _OTHERS_MAY_WRITE and not status.st_mode & stat.S_ISVTX
        if shared or status.st_uid not in (0, os.geteuid()):
            return "lies in a folder that another user owns or may write"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return "is a link or no folder"
    if status.st_uid != os.geteuid():
        return "belongs to another user"
    if status.st_mode & _OTHERS:
        return f"is open to other users (mode {stat.S_IMODE(status.st_mode):04o}, allowed is 0700)"
    tempfile.TemporaryFile(dir=folder).close()
    return ""
