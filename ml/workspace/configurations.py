"""Where a configuration may lie: outside the folders of organisations, or where tuning wrote it for that very one."""

from __future__ import annotations

import os
from pathlib import Path

from ml.config import OrganizationConfig
from ml.errors import ConfigError, IsolationError
from ml.workspace.opening import refuse_second_name
from ml.workspace.paths import lies_in, workspace_root

_TUNED = ("hyperparameter_results", "training_config.json")


def load_config(path: str | Path) -> OrganizationConfig:
    """The configuration in a file.

    Within ``models/`` and ``artifacts/`` only ``artifacts/<organisation>/<folder>/hyperparameter_results/
    training_config.json`` is one, and only of that organisation. Nothing else there is opened: which organisation a
    configuration is about is known after reading it, and a message about it would tell what is in it.

    Raises
    ------
    ConfigError
        As `OrganizationConfig.load_from_file`.
    IsolationError
        If it lies elsewhere in the workspace, links followed, is about another organisation than the one in whose
        folder it lies, or has a second name (a hard link), which may be another organisation's.
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
    config = OrganizationConfig.load_from_file(file)
    if owner not in (None, config.organization_id):
        raise IsolationError("the configuration lies with another organisation than the one that it is about")
    return config


def in_an_organization(path: str | Path) -> bool:
    """Whether a path, as given or links followed, lies in ``models/`` or ``artifacts/``."""
    given, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100 - links must stay
    return any(lies_in(place, base) for place in (given, real) for base in _bases())


def _owner(given: str | Path, real: Path) -> str:
    """Organisation in whose folder a configuration lies that tuning wrote."""
    artifacts = _bases()[1]
    parts = real.relative_to(artifacts).parts if real.is_relative_to(artifacts) else ()
    if len(parts) != 2 + len(_TUNED) or parts[2:] != _TUNED or Path(given).is_symlink():
        raise IsolationError(
            "the configuration lies among the files of an organisation",
            hint="keep configurations outside models/ and artifacts/; only the training_config.json that "
            "hyperparameter_tuning.py wrote is read from there",
        )
    return parts[0]


def _bases() -> tuple[Path, Path]:
    root = os.path.realpath(workspace_root())
    return Path(os.path.realpath(f"{root}/models")), Path(os.path.realpath(f"{root}/artifacts"))
