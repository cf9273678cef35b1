"""What the result of a step has to tell beside its figures, put together in one place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import EagleError
from ml.findings import Finding
from ml.windows.timing import timing_findings
from ml.workspace.files import read_json
from ml.workspace.paths import OrganizationPaths

Warnings = list[dict[str, Any]]


def warnings_of(
    config: OrganizationConfig, summary: Mapping[str, Any], interval: int, of_step: Iterable[Finding] = ()
) -> Warnings:
    """Findings of reading the configuration, of lags, of a step, and of the data, in their JSON form.

    Parameters
    ----------
    summary
        Of the prepared data.
    interval
        Sampling interval in seconds.
    """
    findings = [*config.findings, *timing_findings(config, interval), *of_step]
    return distinct([*(finding.to_json() for finding in findings), *summary.get("findings", [])])


def warnings_of_training(paths: OrganizationPaths, version: str) -> Warnings:
    """What training told about the version; nothing if it left no metrics.json."""
    try:
        told = read_json(paths.metrics(version), "metrics.json").get("warnings")
    except EagleError:
        return []
    return [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []


def distinct(warnings: Warnings) -> Warnings:
    """Each warning once, in the order of its first appearance."""
    return [entry for at, entry in enumerate(warnings) if entry not in warnings[:at]]
