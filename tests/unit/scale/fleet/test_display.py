from __future__ import annotations

import io
import json

from ml.scale.fleet.display import Board, Lines, display_for
from ml.scale.fleet.task import Outcome

RUNNING = {"organizationId": "acme", "version": "v1", "step": "train_model", "done": 1, "total": 4, "message": "[b]fit"}
WORKER = {"worker": "tcp://somewhere"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_programs_get_json_lines_with_nothing_of_the_cluster() -> None:
    stream = io.StringIO()
    with display_for(1, stream) as display:
        assert isinstance(display, Lines)
        display.on_progress(RUNNING | WORKER)
        display.on_outcome(Outcome("acme", "v1", "failed", error={"code": "NO_ROWS", "message": "no rows"}))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {"event": "organization", "state": "running"} | RUNNING in events
    failed = {
        "event": "organization",
        "organizationId": "acme",
        "version": "v1",
        "state": "failed",
        "reason": "no rows",
    }
    assert failed in events
    assert [event["done"] for event in events if event["event"] == "progress"] == [0, 1]


def test_people_get_a_table_of_those_at_work() -> None:
    stream = Terminal()
    with display_for(2, stream) as display:
        assert isinstance(display, Board)
        display.on_progress(RUNNING | {"organizationId": "gone"})
        display.on_outcome(Outcome("gone", "v1", "done"))
        display.on_progress(RUNNING)
    last = stream.getvalue()[stream.getvalue().rindex("1 of 2 organisations: done 1") :]
    assert "acme" in last
    assert "25%" in last
    assert "[b]fit" in last
    assert "gone" not in last
