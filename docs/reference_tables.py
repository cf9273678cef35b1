"""Exit codes, feature families and command lines as Markdown, made from the code that defines them."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

from ml import monitor as monitor_command
from ml import retrain as retrain_command
from ml.command import run as run_command
from ml.command.line import COMMANDS
from ml.config import OrganizationConfig
from ml.errors import ERRORS
from ml.predict import __main__ as predict_command
from ml.scale.fleet import command as fleet_command
from ml.windows.catalogue import FAMILIES, PROFILES, Family, Feature, Request
from ml.windows.operations import Operation
from ml.workspace import __main__ as workspace_commands

STEPS = ("data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx")

_EXAMPLE = Path(__file__).resolve().parents[1] / "ml" / "config" / "manufacturing_org.json"
_EXAMPLE_INTERVAL = 900

# Lengths far apart, so that the look-back of an operation built with them tells which one it depends on, and their
# symbols in the formulas.
_PROBES = {"steps": (1_000, "k"), "window": (3_000, "w"), "short": (5_000, "w₁"), "long": (7_000, "w₂")}
_PROBE_SLACK = 100


def exit_codes() -> str:
    """Every exit status with the error codes behind it."""
    errors = sorted(ERRORS, key=lambda error: error.exit_code)
    rows = [f"| {error.exit_code} | `{error.code}` | {error.meaning} |" for error in errors]
    return "\n".join(["| Exit | Error code | Meaning |", "|---|---|---|", "| 0 | - | done |", *rows])


def feature_families() -> str:
    """One table per family: the features that the example configuration gets, and what their operations declare."""
    config = OrganizationConfig.load_from_file(_EXAMPLE)
    # The example organisation makes one product only, and keeps no lists of events.
    words = {"categorical_columns": {"product": ("A", "B")}, "event_inputs": {"since_maintenance": ("maintenance",)}}
    config = config.model_copy(update={"schema_config": config.schema_config.model_copy(update=words)})
    request = Request.of(config, _EXAMPLE_INTERVAL)
    return "\n\n".join(_family(family, request) for family in FAMILIES)


def serving_profiles() -> str:
    """The same for what takes the place of the families under a serving profile, with its own lags and windows."""
    columns = OrganizationConfig.load_from_file(_EXAMPLE).schema_config.model_dump(
        by_alias=True, include={"continuous_columns", "boolean_columns"}
    )
    data = {"organizationId": "example", "schemaConfig": columns}
    parts = []
    for name, family in PROFILES.items():
        config = OrganizationConfig.from_dict(data | {"featureConfig": {"servingProfile": name}})
        parts.append(_family(family, Request(config, _EXAMPLE_INTERVAL, (), ())))
    return "\n\n".join(parts)


def _family(family: Family, request: Request) -> str:
    examples: dict[type[Operation], dict[str, str]] = {operation: {} for operation in family.operations}
    for feature in family.features(request):
        examples[type(feature.operation)].setdefault(_function(feature), feature.name)
    lines = [
        f"### {family.name}",
        "",
        f"{family.summary[:1].upper()}{family.summary[1:]}.",
        "",
        "| Features | Formula | Unit | First valid | Missing values | Look-back |",
        "|---|---|---|---|---|---|",
    ]
    for operation in family.operations:
        cells = (
            ", ".join(f"`{name}`" for name in examples[operation].values()),
            operation.formula,
            operation.unit,
            operation.first_valid,
            operation.missing,
            look_back(operation),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _function(feature: Feature) -> str:
    """What a name says beside its channel, without parameters; the whole of a name without channel."""
    middle = feature.name.partition("__")[2].partition("__")[0]
    return middle or feature.name.removeprefix(next(iter(feature.operation.sensors), ""))


def look_back(operation: type[Operation]) -> str:
    """Samples that an operation reads, in the symbols of its formula: ``1``, ``k + 1``, ``w``."""
    lengths = {field.name: _PROBES.get(field.name, ("x", ""))[0] for field in fields(operation)}  # type: ignore[arg-type]
    samples = operation(**lengths).look_back
    if samples < _PROBE_SLACK:
        return str(samples)
    for length, symbol in _PROBES.values():
        if 0 <= samples - length < _PROBE_SLACK:
            return symbol if samples == length else f"{symbol} + {samples - length}"
    raise ValueError(f"the look-back of {operation.__name__} depends on a parameter that has no symbol here")


def commands() -> str:
    """The words of the one command."""
    rows = [f"| `{name}` | {command.meaning} |" for name, command in COMMANDS.items()]
    return "\n".join(["| `eagle-ml ...` | |", "|---|---|", *rows])


def run_arguments() -> str:
    """The arguments of ``eagle-ml run``."""
    return _command("eagle-ml run", run_command.build_parser())


def step_arguments() -> str:
    """The command line of each of the five steps."""
    parts = []
    for step in STEPS:
        parser = importlib.import_module(f"ml.scripts.{step}").build_parser()
        parts.append(_command(f"python scripts/{step}.py", parser))
    return "\n\n".join(parts)


def workspace_arguments() -> str:
    """The command line of the version keeper, one entry per command."""
    parser = workspace_commands.build_parser()
    commands = next(action.choices for action in _actions(parser) if isinstance(action.choices, dict))
    return "\n\n".join(_command(f"python -m ml.workspace {name}", inner) for name, inner in commands.items())


def fleet_arguments() -> str:
    """The arguments of ``python -m ml.fleet``."""
    return _command("python -m ml.fleet", fleet_command.build_parser())


def predict_arguments() -> str:
    """The command line of batch scoring."""
    return _command("python -m ml.predict", predict_command.build_parser())


def monitor_arguments() -> str:
    """The command line of monitoring."""
    return _command("python -m ml.monitor", monitor_command.build_parser())


def retrain_arguments() -> str:
    """The command line of retraining."""
    return _command("python -m ml.retrain", retrain_command.build_parser())


def _command(start: str, parser: argparse.ArgumentParser) -> str:
    arguments = list(_actions(parser))
    usage = " ".join([start, *(_in_usage(argument) for argument in arguments)])
    rows = [f"| `{_name(argument)}` | {argument.help} |" for argument in arguments]
    return "\n".join([f"**`{usage}`**", "", parser.description or "", "", "| Argument | Meaning |", "|---|---|", *rows])


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments but for ``--help``; argparse offers no public way to list them."""
    return (action for action in parser._actions if action.dest != "help")


def _name(argument: argparse.Action) -> str:
    return argument.option_strings[-1] if argument.option_strings else str(argument.metavar or argument.dest)


def _in_usage(argument: argparse.Action) -> str:
    optional = bool(argument.option_strings) or argument.nargs == "?"
    return f"[{_name(argument)}]" if optional else _name(argument)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "run arguments": run_arguments,
    "exit codes": exit_codes,
    "feature families": feature_families,
    "serving profiles": serving_profiles,
    "step arguments": step_arguments,
    "workspace arguments": workspace_arguments,
    "fleet arguments": fleet_arguments,
    "predict arguments": predict_arguments,
    "monitor arguments": monitor_arguments,
    "retrain arguments": retrain_arguments,
}
