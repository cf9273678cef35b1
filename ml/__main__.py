"""One command for everything that this package does.

    eagle-ml COMMAND ...            installed from a wheel
    python -m ml COMMAND ...        from a checkout

A command is a step of the pipeline or one of the tools beside it, and takes the arguments of that. Exit statuses are
those of the command. Results lie under the folder that ``--workspace`` or ``ML_BASE_PATH`` names; without either, in a
checkout under ``ml/``, else in the folder ``eagle-ml`` of the working directory.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import ml

_NEW_WORKSPACE = "eagle-ml"


@dataclass(frozen=True)
class Command:
    """What a word on the command line stands for."""

    module: str
    """Its ``main(argv)`` does the work."""
    meaning: str


COMMANDS = {
    "prep": Command("ml.scripts.data_prep", "prepare an organisation's history"),
    "tune": Command("ml.scripts.hyperparameter_tuning", "search a model's parameters"),
    "train": Command("ml.scripts.train_model", "train an organisation's model"),
    "validate": Command("ml.scripts.validate_model", "validate it on the test part and write the report"),
    "convert": Command("ml.scripts.convert_to_onnx", "compare the ONNX files once more and publish the version"),
    "predict": Command("ml.predict.__main__", "score a file of readings"),
    "fleet": Command("ml.fleet", "run the steps for many organisations"),
    "workspace": Command("ml.workspace.__main__", "list, publish, roll back, verify and remove versions"),
    "demo": Command("simulation.demo", "the whole pipeline on a simulated plant"),
}


def build_parser() -> argparse.ArgumentParser:
    """The words that come before a command's own arguments."""
    lines = "\n".join(f"  {name:<10} {command.meaning}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="eagle-ml",
        description=f"Predictive-maintenance models from SCADA history.\n\ncommands:\n{lines}",
        epilog="eagle-ml COMMAND --help tells the arguments of a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eagle-ml {ml.__version__}")
    parser.add_argument("--workspace", metavar="FOLDER", help="where models/ and artifacts/ lie")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="arguments of the command")
    return parser


def main() -> int:
    """Run the command that the process's arguments name; returns its exit status."""
    given = build_parser().parse_args()
    _name_workspace(given.workspace)
    # The command reads the process's arguments itself: it then knows that the process is its own, to end when stopped.
    sys.argv = [f"eagle-ml {given.command}", *given.arguments]
    status: int = importlib.import_module(COMMANDS[given.command].module).main()
    return status


def _name_workspace(folder: str | None) -> None:
    """Have every part of the command, and every process that it starts, use one workspace."""
    package = Path(ml.__file__).parent
    if folder is not None:
        os.environ["ML_BASE_PATH"] = str(Path(folder).absolute())
    elif not os.environ.get("ML_BASE_PATH") and not (package.parent / "pyproject.toml").is_file():
        os.environ["ML_BASE_PATH"] = str(Path.cwd() / _NEW_WORKSPACE)


if __name__ == "__main__":
    sys.exit(main())
