"""Files that are there completely or not at all, and disk errors in plain words.

Everything is written beside its target under a temporary name, flushed to the disk and renamed into place. Folders
are created with mode 0700 and files with mode 0600.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ml.errors import EagleError, IntegrityError, MissingArtifactError, StorageError
from ml.workspace.safe_open import open_folder, opened, pinned, read_bytes
from ml.workspace.temp_files import remove, temporary_path

FOLDER_MODE = 0o700
FILE_MODE = 0o600

_PLAIN_WORDS = {
    errno.ENOSPC: ("the disk is full", "free some space and run the step again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the step again"),
    errno.EFBIG: ("the file would be larger than the system allows", "raise the limit (ulimit -f)"),
    errno.EROFS: ("the file system is read-only", "mount it writable, or let ML_BASE_PATH name another folder"),
    errno.EACCES: ("permission denied", "make the workspace writable for the user that runs the step"),
    errno.EPERM: ("permission denied", "make the workspace writable for the user that runs the step"),
    errno.EIO: ("the disk reports an error", "check the disk"),
}


def is_disk_error(error: OSError) -> bool:
    """Whether the disk or its permissions are to blame, not the program."""
    return error.errno in _PLAIN_WORDS


def storage_error(error: OSError, name: str) -> StorageError:
    """The failure to write `name` as a user reads it."""
    known = _PLAIN_WORDS.get(error.errno or 0)
    words, hint = known if known else (error.strerror or type(error).__name__, None)
    return StorageError(f"{name} cannot be written: {words}", hint=hint)


@contextmanager
def plain_storage_errors(name: str) -> Iterator[None]:
    """Turn every OSError of the block into a StorageError about `name`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, name) from error


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents with mode 0700.

    Raises StorageError if the system refuses, or a file is in the way; IsolationError if a link is on the way; so do
    all that write here.
    """
    with plain_storage_errors(path.name):
        os.close(open_folder(path, create_mode=FOLDER_MODE))


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path`, with its suffix, that becomes `path` when the block ends well.

    If the block fails, `path` is what it was before and the temporary file is gone. It lies in the folder that has the
    name now, whatever gets that name meanwhile.

    Raises StorageError if the disk is full or the file cannot be written, inside the block as well.
    """
    make_folder(path.parent)
    with ExitStack() as stack:
        with plain_storage_errors(path.name):
            folder = stack.enter_context(pinned(path.parent))
            temporary = stack.enter_context(temporary_path(folder / path.name, "staging"))
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE))
        stack.callback(temporary.unlink, missing_ok=True)
        with _plain_disk_errors(path.name):
            yield temporary
        with plain_storage_errors(path.name):
            temporary.chmod(FILE_MODE)  # a library may have replaced the file
            _sync(temporary)
            temporary.replace(folder / path.name)
            sync_folder(folder)


@contextmanager
def scratch_directory(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder in `parent` that is removed when the block ends; one that a killed process left, by the next.

    Raises as `staged_file`.
    """
    make_folder(parent)
    with ExitStack() as stack:
        with plain_storage_errors(name):
            temporary = stack.enter_context(temporary_path(parent / name, "staging"))
        make_folder(temporary)
        stack.callback(remove_below, temporary)
        with _plain_disk_errors(name):
            yield temporary


def remove_below(path: Path) -> None:
    """Delete a file, link or folder, if it is there, from the folder that has the name of its parent now."""
    with pinned(path.parent) as folder:
        remove(folder / path.name)


def install_directory(staged: Path, target: Path) -> None:
    """Flush the folder `staged` to the disk and rename it to `target` beside it, in place of what was there.

    Raises StorageError if the system refuses. `target` is then what it was before.
    """
    with plain_storage_errors(target.name), pinned(target.parent) as folder:
        staged, target = folder / staged.name, folder / target.name
        _sync_tree(staged)
        if not target.exists():
            staged.rename(target)
            sync_folder(folder)
            return
        with temporary_path(target, "old") as aside:
            target.rename(aside)
            try:
                staged.rename(target)
            except BaseException:
                aside.rename(target)
                raise
            sync_folder(folder)
            remove(aside)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all; raises StorageError."""
    with staged_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all; raises StorageError."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` as indented JSON to `path`, whole or not at all; NaN and infinities become null."""
    write_text(path, json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read the JSON object in `path`; `what` names it in messages.

    Raises MissingArtifactError if there is no such file; IntegrityError if it is not a JSON object.
    """
    try:
        data = parse_json(read_bytes(path))
    except FileNotFoundError:
        raise MissingArtifactError(f"{what} ({path.name}) does not exist", hint="run the step that writes it") from None
    except OSError as error:
        raise MissingArtifactError(f"{what} ({path.name}) cannot be read: {error.strerror}") from error
    except ValueError:
        raise IntegrityError(f"{what} ({path.name}) is not valid JSON") from None
    if not isinstance(data, dict):
        raise IntegrityError(f"{what} ({path.name}) must hold a JSON object, not {type(data).__name__}")
    return data


def json_if_readable(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; empty if it is missing or spoilt, which is for others to say."""
    try:
        return read_json(path, path.name)
    except EagleError:
        return {}


def parse_json(text: bytes | str) -> Any:
    """The value that JSON text stands for; raises ValueError, also for infinite numbers, NaN and endless nesting."""
    try:
        return json.loads(text, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


def plain(value: Any) -> Any:
    """`value` in the types of JSON: NaN and infinities are None, paths are text, NumPy scalars Python numbers."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays, without importing NumPy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut, where the system can do that."""
    if os.name == "posix":
        with pinned(folder) as place:
            _sync(place)


@contextmanager
def _plain_disk_errors(name: str) -> Iterator[None]:
    """As `plain_storage_errors`, but leaves errors alone that the disk is not to blame for."""
    try:
        yield
    except OSError as error:
        if not is_disk_error(error):
            raise
        raise storage_error(error, name) from error


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        sync_folder(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
