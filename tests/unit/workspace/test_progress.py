from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from ml.workspace.process.progress import Progress


class Lines(io.StringIO):
    """A stream that lets a test wait for a number of lines."""

    def __init__(self) -> None:
        super().__init__()
        self.news = threading.Condition()

    def write(self, text: str) -> int:
        with self.news:
            written = super().write(text)
            self.news.notify_all()
        return written

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        with self.news:
            assert self.news.wait_for(lambda: len(self.events()) >= count, timeout=20)
        return self.events()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_first_last_and_every_new_message_are_told() -> None:
    lines = Lines()
    progress = Progress("train_model", lines, interval=1000)
    for done in range(100):
        progress.update(done, 100, "growing" if done < 50 else "pruning")
    progress(100, 100, "pruning")
    told = [(event["done"], event["message"]) for event in lines.events()]
    assert told == [(0, "growing"), (50, "pruning"), (100, "pruning")]
    assert lines.events()[0] == {
        "event": "progress",
        "step": "train_model",
        "done": 0,
        "total": 100,
        "etaSeconds": None,
        "message": "growing",
    }


def test_the_end_is_told_once() -> None:
    lines = Lines()
    progress = Progress("data_prep", lines, interval=1000)
    for _ in range(5):
        progress.update(3, 3)
    assert len(lines.events()) == 1
    assert "message" not in lines.events()[0]


def test_silence_is_broken_by_the_last_state_until_closed() -> None:
    lines = Lines()
    with Progress("data_prep", lines, interval=0.02) as progress:
        assert lines.wait_for(2)[0]["done"] == 0
        progress.update(5, 10, "reading")
        progress.update(6, 10, "reading")
        count = len(lines.events())
        assert lines.wait_for(count + 3)[-1]["done"] == 6
    assert not any(thread.name == "progress" for thread in threading.enumerate())


def test_the_remaining_time_is_estimated_from_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = Lines()
    progress = Progress("train_model", lines, interval=0.001)
    progress.update(10, 110)
    now[0] += 10
    progress.update(30, 110)  # 20 units in 10 s, 80 to go
    progress.update(0, 50, "next phase")
    assert [event["etaSeconds"] for event in lines.events()] == [None, 40, None]


def test_nobody_reading_does_not_stop_the_step() -> None:
    lines = Lines()
    lines.close()
    with Progress("data_prep", lines) as progress:
        progress.update(1, 2)


def test_a_terminal_gets_a_bar_not_json() -> None:
    terminal = Terminal()
    with Progress("train_[model]", terminal) as progress:
        progress.update(1, 2, "[red]fold 1")
        progress.update(2, 2, "[red]fold 2")
    shown = terminal.getvalue()
    assert '"event"' not in shown
    assert "train_[model]" in shown
    assert "[red]fold 2" in shown
    assert "100" not in shown
    assert shown.endswith("\x1b[2K")  # the bar is gone, and the result stands where it was


def test_work_of_several_kinds_has_no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = Lines()
    progress = Progress("validate_model", lines, interval=0.001)
    for done, message in enumerate(["row 1 of 2,000", "row 900 of 2,000", "robustness", "robustness"]):
        progress.update(done, 4, message)
        now[0] += 10
    assert [event["etaSeconds"] for event in lines.events()] == [None, 30, None, None]
