"""Stops a step while it is where a test wants it to be, and sees how long it takes to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.pipeline.backend import KILLED_AFTER_SECONDS, ML, Json

PROMISED_SECONDS = 2.0
_NAP_SECONDS = 1.5
_WORK_SECONDS = 0.2
_POLL_SECONDS = 0.01
_CONTROL = f"""
import sys, time
print("ready", flush=True)
sys.stdin.read()
began, worked = time.monotonic(), time.process_time()
time.sleep({_NAP_SECONDS})
while time.process_time() - worked < {_WORK_SECONDS}:
    pass
print(time.monotonic() - began)
"""

Ready = Callable[[subprocess.Popen[bytes], str], bool]
"""Whether a process, of which stderr has this text so far, is where it is to be stopped."""


def said(words: str) -> Ready:
    """The process has written `words` to stderr."""
    return lambda _, stderr: words in stderr


def stopped(command: list[str], environment: Mapping[str, str], ready: Ready, number: signal.Signals) -> Json:
    """Run Python with `command`, send it the signal once it is `ready`, and give the document on stdout.

    Asserts the exit status, one document with STOPPED, no traceback, and that it has ended in time: in two seconds, and
    as much later as another process that does nothing but sleep and work a little. A machine that is too busy to wake
    who sleeps is not the step's fault, and the step's own watch sleeps as well.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.NamedTemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ML,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            # a shell that runs the tests in the background has switched SIGINT off for all of its children
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
        watchdog = threading.Timer(KILLED_AFTER_SECONDS, process.kill)
        watchdog.start()
        try:
            control = _Control()
            while not ready(process, told := Path(stderr.name).read_text()):
                assert process.poll() is None, told
                time.sleep(_POLL_SECONDS)
            control.begin()
            sent = time.monotonic()
            process.send_signal(number)
            process.wait()
            seconds = time.monotonic() - sent
            late = control.lateness()
        finally:
            process.kill()
            process.wait()
            watchdog.cancel()
        stdout.seek(0)
        text, told = stdout.read().decode(), Path(stderr.name).read_text()
    document: Json = json.loads(text)
    assert text.count("\n") == 1
    assert (process.returncode, document["error"]["code"]) == (128 + number, "STOPPED"), (document, told)
    assert number.name in document["error"]["message"]
    assert "Traceback" not in text + told
    assert seconds < PROMISED_SECONDS + late, (seconds, late)
    return document


class _Control:
    """A process that, from the signal on, sleeps and works about as long as a step that is stopped may."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _CONTROL], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def begin(self) -> None:
        """Start, at the moment of the signal."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def lateness(self) -> float:
        """How many seconds longer than on an idle machine it took, by its own clock; it has ended then."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            took = float(output.read())
        self._process.wait()
        return max(0.0, took - _NAP_SECONDS - _WORK_SECONDS)
