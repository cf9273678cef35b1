"""Compiled kernels on disk are used only while every kernel's source is what it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
COMPILING = REPOSITORY / "ml/windows/kernels/compiling.py"
CALLED = """
from kernels.compiling import compiled

@compiled
def half(x):
    return x / 2.0
"""
CALLING = """
from kernels.called import half
from kernels.compiling import compiled

@compiled
def quarter(x):
    return half(half(x))
"""
CALL = """
import logging
logging.basicConfig()
from kernels.calling import quarter
print(quarter(8.0), sum(quarter.stats.cache_hits.values()))
"""


def call(folder: Path, program: str = CALL, umask: int = 0o022, **environment: str) -> list[str]:
    """A quarter of 8 as a fresh process computes it, and how much compiled code it found."""
    return process(folder, program, umask, **environment).stdout.split()


def process(folder: Path, program: str, umask: int = 0o022, **environment: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "NUMBA_CACHE_DIR": str(folder / "cache")} | environment
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=env, umask=umask, capture_output=True, encoding="utf-8",
        check=True,
    )  # fmt: skip


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A package of two kernels, one of which calls the other."""
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    shutil.copy(COMPILING, kernels)
    (kernels / "called.py").write_text(CALLED)
    (kernels / "calling.py").write_text(CALLING)
    return kernels


def test_a_change_in_a_kernel_that_another_one_calls_is_noticed(kernels: Path, tmp_path: Path) -> None:
    assert call(tmp_path) == ["2.0", "0"]
    assert call(tmp_path) == ["2.0", "1"]
    (kernels / "called.py").write_text(CALLED.replace("2.0", "4.0"))
    assert call(tmp_path) == ["0.5", "0"]


def test_division_by_zero_is_as_in_numpy(kernels: Path, tmp_path: Path) -> None:
    (kernels / "called.py").write_text(CALLED.replace("x / 2.0", "1.0 / x"))
    assert call(tmp_path, "from kernels.called import half; print(half(0.0))") == ["inf"]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("place", [{}, {"NUMBA_CACHE_DIR": ""}])
def test_no_other_user_can_change_what_is_kept_even_with_a_umask_of_000(tmp_path: Path, place: dict[str, str]) -> None:
    """What is kept is unpickled and executed."""
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", **place}
    call(tmp_path, umask=0, **home)
    kept = list(tmp_path.rglob("*.nb[ci]"))
    assert len(kept) == 4
    for file in kept:
        closed = [folder for folder in file.parents if folder.is_relative_to(tmp_path) and folder != tmp_path]
        assert any(folder.stat().st_mode & 0o077 == 0 for folder in closed), file
    assert call(tmp_path, umask=0, **home) == ["2.0", "1"]


@pytest.mark.usefixtures("kernels")
def test_a_folder_that_others_may_write_is_not_used_and_told_once(tmp_path: Path) -> None:
    call(tmp_path)
    (tmp_path / "cache").chmod(0o777)
    told = process(tmp_path, CALL, TMPDIR=str(tmp_path))
    assert told.stdout.split() == ["2.0", "0"]
    assert told.stderr.count("WARNING") == 1
    assert "NUMBA_CACHE_DIR is open to other users (mode 0777, allowed is 0700)" in told.stderr
    assert call(tmp_path, TMPDIR=str(tmp_path)) == ["2.0", "1"], "from the temporary folder"


@pytest.mark.usefixtures("kernels")
def test_where_nothing_can_be_kept_kernels_work_and_one_warning_says_why(tmp_path: Path) -> None:
    (tmp_path / "eagle-ml-0").write_text("in the way")
    (tmp_path / f"eagle-ml-{os.geteuid()}").write_text("in the way")
    told = process(tmp_path, CALL, NUMBA_CACHE_DIR="/dev/null/cache", TMPDIR=str(tmp_path))
    assert told.stdout.split() == ["2.0", "0"]
    assert told.stderr.count("WARNING") == 1
    assert "every process compiles its kernels anew" in told.stderr
    assert "Let NUMBA_CACHE_DIR name a folder" in told.stderr
    assert str(tmp_path) not in told.stderr
