"""The steps reach nothing over a network but the configured database; here that is a file, so nothing at all.

The kernel counts packets, whichever library sends them. Libraries that report to their makers do so some seconds after
they were loaded, so one process runs everything, and stays.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ml.private_folders import private_folder
from tests.pipeline.backend import ML, STEPS, environment
from tests.pipeline.network_namespace import REPORTS_AFTER_SECONDS, Heard, run_unplugged
from tests.pipeline.small_plant import plant_config, write_json

LIGHT = {
    "trainingConfig": {"threads": 1, "lgbParams": {"numLeaves": 7, "numIterations": 20, "minDataInLeaf": 20}},
    "tuningConfig": {"nTrials": 1, "cvFolds": 2},
    "validationConfig": {"robustnessRows": 200, "latencyRuns": 20},
    "conversionConfig": {"publish": "always", "parityRows": 200},
}
RUN_ALL = f"""
import importlib, sys, time

config, readings, scores, *steps = sys.argv[1:]
for step in steps:
    status = importlib.import_module(f"ml.scripts.{{step}}").main([config])
    if status:
        sys.exit(status)
status = importlib.import_module("ml.predict.__main__").main([config, readings, scores])
time.sleep({REPORTS_AFTER_SECONDS})
sys.exit(status)
"""


def python(program: str, *arguments: object, env: dict[str, str]) -> Heard:
    return run_unplugged([sys.executable, "-c", program, *map(str, arguments)], folder=ML.parent, env=env)


@pytest.mark.parametrize(
    ("program", "peer", "name"),
    [
        ("socket.getaddrinfo('telemetry.example.org', 443)", "198.51.100.53:53", "telemetry.example.org"),
        ("socket.create_connection(('203.0.113.7', 443), 0.2)", "203.0.113.7:443", None),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('203.0.113.7', 9))", "203.0.113.7:9", None),
        ("socket.create_connection(('127.0.0.1', 9))", "127.0.0.1:9", None),
        ("ctypes.CDLL(None).getaddrinfo(b'native.example.org', None, None, ctypes.byref(ctypes.c_void_p()))",
         "198.51.100.53:53", "native.example.org"),
    ],
)  # fmt: skip
def test_the_kernel_hears_what_it_is_there_for(program: str, peer: str, name: str | None) -> None:
    heard = python(
        f"import contextlib, ctypes, socket\nwith contextlib.suppress(OSError): {program}", env={**os.environ}
    )
    assert heard.packets > 0
    assert peer in heard.peers
    assert heard.names == ([name] if name else [])


def test_no_step_reaches_anything(database: Path, readings: Path, root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    file = write_json(tmp_path / "config.json", plant_config(database, **LIGHT))
    env = environment(root, {"HOME": str(home), "ORT_DISABLE_TELEMETRY": "0"})
    env["NUMBA_CACHE_DIR"] = str(private_folder("numba")[0])  # kernels need not be compiled once more
    env.pop("XDG_CACHE_HOME", None)
    heard = python(RUN_ALL, file, readings, tmp_path / "scores.csv", *STEPS, env=env)
    assert heard.ended.returncode == 0, heard.ended.stderr[-2000:]
    assert heard.nothing, heard
    kept = [path.name for path in home.rglob("*") if "microsoft" in str(path).lower() or path.suffix == ".db"]
    assert kept == [], "a library keeps reports for later"
