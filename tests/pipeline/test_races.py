"""A folder or a file that is swapped for a link to another organisation's while a step runs leads nowhere.

Whoever can swap it is a process of the same user, which is outside the promises; but a step that was let through by a
check must not reach into another organisation because of what happened after the check.
"""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from ml.scripts import data_prep
from ml.workspace import __main__ as workspace
from tests.pipeline.backend import tree
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.watching import watched

VICTIM = "plant_victim"
TRIES = 30
LONGEST_SECONDS = 30.0  # on a machine too busy to swap anything while a command runs
PAUSE_SECONDS = 0.0005  # each of the two is there for about as long as one of the command's own steps takes

_HERE, _EXCHANGE = -100, 2
_libc = ctypes.CDLL(None, use_errno=True)

Main = Callable[[list[str]], int]


@pytest.fixture
def two_tenants(published: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace in which both organisations have the same files."""
    root = published.resolve()
    for kind in ("models", "artifacts"):
        shutil.copytree(root / kind / ORGANIZATION, root / kind / VICTIM, symlinks=True)
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    return root


@contextmanager
def swapping(place: Path, theirs: Path) -> Iterator[None]:
    """Within the block `place` is, in turn, what it was and a link to `theirs`."""
    link = place.with_name(".link")
    target = os.path.relpath(theirs, place.parent)
    link.symlink_to(target)
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            if not (place.is_symlink() or link.is_symlink()):  # the command has put a file of its own in its place
                link.unlink()
                link.symlink_to(target)
            exchange(place, link)
            time.sleep(PAUSE_SECONDS)

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        stop.set()
        swapper.join()


def exchange(one: Path, other: Path) -> None:
    """Give each the other's name, in one step: renameat2(2) with RENAME_EXCHANGE."""
    if _libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


COMMANDS: dict[str, tuple[str, Main, list[str]]] = {
    "a version that is verified": (f"models/{ORGANIZATION}/versions/v1", workspace.main, ["verify", ORGANIZATION]),
    "a version that is published": (
        f"models/{ORGANIZATION}/versions/v1",
        workspace.main,
        ["publish", ORGANIZATION, "v1"],
    ),
    "the folder of versions": (f"models/{ORGANIZATION}/versions", workspace.main, ["publish", ORGANIZATION, "v1"]),
    "the manifest": (f"models/{ORGANIZATION}/versions/v1/manifest.json", workspace.main, ["verify", ORGANIZATION]),
    "the audit log": (f"artifacts/{ORGANIZATION}/audit.jsonl", workspace.main, ["verify", ORGANIZATION]),
    "the folder that is written": (f"artifacts/{ORGANIZATION}/v1", data_prep.main, []),
    "a file that is written": (f"artifacts/{ORGANIZATION}/v1/data_summary.json", data_prep.main, []),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_swapped_for_a_link_meanwhile_is_not_followed(name: str, two_tenants: Path, database: Path) -> None:
    place, main, arguments = COMMANDS[name]
    if main is data_prep.main:
        arguments = [str(write_json(two_tenants.parent / "config.json", plant_config(database)))]
    theirs = two_tenants / place.replace(ORGANIZATION, VICTIM)
    before = tree(two_tenants / "models" / VICTIM), tree(two_tenants / "artifacts" / VICTIM)
    exits: Counter[int] = Counter()
    with (
        watched(two_tenants / "models" / VICTIM) as models,
        watched(two_tenants / "artifacts" / VICTIM) as artifacts,
        swapping(two_tenants / place, theirs),
    ):
        until = time.monotonic() + LONGEST_SECONDS
        while (exits.total() < TRIES or not exits[6]) and time.monotonic() < until:
            exits[call(main, arguments)] += 1
    assert models + artifacts == []
    assert (tree(two_tenants / "models" / VICTIM), tree(two_tenants / "artifacts" / VICTIM)) == before
    assert exits[6] > 0, "never was it refused, so nothing was swapped in time"


def call(main: Main, arguments: list[str]) -> int:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return main(arguments)
