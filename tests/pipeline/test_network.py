"""The steps reach nothing over a network but the configured database; here that is a file, so nothing at all.

An audit hook of the interpreter sees what Python's socket module does, whichever library asks for it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.backend import ML, STEPS, environment
from tests.pipeline.small_plant import plant_config, write_json

LIGHT = {
    "trainingConfig": {"threads": 1, "lgbParams": {"numLeaves": 7, "numIterations": 20, "minDataInLeaf": 20}},
    "tuningConfig": {"nTrials": 1, "cvFolds": 2},
    "validationConfig": {"robustnessRows": 200, "latencyRuns": 20},
    "conversionConfig": {"publish": "always", "parityRows": 200},
}
WATCHED = """
import importlib, sys

def watch(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"):
        print("REACHED", event, arguments[1:], file=sys.stderr, flush=True)
        raise PermissionError(event)

sys.addaudithook(watch)
"""


def watched(program: str, *arguments: object, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WATCHED + program, *map(str, arguments)]
    return subprocess.run(command, cwd=ML.parent, env=environment(root), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("call", ["socket.create_connection(('127.0.0.1', 9))", "socket.getaddrinfo('localhost', 1)"])
def test_the_watcher_hears_what_it_is_there_for(root: Path, call: str) -> None:
    assert "REACHED" in watched(f"import socket; {call}", root=root).stderr


def test_no_step_reaches_anything(database: Path, root: Path, tmp_path: Path) -> None:
    file = write_json(tmp_path / "config.json", plant_config(database, **LIGHT))
    program = "sys.exit(importlib.import_module('ml.scripts.' + sys.argv[1]).main(sys.argv[2:]))"
    for step in STEPS:
        ended = watched(program, step, file, root=root)
        assert (ended.returncode, "REACHED" in ended.stderr) == (0, False), ended.stderr[-2000:]
