"""The process that runs trials: it ends when nobody needs it any more, and says what went wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml.errors import ClusterError, DataError, MissingArtifactError
from ml.learning.search_study import Proposal
from ml.spread import runner
from ml.spread.children import ChildDiedError, Children
from ml.spread.runner import Share, _outcome, share_of

REPOSITORY = Path(__file__).resolve().parents[3]
REQUEST = {"number": 3, "organization_id": "plant_a", "threads": 1}


@contextmanager
def child(program: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", f"import sys, ml.spread.child as child; {program}; sys.exit(child.main())"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with subprocess.Popen(command, cwd=REPOSITORY, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_ends_when_it_has_had_nothing_to_do_for_long() -> None:
    with child("child.IDLE_SECONDS = 0.1") as process:
        assert process.wait(30) == 0  # its stdin is still open


def test_it_ends_with_the_process_that_started_it_even_in_a_trial() -> None:
    """Closing stdin is what the end of that process looks like."""
    with child("import time; child.Workbench = lambda _: print('begun', flush=True) or time.sleep(600)") as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(REQUEST) + "\n")
        process.stdin.close()
        assert process.wait(30) == 0


def test_what_a_library_prints_is_no_answer_and_an_error_is_one(tmp_path: Path) -> None:
    children = Children()
    request = REQUEST | {"root": str(tmp_path), "job": str(tmp_path / "job.json")}
    with children.borrowed("search", str(tmp_path), 1) as process:
        answer = process.ask(request, lambda _: None)
        assert process.ask(request, lambda _: None) == answer  # it lives on
    assert answer["error"]["code"] == MissingArtifactError.code
    children.end("search")
    with pytest.raises(ChildDiedError), children.borrowed("search", str(tmp_path), 1):
        pass


class Future:
    """What Dask gives back of a finished task."""

    status = "finished"

    def __init__(self, answer: dict[str, object]) -> None:
        self._answer = answer

    def result(self) -> dict[str, object]:
        return self._answer


def test_errors_of_a_worker_are_raised_where_the_search_is() -> None:
    told = DataError("too short", field="dataConfig", hint="more").to_json()
    with pytest.raises(DataError, match="too short") as caught:
        _outcome(3, Future({"error": told}))
    assert (caught.value.field, caught.value.hint) == ("dataConfig", "more")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        _outcome(3, Future({"bug": "ZeroDivisionError"}))
    lost = Future({})
    lost.status = "lost"
    with pytest.raises(ClusterError, match="trial 3"):
        _outcome(3, lost)


@pytest.mark.parametrize(
    ("cpus", "workers", "threads", "share"),
    [([8, 4], 2, None, 4), ([8, 4], 6, None, 2), ([1, 1, 1], 2, None, 1), ([2], 50, None, 1), ([8], 1, 3, 3)],
)
def test_trials_side_by_side_share_the_cpus_of_a_cluster(
    cpus: list[int], workers: int, threads: int | None, share: int
) -> None:
    offered = [{"cpus": float(each), "memory": each * 1e9} for each in cpus]
    assert share_of(offered, workers, threads) == Share(share, share * 1e9)


def test_a_worker_that_does_not_answer_in_time_ends_no_search_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LATE_SECONDS", 0.0)

    class Cluster:
        def submit(self, *_: object, **__: object) -> Cluster:
            return self

        def add_done_callback(self, _: object) -> None:
            """It never is done."""

    silent = runner._Spread(Cluster(), "search", "plant_a", Path("job.json"), Share(1), side_by_side=2)
    proposals = [Proposal(5, {}, {}), Proposal(4, {}, {}), Proposal(3, {}, {})]
    told = list(silent("study", proposals.pop, time.monotonic() + 0.3, lambda _: None))
    assert [(proposal.number, outcome.state) for proposal, outcome in told] == [(3, "LATE"), (4, "LATE")]
    assert math.isnan(told[0][1].score)
