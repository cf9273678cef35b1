"""What the result of a step has to tell beside its figures, put together in one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import EagleError, NoRowsError, TooFewFailuresError
from ml.findings import Finding, distinct
from ml.windows.serving import timing_findings
from ml.workspace.files import json_if_readable
from ml.workspace.paths import OrganizationPaths

Warnings = list[dict[str, Any]]
_WHY_ROWS_LACK = ("MACHINES_MIXED", "ASSETS_SAMPLED_SLOWLY")


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


@contextmanager
def told_with_failures(summary: Mapping[str, Any]) -> Iterator[None]:
    """Let a failure inside the block tell the findings of the prepared data as ``warnings``.

    Where too little is left to learn from, those that may be why are part of its hint: many a caller reads no more.
    """
    try:
        yield
    except EagleError as error:
        found: Warnings = summary.get("findings", [])
        error.partial = {**error.partial, "warnings": found}
        if isinstance(error, NoRowsError | TooFewFailuresError):
            causes = [entry for entry in found if entry["code"] in _WHY_ROWS_LACK]
            hints = [f"{entry['message']} {entry.get('hint', '')}".strip() for entry in causes]
            error.hint = "; or: ".join([*hints, *([error.hint] if error.hint else [])]) or None
        raise


def warnings_of_training(paths: OrganizationPaths, version: str) -> Warnings:
    """What training told about the version; nothing if it left no metrics.json."""
    told = json_if_readable(paths.metrics(version)).get("warnings")
    return [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
