"""The step runner in a process of its own, started as the backend starts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ml.workspace import audit
from ml.workspace.paths import OrganizationPaths

STEP = """
import argparse, ctypes, hashlib, os, sys, time
from ml.errors import DataError, QualityGateError
from ml.workspace.step_runner import run_step

class Result:
    def to_json(self):
        return {"rows": 3}

def work(config, arguments, progress):
    BODY
    return Result()

parser = argparse.ArgumentParser()
parser.add_argument("config")
raise SystemExit(run_step("train_model", parser, work))
"""
PASSWORD = "s3cret-canary"
STUCK_IN_NATIVE_CODE = "hashlib.pbkdf2_hmac('sha256', b'x', b'y', 2**31 - 1)"
KILLED_AFTER_SECONDS = 60  # a safety net for the tests, far above what they wait for


@pytest.fixture
def script(root: Path) -> Any:
    """Write a step with the given body; gives its command line."""
    folder = root.parent
    config = folder / "config.json"
    database = {"database": "scada", "table": "t", "password": PASSWORD}
    document = {"organizationId": "plant_a", "schemaConfig": {"continuousColumns": ["t"]}, "scadaDbConfig": database}
    config.write_text(json.dumps(document))

    def script(body: str) -> list[str]:
        file = folder / "step.py"
        file.write_text(STEP.replace("BODY", body.replace("\n", "\n    ")))
        return [sys.executable, str(file), str(config)]

    return script


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=KILLED_AFTER_SECONDS, check=False, **options)


def test_nothing_but_the_result_reaches_stdout(script: Any) -> None:
    body = """
libc = ctypes.CDLL(None)
print("from python")
sys.__stdout__.write("from the real stdout object")
libc.puts(b"from C, buffered")
os.write(1, b"from a bare descriptor\\n")
os.system("echo from a child process")
"""
    done = run(script(body))
    assert done.returncode == 0
    assert json.loads(done.stdout)["rows"] == 3
    assert done.stdout.count("\n") == 1
    for source in ("python", "the real stdout object", "C, buffered", "a bare descriptor", "a child process"):
        assert f"from {source}" in done.stderr


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("raise DataError('x')", 3, "DATA_INVALID"),
        ("raise QualityGateError('x')", 5, "QUALITY_GATE"),
        ("1 / 0", 70, "INTERNAL"),
        ("sys.exit(0)", 70, "INTERNAL"),
    ],
)
def test_exit_statuses_and_no_traceback(script: Any, body: str, status: int, code: str) -> None:
    done = run(script(body))
    assert done.returncode == status
    assert json.loads(done.stdout)["error"]["code"] == code
    assert "Traceback" not in done.stdout + done.stderr


def test_an_internal_error_names_a_log_that_has_its_id(script: Any, tmp_path: Path) -> None:
    outside = "import argparse; from ml.workspace.step_runner import run_command; "
    outside += "raise SystemExit(run_command('x', argparse.ArgumentParser(), lambda *_: 1 / 0))"
    for command in (script("1 / 0"), [sys.executable, "-c", outside]):
        error = json.loads(run(command, env=os.environ | {"TMPDIR": str(tmp_path)}).stdout)["error"]
        identity = error["message"].split()[-1]
        log = Path(error["hint"].rpartition(" in ")[2])
        assert f"unexpected error {identity}" in log.read_text()
        assert "ZeroDivisionError" in log.read_text()
        assert log.stat().st_mode & 0o077 == 0 or log.name == "train_model.log"


def test_no_traceback_when_there_is_no_log_either(script: Any, root: Path) -> None:
    command = script("pass")
    (root / "artifacts").rmdir()
    (root / "artifacts").touch()
    done = run(command)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (4, "STORAGE_FAILED")
    done = run([*command[:2], "."])
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "CONFIG_INVALID")
    assert "Traceback" not in done.stderr


def test_secrets_stay_inside(script: Any, root: Path) -> None:
    done = run(
        script(
            "import logging; logging.getLogger('ml.x').warning(PW)\nraise ValueError(PW)".replace(
                "PW", "config.scada_db_config.secret(config.organization_id)"
            )
        )
    )
    assert done.returncode == 70
    files = [path.read_text() for path in root.rglob("*") if path.is_file()]
    assert PASSWORD not in done.stdout + done.stderr + "".join(files)
    assert "ValueError: ***" in "".join(files)


def stop(command: list[str], number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start a step that says "ready", and stop it; it must end without being killed."""
    # A shell that runs the tests in the background has switched SIGINT off for all of its children.
    default = lambda: signal.signal(number, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=default)
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=KILLED_AFTER_SECONDS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


# The signal comes as soon as "ready" is read, so what is to be in force by then stands before it.
READY = "print('ready', file=sys.stderr, flush=True)\n"
BODIES = {
    "asleep in Python": READY + "while True: time.sleep(0.01)",
    "in native code": READY + STUCK_IN_NATIVE_CODE,
    "swallowing the error": f"""
while True:
    try:
        {READY}        time.sleep(0.01)
    except Exception: pass""",
    "cleaning up for ever": f"try:\n    {READY}    time.sleep(1000)\nfinally: {STUCK_IN_NATIVE_CODE}",
    "leaving for ever": f"import atexit\natexit.register(lambda: {STUCK_IN_NATIVE_CODE})\n{READY}time.sleep(1000)",
}


CASES = [(where, signal.SIGTERM, 143) for where in BODIES]
CASES += [("asleep in Python", signal.SIGINT, 130), ("in native code", signal.SIGINT, 130)]


@pytest.mark.parametrize(("where", "number", "status"), CASES)
def test_signals_end_a_step_with_one_result(
    script: Any, where: str, number: signal.Signals, status: int, paths: OrganizationPaths
) -> None:
    done = stop(script(BODIES[where]), number)
    assert done.returncode == status
    result = json.loads(done.stdout)
    assert len(result.pop("auditHead")) == 64
    assert result == {
        "status": "FAILED",
        "step": "train_model",
        "error": {
            "code": "STOPPED",
            "message": f"stopped by {number.name}",
            "hint": "run the step again to finish it",
        },
    }
    assert "Traceback" not in done.stderr
    assert audit.verify_chain(paths) >= 1
    if where == "asleep in Python":
        assert audit.records(paths)[-1]["result"] == "failed: STOPPED"


def test_an_address_space_too_small_for_the_libraries_is_told_as_such(script: Any) -> None:
    command = ["sh", "-c", 'ulimit -v 700000; exec "$@"', "sh", *script("import numpy")]
    done = run(command)
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (4, "STORAGE_FAILED")
    assert "limited to 683 MB of address space (ulimit -v)" in error["message"]


def full_pipe() -> tuple[int, int]:
    """A pipe that nobody reads and that is full."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    return reading, writing


FULL = [("stdout",), ("stderr",), ("stdout", "stderr"), ("one pipe for both",)]


@pytest.mark.parametrize("full", FULL, ids=lambda full: " and ".join(full))
@pytest.mark.parametrize("body", ["in Python", "told to stderr", "in native code", "at its end"])
def test_signals_end_a_step_whose_output_nobody_reads(script: Any, full: tuple[str, ...], body: str) -> None:
    bodies = {
        "in Python": "while True: time.sleep(0.01)",
        "told to stderr": "while True: print('x', file=sys.stderr, flush=True)",
        "in native code": STUCK_IN_NATIVE_CODE,
        "at its end": "pass",
    }
    if body == "at its end" and full == ("stderr",):
        pytest.skip("it ends by itself")
    ready, done = os.pipe()
    pipes = [full_pipe() for _ in full]
    free = subprocess.PIPE
    streams = {name: writing for name, (_, writing) in zip(full, pipes, strict=True)}
    both = streams.get("one pipe for both")
    command = script(f"progress(0, 1, 'begins')\nos.write({done}, b'x')\n" + bodies[body])
    process = subprocess.Popen(
        command, stdout=both or streams.get("stdout", free), stderr=both or streams.get("stderr", free), pass_fds=[done]
    )
    try:
        assert os.read(ready, 1) == b"x"
        time.sleep(0.3)
        process.terminate()
        assert process.wait(5) == 143
        if full == ("stderr",):
            assert process.stdout is not None
            assert json.loads(process.stdout.read())["error"]["code"] == "STOPPED"
    finally:
        process.kill()
        process.communicate()
        for descriptor in (ready, done, *(end for pipe in pipes for end in pipe)):
            os.close(descriptor)


def test_a_step_goes_on_while_nobody_reads_stderr(script: Any) -> None:
    reading, writing = full_pipe()
    command = script("for done in range(20_000): progress(done, 20_000, str(done))")
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=writing, text=True, timeout=KILLED_AFTER_SECONDS, check=False
    )
    os.close(reading)
    os.close(writing)
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "SUCCESS")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("command", "step"),
    [
        (["ml/scripts/data_prep.py", "x.json"], "data_prep"),
        (["-m", "ml.predict", "x.json", "a.csv", "b.csv"], "predict"),
        (["-m", "ml.workspace", "list", "plant_a"], "workspace"),
        (["-m", "ml.fleet", "configurations"], "fleet"),
    ],
)
def test_a_signal_while_libraries_are_imported(
    command: list[str], step: str, number: signal.Signals, tmp_path: Path
) -> None:
    # Every program imports argparse; this one is found first.
    (tmp_path / "argparse.py").write_text(
        "import sys, time\nprint('ready', file=sys.stderr, flush=True)\ntime.sleep(60)"
    )
    repository = Path(__file__).parents[3]
    search = os.pathsep.join([str(tmp_path), str(repository)])
    command = [str(repository / part) if part.endswith(".py") else part for part in command]
    done = stop(["env", f"PYTHONPATH={search}", sys.executable, *command], number)
    assert done.returncode == 128 + number
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert (document["step"], document["error"]["code"]) == (step, "STOPPED")


@pytest.mark.parametrize("command", [["ml/scripts/train_model.py", "x.json"], ["-m", "ml.workspace", "list", "x"]])
def test_sigint_is_quiet_before_any_library_is_loaded(command: list[str], tmp_path: Path) -> None:
    # The first module that our own code imports; this one is found first.
    (tmp_path / "pathlib.py").write_text("import os\nos.kill(os.getpid(), 2)")
    repository = Path(__file__).parents[3]
    command = [str(repository / part) if part.endswith(".py") else part for part in command]
    done = run(
        ["env", f"PYTHONPATH={tmp_path}{os.pathsep}{repository}", sys.executable, *command],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_signal_after_the_result_adds_nothing_to_it(script: Any) -> None:
    command = script("import atexit; atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))")
    file = Path(command[1])
    file.write_text("import ml.workspace.process.quiet_start, signal\n" + file.read_text())
    done = run(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
    assert json.loads(done.stdout)["status"] == "SUCCESS"


def test_a_second_signal_does_not_disturb_cleaning_up(script: Any) -> None:
    body = f"""
try:
    {READY}    time.sleep(1000)
finally:
    os.kill(os.getpid(), 15)
    print('clean', file=sys.stderr)"""
    done = stop(script(body), signal.SIGTERM)
    assert done.returncode == 143
    assert "clean\n" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "STOPPED"


def test_an_ignored_signal_stays_ignored(script: Any) -> None:
    command = script("os.kill(os.getpid(), 2)")
    done = run(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "SUCCESS")


@pytest.mark.parametrize("closed", [1, 2])
def test_closed_streams_do_not_change_the_exit_status(script: Any, closed: int) -> None:
    done = run(["sh", "-c", f'exec "$@" {closed}>&-', "sh", *script("print('x'); raise DataError('x')")])
    assert done.returncode == 3
    if closed == 2:
        assert json.loads(done.stdout)["error"]["code"] == "DATA_INVALID"


def test_a_reader_that_has_gone_does_not_change_the_exit_status(script: Any) -> None:
    process = subprocess.Popen(script("time.sleep(0.2)"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(KILLED_AFTER_SECONDS) == 0


def test_the_same_version_twice_at_once_is_refused(script: Any) -> None:
    command = script(READY + "sys.stdin.read()")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        assert first.stderr is not None
        assert first.stderr.readline() == b"ready\n"
        second = run(command, stdin=subprocess.DEVNULL)
        assert (second.returncode, json.loads(second.stdout)["error"]["code"]) == (4, "VERSION_BUSY")
        assert json.loads(first.communicate(timeout=KILLED_AFTER_SECONDS)[0])["status"] == "SUCCESS"


def test_the_step_runner_is_light_to_import() -> None:
    code = "import sys, ml.workspace.step_runner; print(*sys.modules)"
    modules = run([sys.executable, "-c", code]).stdout.split()
    heavy = {"numpy", "pandas", "pyarrow", "rich", "filelock", "asyncio", "sklearn", "lightgbm"}
    assert not heavy & set(modules)
