"""Look after an organisation's model versions.

    python -m ml.workspace list ORG
    python -m ml.workspace report ORG [VERSION] [--open]
    python -m ml.workspace publish ORG [VERSION] [--force]
    python -m ml.workspace rollback ORG [VERSION]
    python -m ml.workspace verify ORG
    python -m ml.workspace prune ORG --keep N

ORG is an organisation id, or a configuration of the organisation, which then names the version as well. Each prints
one JSON document on stdout, or words on a terminal unless ``--json`` is given. Exit statuses are those of the steps:
0 done, 2 usage, 3 no such organisation or version, 4 disk or lock, 5 the version did not pass validation, 6 a file or
the audit log is not as it was written.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ml import wording
from ml.errors import MissingArtifactError, UsageError
from ml.workspace import audit
from ml.workspace.configurations import load_config
from ml.workspace.paths import OrganizationPaths, for_config
from ml.workspace.process.options import add_common_options
from ml.workspace.process.people import PROGRAM, as_text, shown
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command
from ml.workspace.versions.pruning import prune
from ml.workspace.versions.release import has_passed, require_passed_report
from ml.workspace.versions.store import (
    list_versions,
    publications,
    publish,
    published_version,
    require_version,
    rollback,
)
from ml.workspace.versions.verdicts import verdict_of
from ml.workspace.versions.verification import require_organization, verify_organization

_Action = Callable[[OrganizationPaths, argparse.Namespace], Mapping[str, Any]]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ml.workspace", description="Look after model versions.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add(commands, "list", "show the versions of an organisation")
    reporting = _add(commands, "report", "where the report of a version is")
    reporting.add_argument("version", nargs="?", help="version; default: that of the configuration, else the published")
    reporting.add_argument("--open", action="store_true", help="show it in the browser")
    publishing = _add(commands, "publish", "publish a version")
    publishing.add_argument("version", nargs="?", help="version to publish; default: that of the configuration")
    publishing.add_argument(
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
        paths, version = organization_of(arguments.organization)
        require_organization(paths)
        if arguments.command in _OF_A_VERSION and arguments.version is None:
            arguments.version = version or (published_version(paths) if arguments.command == "report" else None)
            if arguments.version is None:
                raise UsageError("no version is named", hint=f"name one; {PROGRAM} list shows them")
        return {"organizationId": paths.organization_id, **_ACTIONS[arguments.command](paths, arguments)}

    def in_words(arguments: argparse.Namespace, result: Mapping[str, Any]) -> str:
        return as_text(_WORDS[arguments.command](result))

    return run_command("workspace", build_parser(), command, argv, in_words)


def organization_of(named: str) -> tuple[OrganizationPaths, str | None]:
    """The organisation that a command line names by its id, or with its version by a configuration (``*.json``)."""
    if not named.endswith(".json"):
        return OrganizationPaths(named), None
    config = load_config(named)
    return for_config(config), config.version


def _list(paths: OrganizationPaths, _: argparse.Namespace) -> Mapping[str, Any]:
    versions = [{**info.to_json(), **verdict_of(paths, info.name)} for info in list_versions(paths)]
    return {"versions": versions, "auditHead": audit.head(paths)}


def _report(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    file = paths.validation_report(arguments.version, ".html")
    if not file.is_file():
        raise MissingArtifactError(f'version "{arguments.version}" has no report', hint="run validate_model.py")
    if arguments.open:
        webbrowser.open(file.as_uri())
    return {"version": arguments.version, "reportPath": str(file)}


def _table(result: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("version", "", "installed", "verdict", "detected", "false alarms", "report"),
        *(_row(entry) for entry in result["versions"]),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    mark = " ".join(word for word in ("current", "forced") if entry[word])
    known = entry["failures"] is not None
    return (
        entry["version"],
        mark,
        entry["installed"][:16],
        entry["verdict"] or "not validated",
        f"{entry['detected']} of {entry['failures']}" if known else "-",
        str(entry["falseAlarms"]) if known else "-",
        shown(entry["reportPath"]) if entry["reportPath"] else "-",
    )


def _changed(result: Mapping[str, Any]) -> Iterator[str]:
    before = f" in place of {result['previousVersion']}" if result["previousVersion"] else ""
    forced = " No passed validation stands behind it." if result["forced"] else ""
    yield f"Version {result['version']} is published{before}.{forced}"


def _verified(result: Mapping[str, Any]) -> Iterator[str]:
    versions, records = wording.plural(result["versions"], "version"), wording.plural(result["auditRecords"], "record")
    yield f"{versions} and {records} of the audit log are as they were written."
    yield f"Published: {result['current'] or 'none'}"


def _pruned(result: Mapping[str, Any]) -> Iterator[str]:
    for key, words in (("removed", "Removed"), ("busy", "In use, so not removed"), ("kept", "Kept")):
        if result[key]:
            yield f"{words}: {', '.join(result[key])}"


def _publish(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    if arguments.force:
        return publish(paths, arguments.version, forced=not has_passed(paths, arguments.version)).to_json()
    _require_passed(paths, arguments.version)
    return publish(paths, arguments.version).to_json()


def _rollback(paths: OrganizationPaths, arguments: argparse.Namespace) -> Mapping[str, Any]:
    if arguments.version is not None and arguments.version not in publications(paths):
        _require_passed(paths, arguments.version)  # going back would be a way around publish
    return rollback(paths, arguments.version).to_json()


def _require_passed(paths: OrganizationPaths, version: str) -> None:
    require_version(paths, version)
    hint = "run validate_model.py; to publish it all the same: publish --force, which the audit log will say"
    require_passed_report(paths, version, hint=hint)


_ACTIONS: dict[str, _Action] = {
    "list": _list,
    "report": _report,
    "publish": _publish,
    "rollback": _rollback,
    "verify": lambda paths, _: verify_organization(paths),
    "prune": lambda paths, arguments: prune(paths, arguments.keep),
}
_OF_A_VERSION = ("report", "publish")
_WORDS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "list": _table,
    "report": lambda result: iter([shown(result["reportPath"])]),
    "publish": _changed,
    "rollback": _changed,
    "verify": _verified,
    "prune": _pruned,
}


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not {text!r}")
    return int(text)


def _add(commands: Any, name: str, help_text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("organization", metavar="ORG", help="organisation id, or a configuration of it")
    add_common_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
