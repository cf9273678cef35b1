"""Offline pages that lead to everything: one of an organisation, one of the workspace.

    eagle-ml index [ORG]

``artifacts/<organisation>/index.html`` lists the versions with their verdicts, what is published, and how the numbers
went from version to version. ``index.html`` in the workspace has a row for each organisation, and leads to the summary
of the last fleet run.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml import wording
from ml.errors import EagleError
from ml.pages.environment import Link, Trend, render, trend
from ml.workspace.files import write_text
from ml.workspace.paths import INDEX, OrganizationPaths, organizations, workspace_root
from ml.workspace.process.options import add_common_options
from ml.workspace.process.people import as_text, shown
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command
from ml.workspace.versions.store import VersionInfo, current_version, list_versions
from ml.workspace.versions.verdicts import report_of

_NONE = "-"
_FLEET_SUMMARY = Path("fleet_summary/summary.html")
_HEADINGS = (
    "Version", "", "Verdict", "Failures detected", "Lead time, median", "False alarms", "Average precision",
    "Tested on", "Installed",
)  # fmt: skip


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="eagle-ml index", description="Write the pages that lead to every report.")
    parser.add_argument(
        "organization", metavar="ORG", nargs="?", help="organisation id, or a configuration of it; default: all"
    )
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""

    def command(arguments: argparse.Namespace, _: Redactor) -> Mapping[str, Any]:
        if arguments.organization is None:
            return {"indexPath": str(write_workspace_index())}
        from ml.workspace.__main__ import organization_of

        return {"indexPath": str(write_index(organization_of(arguments.organization)[0]))}

    return run_command(
        "index", build_parser(), command, argv, lambda _, result: as_text([f"  Index  {shown(result['indexPath'])}"])
    )


def refresh(named: str | None) -> None:
    """Write the page of an organisation again, named as on a command line, or of all that a folder of a fleet names.

    It is a by-product: where it cannot be written, what the command itself has done stands.
    """
    from ml.workspace.__main__ import organization_of

    with suppress(EagleError, OSError):
        if named is not None and Path(named).is_dir():
            write_workspace_index()
        elif named is not None:
            write_index(organization_of(named)[0])


def write_index(paths: OrganizationPaths) -> Path:
    """Write the page of one organisation; raises as reading its versions."""
    versions = sorted(list_versions(paths), key=lambda each: each.installed)
    reports = [report_of(paths, each.name) or {} for each in versions]
    published = next((each.name for each in versions if each.current), None)
    comparisons = [
        [Link(f"{page.parent.name} against {page.stem.partition('_with_')[2]}", f"{page.parent.name}/{page.name}")]
        for page in paths.comparisons()
    ]
    sections = [
        {
            "heading": "Versions",
            "note": "The numbers are those of the test part, which no step learned from.",
            "headings": _HEADINGS,
            "rows": [_row(paths, info, report) for info, report in reversed(list(zip(versions, reports, strict=True)))],
        }
    ]
    if comparisons:
        sections.append({"heading": "Comparisons", "note": "", "headings": ["Versions"], "rows": comparisons})
    root = paths.artifacts.parent.parent
    above = Link("All organisations", os.path.relpath(root / INDEX, paths.artifacts))
    html = render(
        "page.html.j2",
        title=paths.organization_id,
        above=above if (root / INDEX).is_file() else None,
        summary=f"{wording.plural(len(versions), 'version')}; {published or 'none'} is published.",
        trends=_trends(reports),
        sections=sections,
    )
    write_text(paths.index, html)
    return paths.index


def write_workspace_index() -> Path:
    """Write the pages of all organisations and the one that leads to them."""
    root = workspace_root()
    file = root / INDEX
    if not file.is_file():
        write_text(file, "")  # so that the pages below lead to it
    rows = [row for name in organizations() if (row := _organization(name)) is not None]
    summary = root / _FLEET_SUMMARY
    html = render(
        "page.html.j2",
        title="Organisations",
        above=Link("Summary of the last fleet run", str(_FLEET_SUMMARY)) if summary.is_file() else None,
        summary=f"{wording.plural(len(rows), 'organisation')} in this workspace.",
        trends=[],
        sections=[
            {
                "heading": "Published versions",
                "note": "The newest version stands in the last column, where another one is published.",
                "headings": ("Organisation", *_HEADINGS[:1], *_HEADINGS[2:8], "Newest"),
                "rows": rows,
            }
        ],
    )
    write_text(file, html)
    return file


def _organization(name: str) -> list[str | Link] | None:
    """Its row, after its own page has been written; None for what is no organisation's folder."""
    with suppress(EagleError):
        paths = OrganizationPaths(name)
        write_index(paths)
        versions = list_versions(paths)
        published = current_version(paths)
        row: list[str | Link] = [_NONE] * 7
        if (info := next((each for each in versions if each.name == published), None)) is not None:
            version, _, *numbers, _ = _row(paths, info, report_of(paths, info.name) or {}, f"artifacts/{name}/")
            row = [version, *numbers]
        newest = max(versions, key=lambda each: each.installed, default=None)
        last = newest.name if newest is not None and newest.name != published else ""
        return [Link(name, f"artifacts/{name}/{INDEX}"), *row, last]
    return None


def _row(paths: OrganizationPaths, info: VersionInfo, report: Mapping[str, Any], before: str = "") -> list[str | Link]:
    events, metrics = report.get("events") or {}, report.get("metrics") or {}
    page = paths.validation_report(info.name, ".html")
    tested = report.get("testSet") or {}
    name: str | Link = info.name
    if page.is_file():
        name = Link(info.name, f"{before}{page.relative_to(paths.artifacts).as_posix()}")
    return [
        name,
        " ".join(word for word, holds in (("published", info.current), ("forced", info.forced)) if holds),
        report.get("status", "not validated"),
        f"{events['detected']} of {events['failures']}" if events.get("failures") else _NONE,
        wording.duration((events.get("leadTimeSeconds") or {}).get("median")) if events else _NONE,
        " ".join(wording.rate_and_unit(events.get("falseAlarmsPerAssetDay"))) if events else _NONE,
        wording.score(metrics.get("averagePrecision")) if metrics else _NONE,
        f"{tested['from'][:10]} to {tested['to'][:10]}" if tested.get("from") else _NONE,
        info.installed.date().isoformat(),
    ]


def _trends(reports: list[dict[str, Any]]) -> list[Trend]:
    figures = (
        ("Average precision", "metrics", "averagePrecision", wording.score),
        ("Share of failures detected", "events", "eventRecall", wording.percent),
        ("False alarms per asset and day", "events", "falseAlarmsPerAssetDay", wording.rate),
    )
    found = []
    for name, part, key, say in figures:
        values = [(report.get(part) or {}).get(key) for report in reports]
        found.append(trend(name, values, [say(value) for value in values]))
    return [each for each in found if each is not None]
