from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml.errors import IntegrityError, MissingArtifactError, StorageError
from ml.workspace import files
from ml.workspace.temp_files import clear_leftovers, temporary_path


class Killed(BaseException):
    pass


@contextmanager
def staged_directory(path: Path) -> Iterator[Path]:
    """A folder that is installed as a model version is."""
    with files.scratch_directory(path.parent, path.name) as staged:
        yield staged
        files.install_directory(staged, path)


def test_a_file_is_written_whole_private_and_without_remains(tmp_path: Path) -> None:
    target = tmp_path / "new" / "metrics.json"
    files.write_json(target, {"auc": 0.5, "undefined": float("nan"), "where": Path("a/b"), "list": (1, float("inf"))})
    assert json.loads(target.read_text()) == {"auc": 0.5, "undefined": None, "where": "a/b", "list": [1, None]}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]


def test_numpy_values_become_json() -> None:
    import numpy as np

    value = {"a": np.float32(0.5), "b": np.int64(3), "c": np.array([1.0, np.nan]), "d": np.str_("x"), "e": np.bool_(1)}
    assert json.dumps(files.plain(value)) == '{"a": 0.5, "b": 3, "c": [1.0, null], "d": "x", "e": true}'


@pytest.mark.parametrize("failure", [ValueError("x"), Killed()])
def test_a_failure_inside_leaves_the_old_file(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "model.txt"
    files.write_text(target, "old")

    def write_half() -> None:
        with files.staged_file(target) as temporary:
            temporary.write_text("half")
            assert target.read_text() == "old"
            raise failure

    with pytest.raises(type(failure)):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_staged_file_keeps_the_suffix_and_its_mode_when_a_library_replaces_it(tmp_path: Path) -> None:
    target = tmp_path / "plot.png"
    with files.staged_file(target) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent.samefile(tmp_path)
        temporary.unlink()
        temporary.touch(mode=0o644)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "permission denied"), (errno.EROFS, "read-only")],
)
def test_disk_errors_in_plain_words(tmp_path: Path, number: int, words: str) -> None:
    message = f"model.txt cannot be written: .*{words}"
    with pytest.raises(StorageError, match=message), files.staged_file(tmp_path / "model.txt"):
        raise OSError(number, os.strerror(number))
    assert list(tmp_path.iterdir()) == []


def test_other_errors_of_the_block_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.staged_file(tmp_path / "model.txt"):
        (tmp_path / "source").read_text()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_error_of_our_own_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    target = tmp_path / "model.txt"
    files.write_text(target, "old")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), refuse)
    with pytest.raises(StorageError, match="the disk reports an error"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("")
    with pytest.raises(StorageError, match="v1 cannot be written"):
        files.make_folder(tmp_path / "v1")


def test_a_staged_directory_replaces_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "plots"
    for round_number in ("1", "2"):
        with staged_directory(target) as folder:
            (folder / round_number).touch()
    assert [entry.name for entry in target.iterdir()] == ["2"]
    with pytest.raises(Killed), staged_directory(target):
        raise Killed
    assert [entry.name for entry in target.iterdir()] == ["2"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_directory_that_cannot_be_renamed_in_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "plots"
    with staged_directory(target) as folder:
        (folder / "1").touch()
    rename = Path.rename

    def refuse_second(self: Path, new: Path) -> Path:
        if self.name.startswith(".staging"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, new)

    monkeypatch.setattr(Path, "rename", refuse_second)
    with pytest.raises(StorageError), staged_directory(target):
        pass
    assert [entry.name for entry in target.iterdir()] == ["1"]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_json_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metadata.json").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"the metadata \(metadata.json\)"):
        files.read_json(tmp_path / "metadata.json", "the metadata")


def test_a_missing_json_file(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="does not exist"):
        files.read_json(tmp_path / "metadata.json", "the metadata")


def remains_of_a_killed_process(target: Path, kind: str, make: str) -> Path:
    """A temporary entry of another process, which was killed while it worked on it."""
    code = f"""
import os, sys
from pathlib import Path
from ml.workspace.temp_files import temporary_path
with temporary_path(Path(sys.argv[1]), sys.argv[2]) as path:
    path.{make}()
    print(path, flush=True)
    os._exit(9)
"""
    command = [sys.executable, "-c", code, str(target), kind]
    return Path(subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip())


def test_remains_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    dead = remains_of_a_killed_process(tmp_path / "v1", "staging", "mkdir")
    (dead / "model.onnx").touch()
    (tmp_path / "v2").mkdir()
    remains_of_a_killed_process(tmp_path / "v2", "old", "mkdir")
    remains_of_a_killed_process(tmp_path / "v3", "old", "mkdir")
    assert len(list(tmp_path.glob(".alive-*"))) == 3
    with temporary_path(tmp_path / "x.json", "staging") as alive:
        alive.touch()
        clear_leftovers(tmp_path)
        expected = {alive.name, "v2", "v3", alive.name.replace("staging", "alive").removesuffix("-x.json")}
        assert {entry.name for entry in tmp_path.iterdir()} == expected
    clear_leftovers(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"v2", "v3"}


IN_ANOTHER_CONTAINER = """
import sys
from pathlib import Path
from ml.workspace.files import scratch_directory, staged_file
from ml.workspace.temp_files import temporary_path
folder = Path(sys.argv[1])
with scratch_directory(folder, "readings") as scratch, staged_file(folder / "r.json") as file:
    with scratch_directory(folder, "plots") as plots, temporary_path(folder / "v1", "old") as aside:
        (scratch / "run_0.parquet").touch()
        (plots / "a.png").touch()
        aside.mkdir()
        print("ready", flush=True)
        sys.stdin.read()
        assert file.exists() and (scratch / "run_0.parquet").exists() and (plots / "a.png").exists() and aside.exists()
"""


def test_what_a_process_of_another_container_works_on_is_left_alone(tmp_path: Path) -> None:
    command = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this user may not make a PID namespace")
    command += [sys.executable, "-c", IN_ANOTHER_CONTAINER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        clear_leftovers(tmp_path)
        other.communicate()
    assert other.returncode == 0
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name[0] != ".") == ["r.json"]


def test_a_file_system_without_locks_keeps_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remains = remains_of_a_killed_process(tmp_path / "x.json", "staging", "touch")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    files.write_text(tmp_path / "y.json", "{}")
    clear_leftovers(tmp_path)
    assert remains.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_many_processes_write_and_clear_one_folder_at_once(tmp_path: Path) -> None:
    code = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from ml.workspace import files
from ml.workspace.temp_files import clear_leftovers
folder = Path(sys.argv[1])
for number in range(60):
    with files.scratch_directory(folder, "readings") as scratch:
        clear_leftovers(folder)
        files.write_text(folder / f"{sys.argv[2]}.json", str(number))
        assert (scratch / ".").exists()
"""
    commands = [[sys.executable, "-c", code, str(tmp_path), str(number)] for number in range(3)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["0.json", "1.json", "2.json"]
