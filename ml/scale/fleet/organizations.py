"""The organisations of a fleet: one configuration file each, in one folder."""

from __future__ import annotations

import json
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from ml.errors import ConfigError, InternalError, IsolationError
from ml.scale.fleet.task import Outcome
from ml.scale.processes import command, environment, start
from ml.workspace.configurations import in_an_organization

CHECK_SECONDS = (1.0, 10.0)
"""How long a configuration may take to be checked; one that takes longer than the first waits until all others are."""
START_SECONDS = 60.0
"""How long the process that checks may take to load its libraries, which is a third of a second on a quiet machine."""

_SCHEMA_SUFFIX = ".schema.json"


@dataclass(frozen=True)
class Organization:
    """One organisation and version to work on, where its configuration is, and the SHA-256 of that file."""

    organization_id: str
    version: str
    config_file: Path
    digest: str


def configuration_files(folder: Path) -> list[Path]:
    """Every ``*.json`` of `folder` in the order of names, JSON Schemas (``*.schema.json``) left out.

    Raises ConfigError if `folder` is not a readable folder or holds no configuration, and IsolationError if `folder`
    lies in ``models/`` or ``artifacts/``.
    """
    if "\0" in str(folder):
        raise ConfigError("the folder of configurations has a zero byte in its name", hint="give the path of a folder")
    if in_an_organization(folder):
        raise IsolationError(
            "the configurations lie among the files of an organisation",
            hint="name a folder outside models/ and artifacts/",
        )
    try:
        files = sorted(file for file in folder.iterdir() if _is_configuration(file))
    except OSError as error:
        raise ConfigError(
            f"the folder of configurations {folder.name} cannot be read: {error.strerror}",
            hint="give a folder with one JSON configuration for each organisation",
        ) from None
    if not files:
        raise ConfigError(
            f"the folder {folder.name} holds no configuration", hint="put one .json file for each organisation in it"
        )
    return files


def checked_organizations(files: Sequence[Path]) -> Iterator[Organization | Outcome]:
    """Each organisation as soon as its configuration is checked, or the failure of one that cannot be used.

    Nothing of a configuration is kept but its identifiers: a password in it is read again by the step that needs it.
    They are checked in a process of their own, each in its own time, so that none holds up the others.
    """
    usable: dict[tuple[str, str], Organization] = {}
    slow: list[Path] = []
    quick, patient = CHECK_SECONDS
    with _Checker() as checker:
        for seconds, each_of in ((quick, files), (patient, slow)):
            for file in each_of:
                answer = checker.ask(file, seconds)
                if answer is None and seconds < patient:
                    slow.append(file)
                    continue
                yield _found(file, answer, usable)


def _found(
    file: Path, answer: dict[str, Any] | None, before: dict[tuple[str, str], Organization]
) -> Organization | Outcome:
    if answer is None:
        unclear = ConfigError(
            f"{file.name} cannot be checked within {CHECK_SECONDS[-1]:g} s and 1 GB of memory",
            hint="look for long texts and long lists in it",
        )
        answer = {"error": unclear.to_json()}
    if "error" not in answer:
        key = (answer["organizationId"].casefold(), answer["version"].casefold())
        found = Organization(answer["organizationId"], answer["version"], file.resolve(), answer["digest"])
        if before.setdefault(key, found) is found:
            return found
        twin = ConfigError(
            f'{before[key].config_file.name} is about version "{found.version}" of the same organisation',
            field="version",
            hint="remove one of the two, or give it another version",
        )
        answer = {"error": twin.to_json()}
    return Outcome("", "", "failed", error=answer["error"], config_file=file.name)


class _Checker:
    """A process of `ml.scale.fleet.checker`; another one is started when it was ended. A context manager."""

    command = tuple(command("ml.scale.fleet.checker"))

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, file: Path, seconds: float) -> dict[str, Any] | None:
        """Its answer about a configuration; None if it takes longer than `seconds`, or ends with it."""
        process = self._process or self._start()
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # seen below
                process.stdin.write(json.dumps(str(file.absolute())).encode() + b"\n")
        answer = _line(process, seconds)
        if answer is None:
            self._end()
            return None
        found: dict[str, Any] = json.loads(answer)
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = process = start(self.command, environment(), bufsize=0)
        if _line(process, START_SECONDS) is None:
            raise InternalError("the process that checks configurations does not start")
        return process

    def _end(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line that a process writes; None if it does not come in time, or the process ends."""
    if process.stdout is None:
        return None
    line, deadline = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            part = process.stdout.read(1 << 16)
            if not part:
                return None
            line += part
    return line


def _is_configuration(file: Path) -> bool:
    return file.suffix == ".json" and not file.name.endswith(_SCHEMA_SUFFIX) and file.is_file()
