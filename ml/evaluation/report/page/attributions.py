"""What drove the alarms, on the page: bars per sensor and feature, and a sentence per case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml import wording
from ml.evaluation.attributions.contributions import ExplainedCase, Explanation
from ml.evaluation.report.page.tables import Table
from ml.windows.feature_words import feature_in_words

MOST_SENSORS, MOST_FEATURES = 8, 12


@dataclass(frozen=True)
class Bar:
    """A named share, with its length as a percentage of the longest."""

    name: str
    share: str
    length: str
    words: str = ""
    """What the name means, where that is something else."""


@dataclass(frozen=True)
class AttributionSummary:
    """What the page shows of an explanation."""

    sentence: str
    bars: tuple[tuple[str, tuple[Bar, ...]], ...]
    cases: tuple[tuple[str, Table], ...]


def attribution_summary(explanation: Explanation | None, interval: int | None) -> AttributionSummary | None:
    """The strongest sensors and features, and the cases; None where nothing was explained.

    `interval` is that of the grid, in seconds.
    """
    if explanation is None:
        return None
    bars = (
        ("Sensors", bars_of(explanation.sensors, MOST_SENSORS)),
        ("Features", bars_of(explanation.features, MOST_FEATURES, interval)),
    )
    rows = wording.plural(explanation.alarm_rows, "alarm row")
    some = (
        ""
        if explanation.explained_rows == explanation.alarm_rows
        else f" ({explanation.explained_rows:,} evenly drawn)"
    )
    sentence = f"Mean absolute contribution (SHAP) over {rows}{some}, as shares."
    if not explanation.alarm_rows:
        sentence = "There was no alarm, so nothing drove one."
    cases = (
        ("Missed failure", explanation.missed, explanation.of("missedFailure")),
        ("False alarm", explanation.false, explanation.of("falseAlarm")),
    )
    return AttributionSummary(
        sentence,
        tuple((name, found) for name, found in bars if found),
        tuple((_heading(name, total, shown), _table(name, shown)) for name, total, shown in cases if shown),
    )


def bars_of(weights: Mapping[str, float], most: int, interval: int | None = None) -> tuple[Bar, ...]:
    """The first so many of the weights, as shares of all; those of nothing are left out.

    With the grid's `interval`, in seconds, the names are those of features, and are told in words as well.
    """
    total, longest = sum(weights.values()), max(weights.values(), default=0.0)
    return tuple(
        Bar(
            name,
            wording.percent(weight / total),
            f"{100 * weight / longest:.1f}",
            "" if interval is None else feature_in_words(name, interval),
        )
        for name, weight in list(weights.items())[:most]
        if weight > 0
    )


def _heading(name: str, total: int, shown: Sequence[ExplainedCase]) -> str:
    counted = wording.plural(total, name.lower())
    return f"{counted}, and why" if len(shown) == total else f"{len(shown)} of {counted}, and why"


def _table(name: str, shown: Sequence[ExplainedCase]) -> Table:
    return Table(
        (name, "Highest probability", "Why"),
        tuple(
            (
                f"{each.case.asset}, {wording.plain('', each.case.time)}",
                wording.score(each.case.probability),
                each.sentence,
            )
            for each in shown
        ),
    )
