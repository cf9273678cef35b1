"""One table of what became of every organisation: as JSON, and as a page that needs no network."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml import wording
from ml.errors import IsolationError, UsageError
from ml.pages.environment import render
from ml.scale.fleet.task import Outcome
from ml.workspace.configurations import in_an_organization
from ml.workspace.files import plain, write_json, write_text
from ml.workspace.paths import workspace_root

FORMAT_VERSION = 1
FOLDER = "fleet_summary"
"""In the workspace root, beside the folders of models and artifacts: it names several organisations."""

NOT_KNOWN = "-"

GOOD_STATES = frozenset({"done", "unchanged"})


@dataclass(frozen=True)
class Summary:
    """The rows, how long all of it took, and within which budget (None on somebody else's cluster)."""

    rows: tuple[dict[str, Any], ...]
    seconds: float
    budget: Mapping[str, Any] | None

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of organisations."""
        return dict(sorted(Counter(row["state"] for row in self.rows).items()))

    @property
    def unfinished(self) -> int:
        """How many failed or were refused."""
        return sum(row["state"] not in GOOD_STATES for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """The content of ``summary.json``."""
        return {
            "formatVersion": FORMAT_VERSION,
            "seconds": round(self.seconds, 2),
            "counts": self.counts,
            "budget": self.budget,
            "organizations": list(self.rows),
        }


def summarize(outcomes: Sequence[Outcome], seconds: float, budget: Mapping[str, Any] | None) -> Summary:
    """All rows, in the order of `outcomes`."""
    return Summary(tuple(plain(outcome.to_json()) for outcome in outcomes), seconds, budget)


def summary_folder(named: str | None) -> Path:
    """Where the summary is written: the folder named, else `FOLDER` in the workspace.

    Raises UsageError if it cannot be the path of a folder, and IsolationError if it lies in ``models/`` or
    ``artifacts/``, where everything belongs to one organisation.
    """
    given = workspace_root() / FOLDER if named is None else Path(named)
    if "\0" in str(given):
        raise UsageError("--summary has a zero byte in it", hint="give the path of a folder")
    if in_an_organization(given):
        raise IsolationError(
            "the summary names several organisations and must not lie in the folders of one",
            hint="name a folder outside models/ and artifacts/ with --summary",
        )
    return Path(os.path.realpath(given))


def write_summary(summary: Summary, folder: Path) -> tuple[Path, Path]:
    """Write ``summary.json`` and ``summary.html``, never half-written; returns their paths."""
    as_json, as_html = folder / "summary.json", folder / "summary.html"
    write_json(as_json, summary.to_json())
    write_text(as_html, render_html(summary))
    return as_json, as_html


def render_html(summary: Summary) -> str:
    """The page; all text in it is escaped, whatever it holds."""
    return render(
        "page.html.j2",
        title=f"{wording.plural(len(summary.rows), 'organisation')} in {summary.seconds:,.0f} s",
        above=None,
        summary=" · ".join(f"{state}: {count}" for state, count in summary.counts.items()),
        trends=[],
        sections=[
            {"heading": "Fleet", "note": "", "headings": _HEADINGS, "rows": [_cells(row) for row in summary.rows]}
        ],
    )


_HEADINGS = (
    "Organisation", "Version", "State", "Verdict", "Failures detected", "False alarms", "Seconds", "Peak memory, MB",
    "Reason",
)  # fmt: skip


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    events = row["events"] or {}
    detected = f"{events['detected']} of {events['failures']}" if "failures" in events else NOT_KNOWN
    peak = row["peakMemoryBytes"]
    return (
        row["organizationId"] or row["configFile"],
        row["version"],
        row["state"],
        row["verdict"] or NOT_KNOWN,
        detected,
        str(events.get("falseAlarms", NOT_KNOWN)),
        f"{row['seconds']:,.1f}",
        f"{peak / 1e6:,.0f}" if peak is not None else NOT_KNOWN,
        row["reason"] or "",
    )
