from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ml.errors import IsolationError
from ml.workspace.safe_open import open_file, opened, read_bytes


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder of one organisation; beside it ``other`` with a secret."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model").write_bytes(b"secret")
    folder = tmp_path / "own"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1/model").write_bytes(b"own")
    return folder


def test_a_plain_file_is_read(home: Path) -> None:
    assert read_bytes(home / "v1/model") == b"own"
    with opened(home / "v1/model") as file:
        assert file.read(1) == b"o"


def test_what_is_not_there_is_told_with_its_path(home: Path) -> None:
    with pytest.raises(FileNotFoundError) as failure:
        read_bytes(home / "v2/model")
    assert failure.value.filename == str(home / "v2/model")


@pytest.mark.parametrize("place", ["file", "folder", "hard link"])
def test_links_are_refused(home: Path, place: str) -> None:
    model = home / "v1/model"
    model.unlink()
    if place == "file":
        model.symlink_to("../../other/model")
    elif place == "hard link":
        model.hardlink_to(home.parent / "other/model")
    else:
        model.parent.rmdir()
        model.parent.symlink_to("../other")
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_CREAT):
        with pytest.raises(IsolationError):
            open_file(model, flags)
    assert (home.parent / "other/model").read_bytes() == b"secret"


def test_a_pipe_is_refused_at_once(home: Path) -> None:
    os.mkfifo(home / "pipe")
    with pytest.raises(IsolationError, match="not a regular file"):
        read_bytes(home / "pipe")


def test_no_descriptor_is_left_open(home: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    read_bytes(home / "v1/model")
    os.link(home / "v1/model", home / "twin")
    with pytest.raises(IsolationError):
        read_bytes(home / "v1/model")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_race_never_gives_another_organisations_bytes(home: Path) -> None:
    """The folder on the way is swapped for a link and back all the time; a checked name alone would follow it."""
    stop = threading.Event()
    folder, aside, link = home / "v1", home / "aside", home / "link"
    link.symlink_to("../other")

    def swap() -> None:
        while not stop.is_set():
            folder.rename(aside)
            link.rename(folder)
            folder.rename(link)
            aside.rename(folder)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: dict[str, int] = {}
    try:
        for _ in range(3000):
            try:
                outcome = read_bytes(folder / "model").decode()
            except (IsolationError, OSError) as error:
                outcome = type(error).__name__
            seen[outcome] = seen.get(outcome, 0) + 1
    finally:
        stop.set()
        swapper.join()
    assert "secret" not in seen
    assert seen["own"] > 0
    assert seen["IsolationError"] > 0, seen
