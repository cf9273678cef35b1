"""The words of the command line, and where the workspace is.

A word stands for a step of the pipeline or for one of the tools beside it, and takes the arguments of that. Exit
statuses are those of the command.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ml
from ml.workspace.process.people import PROGRAM, note_start

NEW_WORKSPACE = "workspace"
"""Name of the folder that is made where no workspace is found."""
_PARTS = ("models", "artifacts")


_CHANGES_INDEX = ("run", "validate", "convert", "publish", "rollback", "prune", "fleet", "retrain")


@dataclass(frozen=True)
class Command:
    """What a word on the command line stands for."""

    module: str
    """Its ``main`` does the work."""
    meaning: str
    first: tuple[str, ...] = ()
    """What comes before the arguments that are given."""


COMMANDS = {
    "run": Command("ml.command.run", "everything from the data to the report, as far as it is not done yet"),
    "prep": Command("ml.scripts.data_prep", "prepare an organisation's history"),
    "tune": Command("ml.scripts.hyperparameter_tuning", "search a model's parameters"),
    "train": Command("ml.scripts.train_model", "train an organisation's model"),
    "validate": Command("ml.scripts.validate_model", "validate it on the test part and write the report"),
    "convert": Command("ml.scripts.convert_to_onnx", "compare the ONNX files once more and publish the version"),
    "predict": Command("ml.predict.__main__", "score a file of readings"),
    "monitor": Command("ml.monitor", "is the published model still right, and is a new one due"),
    "retrain": Command("ml.retrain", "a new version on the newest rows, published if it is not worse"),
    "labels": Command("ml.monitoring.labels", "failures whose record looks wrong, as a table to decide on"),
    "report": Command("ml.workspace.__main__", "where the report of a version is; --open shows it", ("report",)),
    "list": Command("ml.workspace.__main__", "the versions of an organisation, with their verdicts", ("list",)),
    "compare": Command("ml.command.compare", "two versions side by side"),
    "index": Command("ml.command.index", "pages that lead to every report; for one organisation or the workspace"),
    "publish": Command("ml.workspace.__main__", "publish a version that has passed", ("publish",)),
    "rollback": Command("ml.workspace.__main__", "publish the version that was published before", ("rollback",)),
    "verify": Command("ml.workspace.__main__", "check every file against its manifest, and the audit log", ("verify",)),
    "prune": Command("ml.workspace.__main__", "remove old versions", ("prune",)),
    "fleet": Command("ml.fleet", "run the steps for many organisations"),
    "inspect": Command("ml.inspect.__main__", "what a file or table is, column by column"),
    "init": Command("ml.command.init", "a first configuration for a file of readings"),
    "demo": Command("simulation.demo", "the whole pipeline on a simulated plant"),
    "completion": Command("ml.command.completion", "a script with which bash completes this command"),
}


def build_parser() -> argparse.ArgumentParser:
    """The words that come before a command's own arguments."""
    lines = "\n".join(f"  {name:<10} {command.meaning}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=f"Predictive-maintenance models from SCADA history.\n\ncommands:\n{lines}",
        epilog=f"{PROGRAM} COMMAND --help tells the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {ml.__version__}")
    parser.add_argument(
        "--workspace",
        metavar="FOLDER",
        help="where models/ and artifacts/ lie; default: ML_BASE_PATH, else the workspace in or above the "
        "configuration's folder, else the folder workspace beside the configuration",
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments of the command")
    return parser


def main() -> int:
    """Run the command that the process's arguments name; returns its exit status."""
    given = build_parser().parse_args()
    note_start()
    os.environ["ML_BASE_PATH"] = str(_workspace(given.workspace, given.arguments).absolute())
    command = COMMANDS[given.command]
    # The command reads the process's arguments itself: it then knows that the process is its own, to end when stopped.
    sys.argv = [f"{PROGRAM} {given.command}", *command.first, *given.arguments]
    status: int = importlib.import_module(command.module).main()
    if given.command in _CHANGES_INDEX:
        from ml.command.index import refresh

        refresh(next((each for each in given.arguments if not each.startswith("-")), None))
    return status


def _workspace(named: str | None, arguments: Sequence[str]) -> Path:
    """The workspace for every part of the command, and for every process that it starts."""
    if named is not None:
        return Path(named)
    if in_environment := os.environ.get("ML_BASE_PATH"):
        return Path(in_environment)
    given = next((Path(each) for each in arguments if os.path.exists(each)), None)  # noqa: PTH110 - false for odd names
    folder = Path() if given is None else given if given.is_dir() else given.parent
    if (found := find_workspace(folder)) is not None:
        return found
    package = Path(ml.__file__).parent
    if given is None and (package.parent / "pyproject.toml").is_file():
        return package
    return folder / NEW_WORKSPACE


def find_workspace(folder: Path) -> Path | None:
    """The nearest workspace: `folder`, its folder ``workspace``, or those of a folder above it; None without one."""
    folder = folder.absolute()
    places = (place for above in (folder, *folder.parents) for place in (above, above / NEW_WORKSPACE))
    return next((place for place in places if all((place / part).is_dir() for part in _PARTS)), None)
