"""Look at a source of readings, and write a first configuration for it.

    python -m ml.inspect FILE|CONFIG [--write CONFIG.json] [--organization ID] [--json]

Reads: the first rows of a file, or of what a configuration names, such as a table of a database; of the configuration
no sensors are needed, and what it says stays. Prints what the columns are, how they are written, which may be the time,
the machine and the failure, and what data_prep would refuse. Writes: the configuration, if asked to. Exit status: see
ml/errors.py; a source that can be read but would be refused ends with 0, and the result says why.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig, read_configuration
from ml.errors import ConfigError, UsageError
from ml.findings import Finding
from ml.inspect.in_words import as_text
from ml.options.forms.strict_json import parse_json
from ml.workspace.configurations import load_config
from ml.workspace.process.options import add_common_options
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command, secrets_of

STEP = "inspect"
_CONFIG = ".json"
_PLACEHOLDER = "a sensor"  # in the configuration of a source that nobody has looked at yet


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ml.inspect", description="Look at a source of readings, and write a first configuration."
    )
    parser.add_argument("source", help="file of readings, or a configuration (.json) that names a source")
    parser.add_argument("--write", metavar="CONFIG", help="write the configuration that the source suggests (.json)")
    parser.add_argument("--force", action="store_true", help="overwrite the file that --write names")
    parser.add_argument("--organization", metavar="ID", help="organizationId; default: made of the file's name")
    add_common_options(parser)
    return parser


def run(config: OrganizationConfig) -> dict[str, Any]:
    """Look at the source that a configuration names; the result in plain JSON types.

    Raises ConfigError, SourceError, DataError, IsolationError, MissingArtifactError as ml/errors.py describes them, if
    the source cannot be read at all.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.ingest.inputs import refuse_foreign_source
    from ml.inspect.look import look_at
    from ml.workspace.paths import for_config

    told = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if config.schema_config.continuous_columns == (_PLACEHOLDER,):
        del told["schemaConfig"]["continuousColumns"]
    refuse_foreign_source(config, for_config(config))
    result = look_at(config, told)
    database = config.scada_db_config
    if database is not None and database.password is not None:
        need = Finding(
            "PASSWORD_LEFT_OUT",
            "The configuration is written without the password.",
            "scadaDbConfig.password",
            "name it in scadaDbConfig.passwordEnv or passwordFile",
        )
        result |= {"needs": [*result["needs"], need.to_json()], "ready": False}
    return result


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""

    def command(arguments: argparse.Namespace, redactor: Redactor) -> dict[str, Any]:
        config = _config(arguments)
        for secret in secrets_of(config):
            redactor.hide(secret)
        target = None if arguments.write is None else _target(config, arguments)
        result = run(config)
        if target is not None:
            from ml.workspace.files import write_json

            write_json(target, result["config"])
        return {"organizationId": config.organization_id, **result, "configPath": target and str(target)}

    return run_command(
        STEP,
        build_parser(),
        command,
        argv,
        for_people=lambda given, result: None if given.json else as_text(result),
        ends_with_parent=True,
    )


def _config(arguments: argparse.Namespace) -> OrganizationConfig:
    """The configuration that is named, or one of the file alone."""
    source = arguments.source
    if source.lower().endswith(_CONFIG):
        if arguments.organization is not None:
            raise UsageError("--organization is for a file of readings; a configuration names its own")
        return load_config(source, _read_any)
    organization = arguments.organization or _organization_of(Path(source))
    return OrganizationConfig.from_dict(
        {
            "organizationId": organization,
            "schemaConfig": {"continuousColumns": [_PLACEHOLDER]},
            "dataSource": {"path": source},
        }
    )


def _read_any(file: Path) -> OrganizationConfig:
    """A configuration that need not name sensors yet."""
    text, folder = read_configuration(file), file.absolute().parent
    try:
        return OrganizationConfig.from_json(text, folder)
    except ConfigError as failure:
        data = parse_json(text, "the configuration")
        schema = data.get("schemaConfig", {}) if isinstance(data, dict) else None
        if "names no continuousColumns" not in failure.message or not isinstance(schema, dict):
            raise
        schema = {**schema, "continuousColumns": [_PLACEHOLDER]}
        return OrganizationConfig.from_dict({**data, "schemaConfig": schema}, folder)


def _organization_of(file: Path) -> str:
    """An identifier from a file's name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", file.name.partition(".")[0]).strip("_-")[:64] or "plant"


def _target(config: OrganizationConfig, arguments: argparse.Namespace) -> Path:
    """Where the configuration is to be written; refused before anything is read."""
    from ml.workspace.paths import for_config

    target = for_config(config).writable_file(arguments.write, "the configuration")
    if target.suffix.lower() != _CONFIG:
        raise UsageError(f"the configuration must end in {_CONFIG}", hint="such as --write config.json")
    if target.exists() and not arguments.force:
        raise UsageError(f"{target.name} exists", hint="name another file, or give --force to overwrite it")
    return target


if __name__ == "__main__":
    sys.exit(main())
