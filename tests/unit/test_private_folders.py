"""Which folders are fit to keep what is executed later."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ml import private_folders
from ml.private_folders import private_folder, settle_matplotlib

NOBODY = 65_534


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place lies in the test's own folder."""
    private_folder.cache_clear()
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(private_folders.tempfile, "tempdir", str(tmp_path))
    yield
    private_folder.cache_clear()


def temporary(tmp_path: Path) -> Path:
    return tmp_path / f"eagle-ml-{os.geteuid()}" / "numba"


def test_it_is_made_in_the_users_cache_and_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        folder, reason = private_folder("numba")
    finally:
        os.umask(before)
    assert (folder, reason) == (tmp_path / "home/.cache/eagle-ml/numba", "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    private_folder.cache_clear()
    assert private_folder("numba") == (folder, "")


def test_the_operator_may_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    assert private_folder("numba") == (tmp_path / "named", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    assert private_folder("matplotlib") == (tmp_path / "kept/eagle-ml/matplotlib", "")


def spoil_mode(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o720)


def spoil_readable(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o755)


def spoil_link(folder: Path) -> None:
    folder.with_name("elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")


def spoil_file(folder: Path) -> None:
    folder.write_text("in the way")


def spoil_parent(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.parent.chmod(0o777)


def spoil_owner(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)


def spoil_owner_above(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder.parent, NOBODY, NOBODY)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_mode, "is open to other users (mode 0720"),
        (spoil_readable, "is open to other users (mode 0755"),
        (spoil_link, "is a link or no folder"),
        (spoil_file, "(file exists)"),
        (spoil_parent, "lies in a folder that another user owns or may write"),
        (spoil_owner, "belongs to another user"),
        (spoil_owner_above, "lies in a folder that another user owns or may write"),
    ],
)
def test_a_folder_that_others_could_have_changed_is_passed_over(
    spoil: Callable[[Path], None], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "owner" in spoil.__name__ and os.geteuid() != 0:
        pytest.skip("only the superuser gives folders away")
    named = tmp_path / "given" / "cache"
    named.parent.mkdir(mode=0o755)
    spoil(named)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(named))
    folder, why = private_folder("numba")
    assert folder == temporary(tmp_path)
    assert reason in why
    assert why.startswith("NUMBA_CACHE_DIR ")
    assert str(tmp_path) not in why


def test_a_sticky_folder_such_as_tmp_may_be_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "tmp" / "cache"))
    assert private_folder("numba") == (tmp_path / "tmp" / "cache", "")


@pytest.mark.parametrize("value", ["/dev/null/x", "relative", "/proc/none", "\0"])
def test_a_place_that_cannot_be_written_is_passed_over(
    value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(os.environ, "NUMBA_CACHE_DIR", value) if "\0" not in value else monkeypatch.setenv(
        "HOME", "/dev/null"
    )
    folder, why = private_folder("numba")
    assert folder == temporary(tmp_path)
    assert why
    assert not Path("relative").exists()


def test_there_may_be_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/dev/null/x")
    temporary(tmp_path).parent.write_text("in the way")
    folder, why = private_folder("numba")
    assert folder is None
    assert "the temporary folder" in why


def test_matplotlib_is_told_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLCONFIGDIR", "/dev/null/x")
    settle_matplotlib()
    assert os.environ["MPLCONFIGDIR"] == str(tmp_path / f"eagle-ml-{os.geteuid()}" / "matplotlib")
