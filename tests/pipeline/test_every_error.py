"""Every error of ml/errors.py is reached through a command, and tells nobody more than it should.

A second organisation with names that would be recognised lies in the same workspace, and the configuration holds a
password: neither may appear anywhere, and no path but those of the organisation's own folders.
"""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ml import fleet
from ml.errors import ERRORS
from ml.ingest import inputs
from ml.ingest.sources.postgresql import session
from ml.predict import __main__ as predict
from ml.scripts import convert_to_onnx, data_prep, train_model, validate_model
from ml.workspace import __main__ as workspace
from ml.workspace.paths import OrganizationPaths
from tests.pipeline.backend import Json
from tests.pipeline.small_plant import ORGANIZATION, plant_config, write_json
from tests.pipeline.test_bad_data import file_config, write_readings

RIVAL, RIVAL_COLUMN = "canary_works", "canary_column"
PASSWORD = "Tr0ub4dor-canary"
EXIT_CODES = {error.code: error.exit_code for error in ERRORS}
# What a person or the backend is shown: everything but the log, which has the tracebacks.
SHOWN = ("validation_report.json", "validation_report.html", "metadata.json", "metrics.json", "data_summary.json")
SHOWN += ("audit.jsonl", "manifest.json", "summary.json", "summary.html")
ABSOLUTE_PATH = re.compile(r"(?<![\w./:<%~-])/[\w.@-]+(?:/[\w.@~+-]+)+")
EMBEDDED = re.compile(r"data:[\w/+-]+;base64,[\w+/=]+")

Command = tuple[Callable[[list[str]], int], list[str]]


@dataclass(frozen=True)
class Plant:
    """A workspace with a published version of the organisation and one of a rival."""

    root: Path
    database: Path
    patch: pytest.MonkeyPatch = field(repr=False)
    kept: ExitStack = field(repr=False)
    """Closed at the end."""

    @property
    def version(self) -> Path:
        """The published version."""
        return self.root / "models" / ORGANIZATION / "versions" / "v1"

    @property
    def run(self) -> Path:
        """Its artifacts."""
        return self.root / "artifacts" / ORGANIZATION / "v1"

    @property
    def rival(self) -> Path:
        """The rival's readings."""
        return self.root / "artifacts" / RIVAL / "v1" / "readings.csv"

    def file(self, name: str, content: bytes = b"no such thing") -> Path:
        """A file outside the workspace."""
        path = self.root.parent / name
        path.write_bytes(content)
        return path

    def config(self, *, database: Json | None = None, top: Json | None = None, **sections: Json) -> str:
        """A configuration with the password in it."""
        config = plant_config(self.database, **sections) | (top or {})
        config["scadaDbConfig"] |= {"user": "reader", "password": PASSWORD} | (database or {})
        return str(write_json(self.root.parent / "config.json", config))

    def readings_config(self, path: Path, **sections: Json) -> str:
        """A configuration whose source is a file."""
        return str(write_json(self.root.parent / "config.json", file_config(path, **sections)))


@pytest.fixture
def plant(published: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    root = published.resolve()
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    with ExitStack() as kept:
        made = Plant(root, database, monkeypatch, kept)
        made.rival.parent.mkdir(parents=True)
        made.rival.write_text(f"timestamp,{RIVAL_COLUMN}\n2025-01-01T00:00:00Z,1\n")
        (root / "models" / RIVAL / "versions" / "v1").mkdir(parents=True)
        yield made


def full_disk(plant: Plant) -> Command:
    flush = os.fsync

    def fsync(descriptor: int) -> None:
        if "data_summary" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    plant.patch.setattr(os, "fsync", fsync)
    return data_prep.main, [plant.config()]


def busy_version(plant: Plant) -> Command:
    holder = plant.kept.enter_context(OrganizationPaths(ORGANIZATION, plant.root).version_lock("v1").open("a"))
    fcntl.flock(holder, fcntl.LOCK_EX)
    return data_prep.main, [plant.config()]


def no_dask(plant: Plant) -> Command:
    plant.patch.setitem(sys.modules, "dask", None)
    plant.config()
    return fleet.main, [str(plant.root.parent), "--scheduler", "tcp://127.0.0.1:1"]


def no_scheduler(plant: Plant) -> Command:
    plant.patch.setattr("ml.scale.clients.CONNECT_SECONDS", 0.2)
    plant.config()
    return fleet.main, [str(plant.root.parent), "--scheduler", f"tcp://127.0.0.1:{closed_port()}"]


def no_server(plant: Plant) -> Command:
    plant.patch.setattr(session, "RETRY_AFTER", ())
    server = {"driver": "postgresql", "host": "127.0.0.1", "port": closed_port(), "database": "d", "table": "t"}
    return data_prep.main, [plant.config(database=server)]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def damaged_model(plant: Plant) -> Command:
    file = plant.version / "model.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    return workspace.main, ["publish", ORGANIZATION, "v1"]


def damaged_data(plant: Plant) -> Command:
    file = plant.run / "prepared_data.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:4] + bytes(2000) + content[2004:])  # the footer, at the end, stays
    return validate_model.main, [plant.config()]


def model_with_another_sigmoid(plant: Plant) -> Command:
    text = (plant.version / "model.txt").read_bytes()
    file = plant.file("model.txt", text.replace(b"binary sigmoid:1", b"binary sigmoid:2"))
    return convert_to_onnx.main, [plant.config(), str(file)]


def half_a_fleet(plant: Plant) -> Command:
    configs = plant.root.parent / "configs"
    configs.mkdir()
    Path(plant.config(schemaConfig={"targetColumn": "no_such_column"})).rename(configs / "a.json")
    Path(plant.config(database={"password": [PASSWORD]})).rename(configs / "b.json")
    limits = ("--cpus", "1", "--memory", "4G", "--steps", "data_prep")
    return fleet.main, [str(configs), *limits]


def stopped_while_fitting(plant: Plant) -> Command:
    endless = {"earlyStoppingRounds": 0, "lgbParams": {"numIterations": 100_000}}
    return train_model.main, [plant.config(top={"version": "v2"}, trainingConfig={"threads": 1, **endless})]


def bug(plant: Plant) -> Command:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"{PASSWORD} is in /etc/secrets/file")

    plant.patch.setattr(inputs, "prepare_and_keep", fail)
    return data_prep.main, [plant.config()]


# How each error is reached. The text after the code tells several ways to the same error apart.
CAUSES: dict[str, Callable[[Plant], Command]] = {
    "USAGE: no configuration": lambda plant: (data_prep.main, []),
    "USAGE: output of no known kind": lambda plant: (
        predict.main,
        [plant.config(), str(plant.file("readings.csv")), str(plant.root.parent / "scores.txt")],
    ),
    "CONFIG_INVALID: the password is a list": lambda plant: (
        data_prep.main,
        [plant.config(database={"password": [PASSWORD]})],
    ),
    "CONFIG_INVALID: no such file": lambda plant: (data_prep.main, [str(plant.root.parent / "gone.json")]),
    "DATA_INVALID: a Parquet file that is none": lambda plant: (
        data_prep.main,
        [plant.readings_config(plant.file("readings.parquet"))],
    ),
    "DATA_INVALID: reference scores that are none": lambda plant: (
        validate_model.main,
        [
            plant.config(
                validationConfig={
                    "referenceScores": [{"name": "alarm", "path": str(plant.file("scores.parquet")), "column": "alarm"}]
                }
            )
        ],
    ),
    "COLUMN_MISSING: the target": lambda plant: (
        data_prep.main,
        [plant.config(schemaConfig={"targetColumn": "no_such_column"})],
    ),
    "NO_ROWS: nothing in the range": lambda plant: (
        data_prep.main,
        [plant.config(dataRange={"startDate": "2031-01-01T00:00:00Z"})],
    ),
    "TOO_FEW_FAILURES: none": lambda plant: (
        train_model.main,
        [plant.readings_config(write_readings(plant.root.parent / "readings.csv", 0), version="v2")],
    ),
    "ARTIFACT_MISSING: a version that nobody trained": lambda plant: (
        validate_model.main,
        [plant.config(top={"version": "v2"})],
    ),
    "ARTIFACT_MISSING: a database that is not there": lambda plant: (
        data_prep.main,
        [plant.config(database={"database": str(plant.root.parent / "gone.sqlite")})],
    ),
    "SOURCE_UNAVAILABLE: no server": no_server,
    "SOURCE_UNAVAILABLE: a database file that is none": lambda plant: (
        data_prep.main,
        [plant.config(database={"database": str(plant.file("scada.sqlite", b"no database" * 500))})],
    ),
    "STORAGE_FAILED: the disk is full": full_disk,
    "VERSION_BUSY: another run holds the lock": busy_version,
    "LIBRARY_MISSING: no dask": no_dask,
    "CLUSTER_UNAVAILABLE: no scheduler": no_scheduler,
    "QUALITY_GATE: thresholds that nobody meets": lambda plant: (
        validate_model.main,
        [plant.config(validationConfig={"minPrecision": 1.0, "minRecall": 1.0, "latencyRuns": 2})],
    ),
    "EXPORT_NOT_EXACT: another sigmoid": model_with_another_sigmoid,
    "ISOLATION_REFUSED: the rival's readings": lambda plant: (
        validate_model.main,
        [plant.config(), str(plant.rival)],
    ),
    "ISOLATION_REFUSED: the rival's folder as output": lambda plant: (
        data_prep.main,
        [plant.config(top={"outputPath": str(plant.rival.parent)})],
    ),
    "INTEGRITY_REFUSED: a changed file": damaged_model,
    "INTEGRITY_REFUSED: a model that is none": lambda plant: (
        convert_to_onnx.main,
        [plant.config(), str(plant.file("model.txt"))],
    ),
    "INTEGRITY_REFUSED: damaged prepared data": damaged_data,
    "FLEET_INCOMPLETE: two of two": half_a_fleet,
    "STOPPED: SIGTERM": stopped_while_fitting,
    "INTERNAL: a bug": bug,
}


def test_every_error_has_a_cause() -> None:
    assert {cause.partition(":")[0] for cause in CAUSES} == {error.code for error in ERRORS}


@pytest.mark.parametrize("cause", CAUSES)
def test_an_error_is_told_once_and_tells_no_secret(plant: Plant, cause: str) -> None:
    code = cause.partition(":")[0]
    main, arguments = CAUSES[cause](plant)
    status, stdout, stderr = call(main, arguments, Stopping() if code == "STOPPED" else io.StringIO())
    assert stdout.count("\n") == 1
    document = json.loads(stdout)
    assert (document["status"], document["error"]["code"]) == ("FAILED", code), document
    assert status == EXIT_CODES[code]
    assert json.loads(stderr.splitlines()[-1]) == {"event": "error", **document["error"]}
    shown = {"stdout": stdout, "stderr": stderr, **shown_files(plant.root)}
    for place, text in shown.items():
        assert "Traceback" not in text, place
        assert foreign_paths(text, plant.root) == [], place
    for place, text in {**shown, **logs(plant.root)}.items():
        assert PASSWORD not in text, place
        assert RIVAL not in text, place
        assert RIVAL_COLUMN not in text, place
    if code == "INTERNAL":
        identity = document["error"]["message"].removeprefix("unexpected error ")
        assert re.fullmatch("[0-9a-f]{8}", identity)
        log = logs(plant.root)["data_prep.log"].partition(f"unexpected error {identity}")[2]
        assert "Traceback" in log
        assert "RuntimeError: *** is in" in log


def test_the_search_for_paths_finds_what_it_must() -> None:
    root = Path("/data/ml")
    text = 'see /etc/passwd, "/data/ml/models/other/x" (/data/ml/artifacts/plant_a/v1/x) </div> a/b/c https://x.y/z/w'
    assert foreign_paths(text, root) == ["/etc/passwd", "/data/ml/models/other/x"]


class Stopping(io.StringIO):
    """A stderr at whose first word of fitting the process is asked to stop."""

    stopped = False

    def write(self, text: str) -> int:
        if not self.stopped and '"fitting"' in text:
            self.stopped = True
            signal.raise_signal(signal.SIGTERM)
        return super().write(text)


def call(main: Callable[[list[str]], int], arguments: list[str], stderr: io.StringIO) -> tuple[int, str, str]:
    stdout = io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        status = main(arguments)
    return status, stdout.getvalue(), stderr.getvalue()


def own_files(root: Path) -> Iterator[Path]:
    for folder in ("models", "artifacts", "fleet_summary"):
        for path in (root / folder).rglob("*"):
            if path.is_file() and RIVAL not in path.parts:
                yield path


def shown_files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in own_files(root) if path.name in SHOWN}


def logs(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in own_files(root) if path.suffix == ".log"}


def foreign_paths(text: str, root: Path) -> list[str]:
    """Absolute paths in `text` that do not lie in the organisation's folders or in the fleet's own."""
    own = (f"{root}/models/{ORGANIZATION}/", f"{root}/artifacts/{ORGANIZATION}/", f"{root}/fleet_summary/")
    return [path for path in ABSOLUTE_PATH.findall(EMBEDDED.sub("", text)) if not path.startswith(own)]
