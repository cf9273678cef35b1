"""Compiled kernels on disk are used only while every kernel's source is what it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

COMPILING = Path(__file__).resolve().parents[3] / "ml/windows/kernels/compiling.py"
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
from kernels.calling import quarter
print(quarter(8.0), sum(quarter.stats.cache_hits.values()))
"""


def call(folder: Path) -> list[str]:
    """A quarter of 8 as a fresh process computes it, and how much compiled code it found."""
    done = subprocess.run([sys.executable, "-c", CALL], cwd=folder, capture_output=True, encoding="utf-8", check=True)
    return done.stdout.split()


def test_a_change_in_a_kernel_that_another_one_calls_is_noticed(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    shutil.copy(COMPILING, kernels)
    (kernels / "called.py").write_text(CALLED)
    (kernels / "calling.py").write_text(CALLING)
    assert call(tmp_path) == ["2.0", "0"]
    assert call(tmp_path) == ["2.0", "1"]
    (kernels / "called.py").write_text(CALLED.replace("2.0", "4.0"))
    assert call(tmp_path) == ["0.5", "0"]


def test_division_by_zero_is_as_in_numpy(tmp_path: Path) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    shutil.copy(COMPILING, kernels)
    (kernels / "called.py").write_text(CALLED.replace("x / 2.0", "1.0 / x"))
    (kernels / "calling.py").write_text(CALLING)
    done = subprocess.run(
        [sys.executable, "-c", "from kernels.called import half; print(half(0.0))"], cwd=tmp_path,
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["inf"]
