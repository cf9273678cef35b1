"""Look after an organisation's model versions.

    python -m ml.workspace list ORG [--json]
    python -m ml.workspace promote ORG VERSION [--force]
    python -m ml.workspace rollback ORG [VERSION]
    python -m ml.workspace verify ORG
    python -m ml.workspace prune ORG --keep N

Each prints one JSON document on stdout; `list` prints a table on a terminal unless ``--json`` is given. Exit statuses
are those of the steps: 0 done, 2 usage, 3 no such organisation or version, 4 disk or lock, 5 the version did not pass
validation, 6 a file or the audit log is not as it was written.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

from ml.workspace import audit
from ml.workspace.paths import OrganizationPaths
from ml.workspace.process.options import add_common_options
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command
from ml.workspace.versions.pruning import prune
from ml.workspace.versions.release import has_passed, require_passed_report
from ml.workspace.versions.store import list_versions, publications, publish, require_version, rollback
from ml.workspace.versions.verification import require_organization, verify_organization

_METRICS_SHOWN = 4  # what fits on a line

_Action = Callable[[OrganizationPaths, argparse.Namespace], Mapping[str, Any]]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ml.workspace", description="Look after model versions.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add(commands, "list", "show the versions of an organisation")
    promoting = _add(commands, "promote", "publish a version")
    promoting.add_argument("version", help="version to publish")
    promoting.add_argument(
        "--force", action="store_true", help="publish a version that did not pass validation; audit and list say so"
    )
    returning = _add(commands, "rollback", "publish the version that was published before")
    returning.add_argument("version", nargs="?", help="version to go back to; default: the one published before")
    _add(commands, "verify", "check every file against its manifest, and the audit log")
    pruning = _add(commands, "prune", "remove old versions; the published one always stays")
    pruning.add_argument(
        "--keep",
        type=_count,
        required=True,
        metavar="N",
        help="how many versions to keep beside the published one, those installed last",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""

    def command(arguments: argparse.Namespace, _: Redactor) -> dict[str, Any]:
        paths = OrganizationPaths(arguments.organization)
        require_organization(paths)
        return {"organizationId": paths.organization_id, **_ACTIONS[arguments.command](paths, arguments)}

    return run_command("workspace", build_parser(), command, argv, for_people=_as_table)


def _list(paths: OrganizationPaths, _: argparse.Namespace) -> Mapping[str, Any]:
    return {"versions": [info.to_json() for info in list_versions(paths)], "auditHead": audit.head(paths)}


def _as_table(arguments: argparse.Namespace, result: Mapping[str, Any]) -> str | None:
    """The list of versions as aligned columns; None for what is shown as JSON."""
    if arguments.command != "list" or arguments.json:
        return None
    rows = [("version", "", "installed", "model", "metrics"), *(_row(entry) for entry in result["versions"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = {name: value for name, value in entry["metrics"].items() if isinstance(value, int | float)}
    shown = " ".join(f"{name}={value:.4g}" for name, value in list(numbers.items())[:_METRICS_SHOWN])
    mark = " ".join(word for word in ("current", "forced") if entry[word])
    return entry["version"], mark, entry["installed"], entry["modelType"] or "?", shown


def _promote(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    if arguments.force:
        return publish(paths, arguments.version, forced=not has_passed(paths, arguments.version)).to_json()
    _require_passed(paths, arguments.version)
    return publish(paths, arguments.version).to_json()


def _rollback(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    if arguments.version is not None and arguments.version not in publications(paths):
        _require_passed(paths, arguments.version)  # going back would be a way around promote
    return rollback(paths, arguments.version).to_json()


def _require_passed(paths: OrganizationPaths, version: str) -> None:
    require_version(paths, version)
    hint = "run validate_model.py; to publish it all the same: promote --force, which the audit log will say"
    require_passed_report(paths, version, hint=hint)


def _verify(paths: OrganizationPaths, _: argparse.Namespace) -> Mapping[str, Any]:
    return verify_organization(paths)


def _prune(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    return prune(paths, arguments.keep).to_json()


_ACTIONS: dict[str, _Action] = {
    "list": _list,
    "promote": _promote,
    "rollback": _rollback,
    "verify": _verify,
    "prune": _prune,
}


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not {text!r}")
    return int(text)


def _add(commands: Any, name: str, help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("organization", metavar="ORG", help="organisation id")
    add_common_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
