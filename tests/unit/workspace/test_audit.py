from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ml.errors import IntegrityError, StorageError
from ml.workspace import audit
from ml.workspace.paths import OrganizationPaths


@pytest.fixture
def log(paths: OrganizationPaths) -> OrganizationPaths:
    for number in range(4):
        audit.append(paths, operation="train_model", version=f"v{number}", config_digest="c" * 64, result="succeeded")
    return paths


def test_records_are_chained_and_the_head_is_the_last_line(log: OrganizationPaths) -> None:
    head = audit.append(log, operation="publish", result="started", data_digest="d" * 64)
    assert head == audit.head(log)
    assert audit.verify_chain(log) == 5
    last = audit.records(log)[-1]
    assert (last["operation"], last["version"], last["dataDigest"]) == ("publish", None, "d" * 64)
    assert last["time"].endswith("+00:00")
    assert last["user"]
    assert last["actor"] is None
    assert stat.S_IMODE(log.audit_log.stat().st_mode) == 0o600


def test_an_organisation_without_records(paths: OrganizationPaths) -> None:
    assert audit.verify_chain(paths) == 0
    assert audit.head(paths) == audit.NO_RECORD
    assert not paths.artifacts.exists()


@pytest.fixture
def content(log: OrganizationPaths) -> bytes:
    """A log with every kind of line: started, failed and succeeded, on behalf of somebody, and one that was torn."""
    with audit.session("Schichtführer"), pytest.raises(StorageError), audit.recorded(log, "prune", version="v1"):
        raise StorageError("x")
    log.audit_log.write_bytes(log.audit_log.read_bytes()[:-30])
    audit.append(log, operation="publish", version="v2", result="succeeded", data_digest="d" * 64)
    audit.append(log, operation="rollback", version="v1", result="succeeded")
    return log.audit_log.read_bytes()


def is_noticed(content: bytes) -> bool:
    try:
        audit.checked(content)
    except IntegrityError:
        return True
    return False


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_every_changed_byte_of_a_whole_log_is_noticed(content: bytes, flip: int) -> None:
    assert not is_noticed(content)
    for position, byte in enumerate(content):
        assert is_noticed(content[:position] + bytes([byte ^ flip]) + content[position + 1 :]), position


def test_every_byte_left_out_or_put_in_is_noticed(content: bytes) -> None:
    for position in range(len(content)):
        assert is_noticed(content[:position] + content[position + 1 :]), position
        assert is_noticed(content[:position] + b" " + content[position:]), position


def test_every_line_dropped_doubled_moved_or_added_is_noticed(content: bytes) -> None:
    lines = content.splitlines(keepends=True)
    places = range(len(lines))
    changes = [lines[:place] + lines[place + 1 :] for place in places[:-1]]  # the last one: the test after this
    changes += [[*lines[:place], lines[which], *lines[place:]] for which in places for place in range(len(lines) + 1)]
    for first, second in itertools.combinations(places, 2):
        swapped = list(lines)
        swapped[first], swapped[second] = lines[second], lines[first]
        changes.append(swapped)
    for added in (b"{}\n", b"\n", b"null\n", b"[" * 5000 + b"\n"):
        changes += [[*lines[:place], added, *lines[place:]] for place in range(len(lines) + 1)]
    for changed in changes:
        assert is_noticed(b"".join(changed))


def test_every_torn_tail_is_noticed_and_whole_lines_cut_off_show_in_the_head(
    content: bytes, log: OrganizationPaths
) -> None:
    head = audit.head(log)
    for kept in range(1, len(content)):
        if content[kept - 1 : kept] != b"\n":
            assert is_noticed(content[:kept]), kept
            continue
        log.audit_log.write_bytes(content[:kept])
        assert audit.head(log) != head


def test_the_first_bad_line_is_named(log: OrganizationPaths) -> None:
    content = log.audit_log.read_bytes()
    log.audit_log.write_bytes(content.replace(b'"v1"', b'"v9"'))
    with pytest.raises(IntegrityError, match="line 2 is not a record"):
        audit.verify_chain(log)


@pytest.mark.parametrize("lost", [1, 2, 100])
def test_a_torn_tail_is_noticed_then_closed_by_the_next_record(log: OrganizationPaths, lost: int) -> None:
    content = log.audit_log.read_bytes()
    log.audit_log.write_bytes(content[:-lost])
    with pytest.raises(IntegrityError, match="line 4 is not complete"):
        audit.verify_chain(log)
    audit.append(log, operation="publish", result="succeeded")
    assert audit.records(log)[-1]["afterTornLine"] == hashlib.sha256(content.splitlines()[2]).hexdigest()
    assert log.audit_log.read_bytes().startswith(content[:-lost])
    audit.append(log, operation="publish", result="succeeded")
    assert "afterTornLine" not in audit.records(log)[-1]
    first = content.splitlines()[0]
    log.audit_log.write_bytes(log.audit_log.read_bytes().replace(first, first[:-1]))
    with pytest.raises(IntegrityError, match="line 1 is not a record"):
        audit.verify_chain(log)


def test_a_long_last_line_is_read_whole(paths: OrganizationPaths) -> None:
    for _ in range(2):
        audit.append(paths, operation="x" * 10_000, result="succeeded")
    assert audit.verify_chain(paths) == 2


def test_a_full_disk_leaves_the_log_as_it_was(log: OrganizationPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    content = log.audit_log.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(StorageError, match="the disk is full"):
        audit.append(log, operation="publish", result="succeeded")
    monkeypatch.undo()
    assert log.audit_log.read_bytes() == content


def test_many_writers_make_one_chain(paths: OrganizationPaths) -> None:
    def write() -> None:
        for _ in range(3):
            audit.append(paths, operation="train_model", result="succeeded")

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert audit.verify_chain(paths) == 24


def test_a_record_names_on_whose_behalf_it_was_written(paths: OrganizationPaths) -> None:
    with audit.session("shift lead") as session:
        audit.append(paths, operation="publish", result="succeeded")
    assert audit.records(paths)[0]["actor"] == "shift lead"
    assert session.head == audit.head(paths)
    audit.append(paths, operation="publish", result="succeeded")
    assert audit.records(paths)[1]["actor"] is None


def test_an_operation_is_recorded_before_and_after(paths: OrganizationPaths) -> None:
    with audit.recorded(paths, "prune", version="v1"):
        assert [record["result"] for record in audit.records(paths)] == ["started"]
    with pytest.raises(StorageError), audit.recorded(paths, "prune", version="v2"):
        raise StorageError("x")
    results = [(record["version"], record["result"]) for record in audit.records(paths)]
    assert results == [("v1", "started"), ("v1", "succeeded"), ("v2", "started"), ("v2", "failed: STORAGE_FAILED")]


def test_fifty_writers_in_processes_of_their_own_make_one_chain(paths: OrganizationPaths) -> None:
    code = (
        "import sys; from ml.workspace import audit; from ml.workspace.paths import OrganizationPaths\n"
        "import os; sys.stdin.read()\n"
        "for _ in range(50):\n"
        "    if os.fork() == 0:\n"
        "        for _ in range(4): audit.append(OrganizationPaths('plant_a'), operation='x', result='succeeded')\n"
        "        os._exit(0)\n"
        "assert [os.wait()[1] for _ in range(50)] == [0] * 50"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], input="", check=False, text=True)
    assert done.returncode == 0
    assert audit.verify_chain(paths) == 200


def test_names_from_other_alphabets_survive(paths: OrganizationPaths) -> None:
    audit.append(paths, operation="prüfen\u2028", result="succeeded")
    assert audit.records(paths)[0]["operation"] == "prüfen\u2028"
    assert json.loads(paths.audit_log.read_bytes())["previous"] == audit.NO_RECORD
