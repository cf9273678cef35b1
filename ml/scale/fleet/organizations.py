"""The organisations of a fleet: one configuration file each, in one folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml.errors import ConfigError, EagleError, IsolationError
from ml.workspace.configurations import in_an_organization, load_config

_SCHEMA_SUFFIX = ".schema.json"


@dataclass(frozen=True)
class Organization:
    """One organisation and version to work on, and where its configuration is."""

    organization_id: str
    version: str
    config_file: Path


@dataclass(frozen=True)
class Unreadable:
    """A configuration that cannot be used; the others are not affected."""

    config_file: Path
    error: EagleError


def find_organizations(folder: Path) -> tuple[list[Organization], list[Unreadable]]:
    """Read every ``*.json`` of `folder` in the order of names, JSON Schemas (``*.schema.json``) left out.

    Nothing of a configuration is kept but its identifiers: a password in it is read again by the step that needs it.

    Raises
    ------
    ConfigError
        If `folder` is not a readable folder or holds no configuration.
    IsolationError
        If `folder` lies in ``models/`` or ``artifacts/``.
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
    usable: dict[tuple[str, str], Organization] = {}
    refused: list[Unreadable] = []
    for file in files:
        try:
            config = load_config(file)
            found = Organization(config.organization_id, config.version, file.resolve())
            _refuse_twin(found, usable)
        except EagleError as error:
            refused.append(Unreadable(file, error))
        else:
            usable[found.organization_id.casefold(), found.version.casefold()] = found
    return list(usable.values()), refused


def _is_configuration(file: Path) -> bool:
    return file.suffix == ".json" and not file.name.endswith(_SCHEMA_SUFFIX) and file.is_file()


def _refuse_twin(found: Organization, before: dict[tuple[str, str], Organization]) -> None:
    twin = before.get((found.organization_id.casefold(), found.version.casefold()))
    if twin is not None:
        raise ConfigError(
            f'{twin.config_file.name} is about version "{found.version}" of the same organisation',
            field="version",
            hint="remove one of the two, or give it another version",
        )
