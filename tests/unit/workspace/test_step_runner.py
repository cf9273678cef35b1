"""The step runner inside the test process: what it decides. What it does to a process is in test_step_process.py."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml.config import OrganizationConfig
from ml.errors import ERRORS, DataError, EagleError, InternalError, StoppedError
from ml.findings import Finding
from ml.workspace import audit
from ml.workspace.paths import OrganizationPaths
from ml.workspace.process.progress import Progress
from ml.workspace.step_runner import run_step

PASSWORD = 'p@ss w"ö/rd'


class Result:
    def __init__(self, **data: Any) -> None:
        self._data = data

    def to_json(self) -> dict[str, Any]:
        return self._data


Work = Callable[[OrganizationConfig, argparse.Namespace, Progress], Result]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="step.py")
    parser.add_argument("config")
    parser.add_argument("data", nargs="?")
    return parser


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    database = {"driver": "postgresql", "database": "scada", "table": "t", "password": PASSWORD}
    schema = {"continuousColumns": ["temperature"]}
    document = {"organizationId": "plant_a", "version": "v1", "schemaConfig": schema, "scadaDbConfig": database}
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def run(
    root: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any], str, str]]:
    """Run a step; gives the exit status, the result, stderr and the log."""

    def run(work: Work, *arguments: str) -> tuple[int, dict[str, Any], str, str]:
        status = run_step("data_prep", parser(), work, [str(config), *arguments])
        streams = capsys.readouterr()
        log = root / "artifacts/plant_a/v1/training_logs/data_prep.log"
        return status, json.loads(streams.out), streams.err, log.read_text() if log.exists() else ""

    return run


def raising(error: BaseException) -> Work:
    def work(*_: object) -> Result:
        raise error

    return work


def test_what_a_step_finds_is_a_warning_of_its_result(run: Any) -> None:
    finding = Finding("ODD", "The step saw something odd.").to_json()
    _, result, _, _ = run(lambda *_: Result(warnings=[finding]), "rows.csv")
    assert result["warnings"] == [finding]


def test_a_failed_step_tells_what_was_found_until_then(run: Any, config: Path) -> None:
    request = json.loads(config.read_text())
    config.write_text(json.dumps({**request, "trainingConfig": {"lgbParams": {"reg_alpha": 0.5}}}))
    finding = Finding("ODD", "The step saw something odd.").to_json()
    _, result, _, _ = run(raising(DataError("no", partial={"warnings": [finding]})))
    assert [entry["code"] for entry in result["warnings"]] == ["KEY_MAPPED", "ODD"]


def test_a_successful_step(run: Any, paths: OrganizationPaths) -> None:
    def work(config: OrganizationConfig, arguments: argparse.Namespace, progress: Progress) -> Result:
        print("not for stdout")
        progress.update(1, 1)
        assert config.organization_id == "plant_a"
        return Result(rows=3, data=arguments.data, score=float("nan"), dataDigest="d" * 64)

    status, result, stderr, log = run(work, "rows.csv")
    head = result.pop("auditHead")
    assert (status, result) == (
        0,
        {
            "status": "SUCCESS",
            "step": "data_prep",
            "organizationId": "plant_a",
            "version": "v1",
            "rows": 3,
            "data": "rows.csv",
            "score": None,
            "dataDigest": "d" * 64,
            "warnings": [],
        },
    )
    assert "not for stdout" in stderr
    assert '"event": "progress"' in stderr
    assert "data_prep is done" in log
    started, ended = audit.records(paths)
    assert (started["operation"], started["result"], ended["result"]) == ("data_prep", "started", "succeeded")
    assert (ended["dataDigest"], len(ended["configDigest"])) == ("d" * 64, 64)
    assert head == audit.head(paths)
    assert oct(paths.logs("v1").joinpath("data_prep.log").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind is not StoppedError])
def test_every_error_has_its_exit_status(run: Any, paths: OrganizationPaths, kind: type[EagleError]) -> None:
    status, result, stderr, log = run(raising(kind("no rows", field="dataRange", hint="look")))
    assert status == kind.exit_code
    error = {"code": kind.code, "message": "no rows", "field": "dataRange", "hint": "look"}
    head = audit.head(paths)
    assert result == {"status": "FAILED", "step": "data_prep", "error": error, "auditHead": head}
    assert "Traceback" in log
    assert "Traceback" not in stderr
    assert json.loads(stderr.splitlines()[-1]) == {"event": "error", **error}
    assert audit.records(paths)[-1]["result"] == f"failed: {kind.code}"


def test_an_unexpected_error_shows_an_id_and_logs_the_traceback(run: Any) -> None:
    status, result, stderr, log = run(raising(ZeroDivisionError("internal detail")))
    assert status == InternalError.exit_code
    identity = result["error"]["message"].split()[-1]
    assert len(identity) == 8
    assert identity in log
    assert "ZeroDivisionError: internal detail" in log
    assert "Traceback" not in stderr
    assert "internal detail" not in stderr + json.dumps(result)
    warning, error = map(json.loads, stderr.splitlines()[-2:])
    assert warning == {"event": "warning", "message": f"unexpected error {identity}"}
    assert error == {"event": "error", **result["error"]}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "STORAGE_FAILED"),
        (OSError(errno.ENOSPC, "No space left on device", "/somewhere/else/data"), "STORAGE_FAILED"),
        (OSError(errno.ENOENT, "No such file"), "INTERNAL"),
        (SystemExit(0), "INTERNAL"),
        (KeyboardInterrupt(), "STOPPED"),
    ],
)
def test_what_python_raises_becomes_an_error_of_ours(run: Any, error: BaseException, code: str) -> None:
    status, result, _, _ = run(raising(error))
    assert result["error"]["code"] == code
    assert status == {"STORAGE_FAILED": 4, "INTERNAL": 70, "STOPPED": 130}[code]
    assert "/somewhere" not in json.dumps(result)


def test_an_interruption_that_a_library_has_wrapped_is_still_one(run: Any) -> None:
    error = RuntimeError("callback failed")
    error.__cause__ = StoppedError("stopped by SIGTERM")
    _, result, stderr, _ = run(raising(error))
    assert result["error"]["code"] == "STOPPED"
    assert "unexpected" not in stderr


def test_a_bad_config_is_reported_before_anything_is_created(run: Any, root: Path, config: Path) -> None:
    for content, status in (("{", 2), ('{"organizationId": "../x", "schemaConfig": {}}', 6)):
        config.write_text(content)
        assert run(raising(AssertionError()))[0] == status
    assert not any((root / "artifacts").iterdir())
    assert not any((root / "models").iterdir())


def test_a_bad_command_line(run: Any) -> None:
    status, result, stderr, _ = run(raising(AssertionError()), "a", "--colour", "red")
    assert (status, result["error"]["code"]) == (2, "USAGE")
    assert "unrecognized arguments: --colour" in result["error"]["message"]
    assert json.loads(stderr) == {"event": "error", **result["error"]}


def test_help_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_step("data_prep", parser(), raising(AssertionError()), ["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: step.py")


def test_no_secret_gets_out(run: Any, paths: OrganizationPaths) -> None:
    def work(*_: object) -> Result:
        logging.getLogger("ml.ingest").info("connecting as reader:%s", PASSWORD)
        logging.getLogger("ml.ingest").warning("postgresql://reader:p%40ss%20w%22%C3%B6%2Frd@host")
        warnings.warn(f"weak password {PASSWORD}", UserWarning, stacklevel=1)
        try:
            raise ValueError(PASSWORD)
        except ValueError as error:
            raise DataError(f"cannot connect with {PASSWORD!r}", hint=json.dumps(PASSWORD)) from error

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        status, result, stderr, log = run(work)
    everything = json.dumps(result) + stderr + log + paths.audit_log.read_text()
    assert status == 3
    assert result["error"]["message"] == "cannot connect with '***'"
    assert "reader:***@host" in log
    assert "weak password ***" in log
    assert "weak password ***" in stderr
    for part in ("p@ss", "p%40ss", "rd'", "w%22"):
        assert part not in everything


def test_a_variable_that_is_not_set_matters_only_to_who_needs_it(run: Any, config: Path) -> None:
    document = json.loads(config.read_text())
    document["scadaDbConfig"] = {"database": "scada", "table": "t", "passwordEnv": "NOT_SET"}
    config.write_text(json.dumps(document))
    assert run(lambda *_: Result())[0] == 0


def test_what_libraries_write_is_not_for_others_to_change_even_with_a_umask_of_000(run: Any, tmp_path: Path) -> None:
    def work(*_: Any) -> Result:
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "written").write_text("x")
        return Result()

    before = os.umask(0)
    try:
        assert run(work)[0] == 0
    finally:
        assert os.umask(before) == 0, "the umask is put back"
    assert (tmp_path / "made").stat().st_mode & 0o022 == 0
    assert (tmp_path / "made" / "written").stat().st_mode & 0o022 == 0


def test_logging_is_put_back(run: Any) -> None:
    logger, show = logging.getLogger("ml"), warnings.showwarning
    before = (list(logger.handlers), logger.level)
    run(lambda *_: Result())
    assert (list(logger.handlers), logger.level) == before
    assert warnings.showwarning is show


def test_the_log_grows_from_run_to_run(run: Any) -> None:
    run(lambda *_: Result())
    log = run(lambda *_: Result())[3]
    assert log.count("data_prep is done") == 2
    assert log.splitlines()[0][10] == "T"
    assert log.splitlines()[0].split()[0].endswith("Z")


def test_outside_the_main_thread_signals_are_left_alone(run: Any) -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run(lambda *_: Result())[0]))
    thread.start()
    thread.join()
    assert results == [0]


def test_a_result_that_json_has_no_type_for_still_arrives(run: Any) -> None:
    status, result, _, _ = run(lambda *_: Result(path=Path("a/b"), odd={1, 2} - {2}, tuple=(1, 2)))
    assert (status, result["path"], result["odd"], result["tuple"]) == (0, "a/b", "{1}", [1, 2])
