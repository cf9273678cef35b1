"""Configurations are checked one by one in a process of their own: a bad one is told, and none holds up the others."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ml.errors import ConfigError, StoppedError
from ml.scale.fleet import organizations
from ml.scale.fleet.budget import Budget
from ml.scale.fleet.organizations import Organization, checked_organizations, configuration_files
from ml.scale.fleet.task import OrganizationTask, Outcome, work_on

SLOW = "slow.json"
CHECKER = f"""
import sys, time
from pathlib import Path
from ml.scale.fleet import checker
right = checker.checked
def checked(file):
    if file.name == {SLOW!r}:
        sum(range(10**12))  # as a hostile pattern: it never lets go of Python's lock
    if file.name == "killer.json":
        import os; os.kill(os.getpid(), 9)
    return right(file)
checker.checked = checked
sys.exit(checker.main(sys.argv[1]))
"""


def write(folder: Path, name: str, **keys: str) -> None:
    config = {"organizationId": "acme", "schemaConfig": {"continuousColumns": ["heat"]}} | keys
    (folder / name).write_text(json.dumps(config), encoding="utf-8")


def found_in(folder: Path) -> tuple[list[Organization], list[Outcome]]:
    found = list(checked_organizations(configuration_files(folder)))
    return (
        [each for each in found if isinstance(each, Organization)],
        [each for each in found if isinstance(each, Outcome)],
    )


def test_each_file_is_one_organisation_and_a_bad_one_is_told(tmp_path: Path) -> None:
    write(tmp_path, "b.json", organizationId="beta")
    write(tmp_path, "a.json", version="v7")
    write(tmp_path, "c.json", organizationId="../escape")
    write(tmp_path, "notes.txt")
    write(tmp_path, "organization.schema.json")
    (tmp_path / "d.json").write_text('{"a":' * 100_000)
    usable, refused = found_in(tmp_path)
    assert [(each.organization_id, each.version, each.config_file.name) for each in usable] == [
        ("acme", "v7", "a.json"),
        ("beta", "v1", "b.json"),
    ]
    assert [(each.config_file, each.state) for each in refused] == [("c.json", "failed"), ("d.json", "failed")]
    assert [each.error and each.error["code"] for each in refused] == ["ISOLATION_REFUSED", "CONFIG_INVALID"]


def test_the_second_file_about_one_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    write(tmp_path, "b.json", organizationId="ACME")
    write(tmp_path, "c.json", version="v2")
    usable, refused = found_in(tmp_path)
    assert [each.config_file.name for each in usable] == ["a.json", "c.json"]
    assert refused[0].config_file == "b.json"
    assert "a.json" in str(refused[0].error)


def test_a_folder_without_configurations_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no configuration"):
        configuration_files(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        configuration_files(tmp_path / "nowhere")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four configurations, one that never ends and one that kills whoever reads it."""
    command = (sys.executable, "-P", "-c", CHECKER, str(os.getpid()))
    monkeypatch.setattr(organizations._Checker, "command", command)
    monkeypatch.setattr(organizations, "CHECK_SECONDS", (0.2, 0.3))
    write(tmp_path, "killer.json", organizationId="killer")
    write(tmp_path, SLOW, organizationId="slow")
    write(tmp_path, "x.json", organizationId="beta")
    write(tmp_path, "a.json")
    return tmp_path


def test_a_configuration_that_never_ends_is_told_after_all_others_were_checked(hostile: Path) -> None:
    found = list(checked_organizations(configuration_files(hostile)))
    assert [each.organization_id for each in found[:2]] == ["acme", "beta"]
    errors = [each.error for each in found[2:] if isinstance(each, Outcome)]
    assert [error and error["code"] for error in errors] == ["CONFIG_INVALID"] * 2
    assert "cannot be checked within 0.3 s" in str(errors[1])
    assert _checkers() == []


def test_a_request_to_stop_ends_the_checks(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for the fault of the configuration that was being read, and the next organisation started."""
    monkeypatch.setattr(organizations, "CHECK_SECONDS", (60.0, 60.0))

    def stop(*_: object) -> None:
        raise StoppedError("stopped by SIGALRM")

    ask = organizations._Checker.ask

    def ask_and_be_stopped(checker: organizations._Checker, file: Path, seconds: float) -> dict[str, object] | None:
        signal.setitimer(signal.ITIMER_REAL, 0.2 if file.name == SLOW else 0.0)
        return ask(checker, file, seconds)

    monkeypatch.setattr(organizations._Checker, "ask", ask_and_be_stopped)
    write(hostile, "z.json", organizationId="never_checked")
    before = signal.signal(signal.SIGALRM, stop)
    checks: Iterator[Organization | Outcome] = checked_organizations(configuration_files(hostile))
    try:
        with pytest.raises(StoppedError):
            list(checks)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert list(checks) == []
    assert _checkers() == []


def test_a_configuration_that_is_replaced_after_the_check_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    usable, _ = found_in(tmp_path)
    write(tmp_path, "a.json", industry="manufacturing")
    task = OrganizationTask(
        "run",
        "acme",
        "v1",
        str(usable[0].config_file),
        str(tmp_path),
        (),
        Budget(1, 10**9),
        force=False,
        digest=usable[0].digest,
    )
    outcome = work_on(task, lambda _: None)
    assert outcome.state == "failed"
    assert "changed since" in str(outcome.error)


def _checkers() -> list[int]:
    children = psutil.Process().children()
    return [each.pid for each in children if "checker" in " ".join(each.cmdline())]
