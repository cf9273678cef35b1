"""Drift on the page: a sentence, and the sensors and features that moved most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml import wording
from ml.evaluation.drift.evaluated import Drift
from ml.evaluation.report.page.tables import Table

MOST_SHOWN = 10
_KINDS = {"sensor": "Sensor", "feature": "Feature"}
_READINGS = {"stable": "stable", "moderate": "moderate drift", "strong": "strong drift"}


@dataclass(frozen=True)
class DriftSummary:
    """A sentence and a table per kind, under its name."""

    sentence: str
    tables: tuple[tuple[str, Table], ...]


def drift_summary(drift: Sequence[Drift]) -> DriftSummary | None:
    """What moved, by kind; None where nothing was compared. The whole list is in the JSON report."""
    by_kind = {kind: [each for each in drift if each.kind == kind] for kind in _KINDS}
    by_kind = {kind: found for kind, found in by_kind.items() if found}
    if not by_kind:
        return None
    counts = [
        f"{sum(each.reading == 'strong' for each in found)} of {wording.plural(len(found), kind)} drifted strongly"
        for kind, found in by_kind.items()
    ]
    return DriftSummary(
        f"{' and '.join(counts)}.", tuple((f"{_KINDS[kind]}s", _table(kind, found)) for kind, found in by_kind.items())
    )


def _table(kind: str, found: Sequence[Drift]) -> Table:
    return Table(
        (_KINDS[kind], "PSI", "KS", "Reading"),
        tuple(
            (each.name, f"{each.psi:.3f}", wording.score(each.ks), _READINGS[each.reading])
            for each in found[:MOST_SHOWN]
        ),
    )
