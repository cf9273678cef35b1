"""Nothing that comes from data steers a terminal or forges a line of a log."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.scale.fleet.display import Board
from ml.workspace.logs import step_log, warnings_on_stderr
from ml.workspace.process.printable import printable
from ml.workspace.process.progress import Progress
from ml.workspace.process.redaction import Redactor
from ml.workspace.process.result_stream import ResultStream

HOSTILE = "\x1b]0;pwned\x07\x1b[2J\x9b31m\r\u202e\u2028\x7f"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\x9b31m\r\u202e\u2028\x7f"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(st.text())
def test_what_is_left_can_be_printed(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()


def test_what_people_write_stays() -> None:
    for text in ("", "Pumpe 7 °C µs ✓ 泵 é", r"C:\new", "a b"):
        assert printable(text) == text
    assert printable("two\nlines\r\n", keep="\n") == "two\nlines\\r\n"
    assert printable(HOSTILE) == SHOWN


def test_progress_on_a_terminal() -> None:
    stream = Terminal()
    with Progress("data_prep", stream) as progress:
        progress.update(1, 2, f"reading {HOSTILE}")
    shown = stream.getvalue()
    assert "]0;pwned" in shown
    assert not any(raw in shown for raw in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\u202e"))


def test_the_table_of_a_fleet() -> None:
    stream = Terminal()
    event = {"organizationId": "acme", "version": "v1", "step": "data_prep", "done": 1, "total": 4, "message": HOSTILE}
    with Board(1, stream) as board:
        board.on_progress(event)
    assert not any(raw in stream.getvalue() for raw in ("\x1b]", "\x07", "\x9b", "\u202e"))


def test_warnings_on_a_terminal_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    file, log = tmp_path / "step.log", logging.getLogger("ml.ingest")
    secret = "pass\x1bword"
    redactor = Redactor()
    redactor.hide(secret)
    with warnings_on_stderr(redactor), step_log(file, redactor):
        log.warning(
            "table %s%s", HOSTILE, "\n2026-01-01T00:00:00.000Z INFO ml.workspace.step_runner: data_prep is done"
        )
        log.warning("refused: %s", secret)
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            log.exception("it failed")
    shown, written = sys.stderr.getvalue(), file.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert SHOWN in shown
    assert written.count(SHOWN) == 2
    for text in (shown, written):
        assert "\x1b" not in text
        assert not any(line.startswith("2026-01-01") for line in text.splitlines())
        assert "word" not in text
    assert "\nTraceback (most recent call last):\n" in written


def test_a_text_for_people_in_place_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.openpty()
    kept = os.dup(1)
    monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))
    try:
        os.dup2(writer, 1)
        with ResultStream() as stdout:
            stdout.write({}, 0, f"v1 {HOSTILE}\nv2\n")
    finally:
        os.dup2(kept, 1)
        for descriptor in (kept, writer):
            os.close(descriptor)
    shown = os.read(reader, 10_000)
    os.close(reader)
    assert shown.decode().splitlines() == [f"v1 {SHOWN}", "v2"]
