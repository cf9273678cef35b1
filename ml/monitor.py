"""Look at a published model in production: is it still right, and is a new one due?

    python -m ml.monitor ORG|CONFIG [--since TIME] [--until TIME]

Reads: models/<organisation>/current, the rows of the configured source since it went live, the record of failures and
the answers to alarms (feedbackConfig). Writes: artifacts/<organisation>/<version>/monitoring.json and .html. Exit
status: 0 if no new model is needed, 5 if one is due (you get both files even then), others: see ml/errors.py.
"""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import EagleError, MissingArtifactError, QualityGateError, UsageError
from ml.progress import ProgressCallback, silent
from ml.workspace.paths import OrganizationPaths, for_config
from ml.workspace.process.options import add_common_options
from ml.workspace.step_runner import run_step
from ml.workspace.versions.store import live_since, published_version

STEP = "monitor"
_YEARS = range(1970, 2200)


@dataclass(frozen=True)
class MonitoringResult:
    """The content of ``monitoring.json``, and where the page is."""

    content: dict[str, Any]
    page: Path
    json_file: Path

    @property
    def is_due(self) -> bool:
        """Whether a new model is due."""
        return bool(self.content["retrain"] == "yes")

    def to_json(self) -> dict[str, Any]:
        """The step's part of the JSON result."""
        return {**self.content, "reportPath": str(self.page), "reportJsonPath": str(self.json_file)}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m ml.monitor", description="Look at a published model.")
    parser.add_argument(
        "config",
        metavar="ORG|CONFIG",
        type=_configuration,
        help="configuration of the organisation (JSON), or its id if its published version was trained by a request",
    )
    parser.add_argument("--since", type=_time, help="look from this time on (ISO 8601); default: when it went live")
    parser.add_argument("--until", type=_time, help="and up to this time; default: now")
    add_common_options(parser)
    return parser


def run(
    config: OrganizationConfig,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    progress: ProgressCallback | None = None,
) -> MonitoringResult:
    """Look at the published version, write ``monitoring.json`` and the page, and say whether a new model is due.

    Raises
    ------
    MissingArtifactError
        If nothing is published, or the audit log does not say since when and `since` is not given.
    UsageError
        If `since` is not before `until`.
    DataError, SourceError, ConfigError, IsolationError, IntegrityError, StorageError
        As ml/errors.py describes them.
    """
    # Numerical libraries are imported once the configuration is known to be good: its errors must come at once.
    from ml.monitoring.decision import decide
    from ml.monitoring.kept import fingerprint
    from ml.monitoring.page import render_page
    from ml.monitoring.production import Span, look_at
    from ml.predict import load_model
    from ml.workspace.files import plain, write_json, write_text
    from ml.workspace.versions.verdicts import report_of

    paths = OrganizationPaths(config.organization_id)  # outputPath is another version's
    version = published_version(paths)
    mark = "" if since or until else fingerprint(config, paths, version)  # before rows are read, which may come later
    span = Span(since or _went_live(paths, version), until or datetime.now(UTC))
    if span.since >= span.until:
        raise UsageError(f"--since {span.since.isoformat()} is not before --until {span.until.isoformat()}")
    figures = look_at(config, paths, load_model(config.organization_id, version), span, progress or silent)
    content = plain(
        {
            "organizationId": config.organization_id,
            "version": version,
            **figures,
            **decide(config, figures, report_of(paths, version) or {}),
        }
    )
    page, json_file = paths.monitoring(version, ".html"), paths.monitoring(version, ".json")
    report = paths.validation_report(version, ".html")
    write_text(page, render_page(content, report.name if report.is_file() else None))
    write_json(json_file, {"formatVersion": 1, "fingerprint": mark, **content})
    return MonitoringResult(content, page, json_file)


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""

    def work(config: OrganizationConfig, arguments: argparse.Namespace, progress: ProgressCallback) -> MonitoringResult:
        result = run(config, since=arguments.since, until=arguments.until, progress=progress)
        if result.is_due:
            hint = f"python -m ml.retrain; the page says more: {result.page}"
            raise QualityGateError(result.content["verdict"], hint=hint, partial=result.to_json())
        return result

    return run_step(
        STEP, build_parser(), work, argv, reads_version=lambda config, _: published_version(for_config(config))
    )


def configuration_of(organization: str) -> Path:
    """The configuration by which an organisation's published version was made.

    Raises MissingArtifactError if none was kept in its artifacts, and as `published_version`.
    """
    paths = OrganizationPaths(organization)
    version = published_version(paths)
    for file in (paths.request(version), paths.tuning(version) / "training_config.json"):
        if file.is_file():
            return file
    raise MissingArtifactError(
        f'the published version of organisation "{organization}" was made by a configuration that lies elsewhere',
        hint="name the configuration in place of the organisation",
    )


def _went_live(paths: OrganizationPaths, version: str) -> datetime:
    since = live_since(paths, version)
    if since is None:
        raise MissingArtifactError(
            f'the audit log does not say when version "{version}" went live', hint="say it with --since"
        )
    return since


def _configuration(text: str) -> str:
    if text.endswith(".json") or os.path.isfile(text):  # noqa: PTH113 - false for any odd name
        return text
    try:
        return str(configuration_of(text))
    except EagleError as error:
        raise argparse.ArgumentTypeError(f"{error.message}; {error.hint}" if error.hint else error.message) from None


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in ISO 8601, such as 2026-03-01T00:00Z") from None
    if time.year not in _YEARS:
        raise argparse.ArgumentTypeError(f"{text!r} is not between {_YEARS.start} and {_YEARS.stop}")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
