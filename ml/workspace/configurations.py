"""Where a configuration may lie: outside the folders of organisations, or with the very one that it is about.

Two files of an organisation are configurations: the request that the backend writes for a training, and the one that
tuning writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ml.config import OrganizationConfig
from ml.errors import ConfigError, IsolationError
from ml.workspace.paths import for_config, lies_in, workspace_root
from ml.workspace.safe_open import refuse_second_name

_REQUEST = ("training_config.json",)
_TUNED = ("hyperparameter_results", "training_config.json")
_WRITTEN = {_REQUEST: "the backend", _TUNED: "hyperparameter_tuning.py"}
"""Configurations below ``artifacts/<organisation>/<version>``, and who writes them."""


def load_config(
    path: str | Path, read: Callable[[Path], OrganizationConfig] = OrganizationConfig.load_from_file
) -> OrganizationConfig:
    """The configuration in a file, as `read` gives it.

    Within ``models/`` and ``artifacts/`` only ``artifacts/<organisation>/<folder>/training_config.json``, which the
    backend writes, and ``artifacts/<organisation>/<folder>/hyperparameter_results/training_config.json`` are, and only
    of that organisation; the former also only of the version that the folder is named after. Nothing else there is
    opened: which organisation a configuration is about is known after reading it, and a message about it would tell
    what is in it.

    Raises ConfigError as `OrganizationConfig.load_from_file`; IsolationError if it lies elsewhere in the workspace,
    links followed, is about another organisation or version than the one in whose folder it lies, or has a second name
    (a hard link), which may be another organisation's.
    """
    if "\0" in str(path):
        raise ConfigError("the path of the configuration has a zero byte in it", hint="give the path of a JSON file")
    file = Path(os.path.realpath(path))
    owner = _owner(path, file) if in_an_organization(path) else None
    try:
        if file.is_file():
            refuse_second_name(file.stat(), file)
    except OSError:
        pass  # reading it says what is wrong
    config = read(file)
    if owner is None:
        return config
    if owner.organization_id != config.organization_id:
        raise IsolationError("the configuration lies with another organisation than the one that it is about")
    if owner.written == _REQUEST and owner.folder != config.version:
        raise IsolationError(
            f'the request lies in the folder of version "{owner.folder}" and is about another version',
            field="version",
            hint="write each request into artifacts/<organizationId>/<version>",
        )
    return config


class _Owner(NamedTuple):
    """In whose folder a configuration lies, and which of `_WRITTEN` it is."""

    organization_id: str
    folder: str
    written: tuple[str, ...]


def beside_config(name: str | None, config_file: str | Path, config: OrganizationConfig) -> str | None:
    """A file that a command line names without a folder: where it was started, beside the configuration, or in the run.

    Where it is in none of them, the name comes back as it is.
    """
    if name is None or Path(name).name != name or "\0" in name:
        return name
    places = (Path(), Path(config_file).parent, for_config(config).run(config.version))
    found = (place / name for place in places if os.path.isfile(place / name))  # noqa: PTH113 - false for any odd name
    return str(next(found, name))


def in_an_organization(path: str | Path) -> bool:
    """Whether a path, as given or links followed, lies in ``models/`` or ``artifacts/``."""
    given, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100 - links must stay
    return any(lies_in(place, base) for place in (given, real) for base in _bases())


def _owner(given: str | Path, real: Path) -> _Owner:
    """In whose folder a configuration lies that may lie there."""
    artifacts = _bases()[1]
    parts = real.relative_to(artifacts).parts if real.is_relative_to(artifacts) else ()
    if parts[2:] not in _WRITTEN or Path(given).is_symlink():
        raise IsolationError(
            "the configuration lies among the files of an organisation",
            hint="keep configurations outside models/ and artifacts/; only the training_config.json that "
            f"{' or '.join(_WRITTEN.values())} wrote for that organisation is read from there",
        )
    return _Owner(parts[0], parts[1], parts[2:])


def _bases() -> tuple[Path, Path]:
    root = os.path.realpath(workspace_root())
    return Path(os.path.realpath(f"{root}/models")), Path(os.path.realpath(f"{root}/artifacts"))
