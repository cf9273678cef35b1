"""Two processes and one lock: who is refused at once, who waits, and how long."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ml.errors import BusyError
from ml.workspace.locks import audit_lock, organization_lock, slices_lock, version_lock
from ml.workspace.paths import OrganizationPaths
from tests.unit.workspace.lock_holder import hold


def test_the_same_version_twice_at_once_is_refused(paths: OrganizationPaths) -> None:
    with hold(paths, "version_lock(paths, 'v1')"):
        with pytest.raises(BusyError, match='version "v1" is being written'), version_lock(paths, "v1"):
            pass
        with version_lock(paths, "v2"), version_lock(OrganizationPaths("plant_b"), "v1"):
            pass
    with version_lock(paths, "v1"), version_lock(paths, "v1"):
        pass


def test_the_folder_that_output_path_names_is_locked_as_well(paths: OrganizationPaths) -> None:
    elsewhere = OrganizationPaths("plant_a", output_path=str(paths.artifacts / "v1"))
    with hold(paths, "version_lock(paths, 'v1')"), version_lock(paths, "v2"):
        with (
            pytest.raises(BusyError, match='outputPath "v1" is being written') as refused,
            version_lock(elsewhere, "v3"),
        ):
            pass
        assert refused.value.hint == "wait until it has ended, or leave outputPath out"
    with version_lock(elsewhere, "v1"), version_lock(paths, "v1"):  # the default folder, named
        pass
    with hold(paths, f"version_lock(OrganizationPaths('plant_a', output_path={elsewhere.output_path!r}), 'v2')"):
        for version in ("v1", "v2"):
            with pytest.raises(BusyError), version_lock(paths, version):
                pass


@pytest.mark.parametrize(
    ("name", "lock", "limit", "what"),
    [
        ("organization_lock", organization_lock, "SHORT_WORK_SECONDS", "this organisation's models are"),
        ("audit_lock", audit_lock, "SHORT_WORK_SECONDS", "this organisation's audit log is"),
        ("slices_lock", slices_lock, "FETCHING_SECONDS", "what is fetched of this organisation's database is"),
    ],
)
def test_the_others_are_waited_for_and_not_for_ever(
    paths: OrganizationPaths, monkeypatch: pytest.MonkeyPatch, name: str, lock: Any, limit: str, what: str
) -> None:
    with hold(paths, f"{name}(paths)") as holder:
        threading.Timer(0.1, holder.stdin.close).start()  # type: ignore[union-attr]
        with lock(paths):
            pass
    monkeypatch.setattr(f"ml.workspace.locks.{limit}", 0.1)
    with hold(paths, f"{name}(paths)"), pytest.raises(BusyError) as refused, lock(paths):
        pass
    assert refused.value.message == f"{what} being written by another process, which was waited for 0.1 s"
    assert refused.value.hint == "wait until it has ended; if it hangs, end it"
