"""Commands run where the kernel counts what they send; see `unplugged`.

Where the system permits no namespaces such tests are skipped, unless EAGLE_REQUIRE_NAMESPACES is set, as it is where
submissions are checked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

UNPLUGGED = Path(__file__).with_name("unplugged.py")
REPORTS_AFTER_SECONDS = 15  # onnxruntime reports to its maker 9 s after its first session


@dataclass(frozen=True)
class Heard:
    """What a command tried to reach, and how it ended."""

    packets: int
    names: list[str]
    peers: list[str]
    ended: subprocess.CompletedProcess[str]

    @property
    def nothing(self) -> bool:
        """Whether not one packet was sent."""
        return (self.packets, self.names, self.peers) == (0, [], [])


def run_unplugged(command: Sequence[str | Path], *, folder: Path, env: Mapping[str, str]) -> Heard:
    """Run `command` in namespaces of its own; skips or fails the test where there can be none."""
    unshare = _unshare()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        ended = subprocess.run(
            [*unshare, sys.executable, str(UNPLUGGED), report.name, *map(str, command)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        text = Path(report.name).read_text(encoding="utf-8")
    assert text, ended.stderr
    return Heard(**json.loads(text), ended=ended)


def _unshare() -> list[str]:
    """How namespaces are made here: as they are for the superuser, or with a user namespace around them."""
    reason = "there is no command `unshare`"
    for options in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *options, "--net", "--mount"]
        try:
            tried = subprocess.run([*command, "true"], capture_output=True, encoding="utf-8", check=False)
        except FileNotFoundError:
            break
        if tried.returncode == 0:
            return command
        reason = tried.stderr.strip()
    message = f"network namespaces are not permitted here: {reason}"
    if os.environ.get("EAGLE_REQUIRE_NAMESPACES"):
        pytest.fail(message)
    pytest.skip(message)
