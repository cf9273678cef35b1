"""What validation said about a version, for lists, comparisons and indexes."""

from __future__ import annotations

from typing import Any

from ml.workspace.files import json_if_readable
from ml.workspace.paths import OrganizationPaths


def report_of(paths: OrganizationPaths, version: str) -> dict[str, Any] | None:
    """The content of the version's validation report; None if there is none that can be read."""
    return json_if_readable(paths.validation_report(version, ".json")) or None


def verdict_of(paths: OrganizationPaths, version: str) -> dict[str, Any]:
    """What a list shows of a version's report; all None if there is none.

    Failures and false alarms are those of the test part.
    """
    report = report_of(paths, version) or {}
    events = report.get("events") or {}
    return {
        "verdict": report.get("status"),
        "failures": events.get("failures"),
        "detected": events.get("detected"),
        "falseAlarms": events.get("falseAlarms"),
        "falseAlarmsPerAssetDay": events.get("falseAlarmsPerAssetDay"),
        "reportPath": str(paths.validation_report(version, ".html")) if report else None,
    }
