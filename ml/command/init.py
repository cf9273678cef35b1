"""A first configuration for a file of readings.

    eagle-ml init FILE [--write CONFIG.json] [--failed COLUMN=WORD,...] [--horizon HOURS]

Looks at the file as `ml.inspect` does, writes the configuration that it suggests beside the file, and says what only a
person can know. On a terminal it asks for that: which column says when a machine had failed, if none is found, and how
far ahead a failure is to be foretold. The options answer without being asked.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml.inspect.__main__ import main as inspect
from ml.workspace.files import read_json, write_json
from ml.workspace.process.people import command_line, shown

_HOUR = 3600


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="eagle-ml init", description="A first configuration for a file of readings.")
    parser.add_argument("file", help="file of readings: CSV, Parquet or another that a source may be")
    parser.add_argument("--write", metavar="CONFIG", help="where to write it; default: beside the file, as .json")
    parser.add_argument("--organization", metavar="ID", help="organizationId; default: made of the file's name")
    parser.add_argument(
        "--failed", metavar="COLUMN[=WORD,...]", help="column that says when a machine had failed, and its words for it"
    )
    parser.add_argument("--horizon", metavar="HOURS", type=float, help="how far ahead a failure is to be foretold")
    parser.add_argument("--force", action="store_true", help="overwrite the configuration if it exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on a terminal, too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    given = build_parser().parse_args(argv)
    file = Path(given.file)
    target = Path(given.write or file.parent / f"{file.name.partition('.')[0]}.json")
    words = [given.file, "--write", str(target), *(["--force"] if given.force else [])]
    words += ["--organization", given.organization] if given.organization else []
    on_terminal = sys.stdout.isatty() and not given.json
    status = inspect([*words, *([] if on_terminal else ["--json"])])
    if status != 0 or not target.is_file():
        return status
    config = read_json(target, "the configuration")
    asks = on_terminal and sys.stdin.isatty()
    _name_file(config, file, target)
    _name_failures(config, given.failed or (_ask_failed(config) if asks else None))
    hours = given.horizon if given.horizon is not None else _ask_hours() if asks else None
    if hours:
        config["dataConfig"] = config.get("dataConfig", {}) | {"predictionHorizonSeconds": round(hours * _HOUR)}
    write_json(target, config)
    if on_terminal:
        known = config.get("failureConfig") or config.get("schemaConfig", {}).get("targetColumn")
        first = "" if known else f"say in {shown(target)} what a failure is (failureConfig), then "
        print(f"  Next  {first}{command_line('run', shown(target))}")
    return status


def _ask(question: str) -> str:
    """The answer; empty where the input is at its end."""
    try:
        return input(question).strip()
    except EOFError:
        print()
        return ""


def _name_file(config: dict[str, Any], file: Path, target: Path) -> None:
    """Name the file from the configuration's folder, where it lies below that: both may then move together."""
    source, folder = config.get("dataSource", {}), os.path.realpath(target.parent)
    with suppress(ValueError):
        source["path"] = str(Path(os.path.realpath(file)).relative_to(folder))


def _name_failures(config: dict[str, Any], failed: str | None) -> None:
    """Take over what the user says of failures: a column of 0 and 1, or one of words."""
    if not failed:
        return
    column, _, words = failed.partition("=")
    if words:
        values = [word.strip() for word in words.split(",")]
        found = config.get("failureConfig", {})
        healthy = [word for word in found.get("healthyValues", []) if word not in values]
        known = {"healthyValues": healthy} if healthy and found.get("columns") == [column.strip()] else {}
        config["failureConfig"] = {"columns": [column.strip()], "failureValues": values, **known}
    else:
        config["schemaConfig"]["targetColumn"] = column.strip()
        config.pop("failureConfig", None)
    for key in ("continuousColumns", "booleanColumns"):  # in a long form it was taken for a sensor
        if column.strip() in config["schemaConfig"].get(key, []):
            config["schemaConfig"][key].remove(column.strip())


def _ask_failed(config: Mapping[str, Any]) -> str | None:
    """The answer, as ``--failed`` takes it; None where the configuration knows, or the user does not."""
    if config.get("failureConfig") or config.get("schemaConfig", {}).get("targetColumn"):
        return None
    column = _ask("Which column says when a machine had failed? (Enter: none does) ")
    words = _ask(f"Which words in {column} mean failed, with commas between? [1] ") if column else ""
    return (f"{column}={words}" if words and words != "1" else column) or None


def _ask_hours() -> float | None:
    answer = _ask("How many hours ahead is a failure to be foretold? [24] ")
    with suppress(ValueError):
        return float(answer.replace(",", "."))
    return None
