"""A first configuration for a file of readings.

    eagle-ml init FILE [--write CONFIG.json] [--horizon HOURS]

Looks at the file as `ml.inspect` does, writes the configuration that it suggests beside the file, and says what only a
person can know. On a terminal it asks how far ahead a failure is to be foretold, unless the arguments say so.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

from ml.inspect.__main__ import main as inspect
from ml.workspace.files import read_json, write_json
from ml.workspace.process.people import command_line, shown

_HOUR = 3600


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="eagle-ml init", description="A first configuration for a file of readings.")
    parser.add_argument("file", help="CSV, Parquet or whatever else a source may be")
    parser.add_argument("--write", metavar="CONFIG", help="where to write it; default: beside the file, as .json")
    parser.add_argument("--organization", metavar="ID", help="organizationId; default: made of the file's name")
    parser.add_argument("--horizon", metavar="HOURS", type=float, help="how far ahead a failure is to be foretold")
    parser.add_argument("--force", action="store_true", help="overwrite the configuration if it exists")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on a terminal, too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    given = build_parser().parse_args(argv)
    target = Path(given.write or Path(given.file).parent / f"{Path(given.file).name.partition('.')[0]}.json")
    words = [given.file, "--write", str(target), *(["--force"] if given.force else [])]
    words += ["--organization", given.organization] if given.organization else []
    on_terminal = sys.stdout.isatty() and not given.json
    status = inspect([*words, *([] if on_terminal else ["--json"])])
    if status != 0 or not target.is_file():
        return status
    hours = given.horizon if given.horizon is not None else _asked() if on_terminal and sys.stdin.isatty() else None
    if hours:
        config = read_json(target, "the configuration")
        config["dataConfig"] = config.get("dataConfig", {}) | {"predictionHorizonSeconds": round(hours * _HOUR)}
        write_json(target, config)
    if on_terminal:
        print(f"  Next  {command_line('run', shown(target))}")
    return status


def _asked() -> float | None:
    answer = input("How many hours ahead is a failure to be foretold? [24] ")
    with suppress(ValueError):
        return float(answer.replace(",", "."))
    return None
