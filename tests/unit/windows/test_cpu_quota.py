from __future__ import annotations

from pathlib import Path

import pytest

from ml.windows import parallel
from ml.windows.parallel import cpu_quota


def groups(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, content in files.items():
        file = folder / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    (folder / "membership").write_text(membership)
    return folder / "groups", folder / "membership"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        (
            "0::/pod/box\n",
            {"cpu.max": "max 100000", "pod/cpu.max": "300000 100000", "pod/box/cpu.max": "max 100000"},
            3,
        ),
        ("0::/pod/box\n", {"pod/cpu.max": "800000 100000", "pod/box/cpu.max": "400000 100000"}, 4),
        ("4:cpu,cpuacct:/a\n0::/\n", {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"}, 2),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("5:cpuset:/a\n", {"cpu/a/cpu.cfs_quota_us": "200000", "cpu/a/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_the_smallest_quota_of_the_groups_around_counts(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int | None
) -> None:
    assert cpu_quota(*groups(tmp_path, membership, files)) == expected


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "groups", tmp_path / "none") is None


def test_the_quota_bounds_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(parallel, "cpu_quota", lambda: 1)
    assert parallel.available_cpus() == 1
