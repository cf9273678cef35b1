"""The report as one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ml import wording
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report.page.attributions import attribution_summary, bars_of
from ml.evaluation.report.page.drift import drift_summary
from ml.evaluation.report.page.normal import normal_page
from ml.evaluation.report.page.tables import Table, breakable
from ml.evaluation.report.plots import ROBUSTNESS_AXES, TOP_FEATURES
from ml.evaluation.report.report import ValidationReport
from ml.evaluation.report.verdict import WEAKNESSES, measured, requirement
from ml.pages.environment import environment
from ml.workspace.files import plain

_TEMPLATES = Path(__file__).parent / "templates"
MAX_BYTES = 3_000_000
"""What a page stays below, so that it can be sent by mail and opened on a phone."""
MOST_RECORDS, MOST_SENTENCES = 200, 100
"""Rows of a table and sentences of a section; the rest is in the JSON report. Ten thousand assets still make a page."""

_CONTENTS = "<!-- contents -->"
_PNG_SIGNATURE = b"\x89PNG"
_SENTENCES = ("verdict", "sentences", "warnings", "notes")  # keys whose text is shown as sentences


@dataclass(frozen=True)
class Picture:
    """A picture as the page shows it."""

    source: str
    """``data:`` address."""
    caption: str
    alternative: str
    """What a reader who cannot see it needs to know."""


def render_html(report: ValidationReport, plots: Mapping[str, bytes], story: Mapping[str, Any] | None = None) -> str:
    """Render the report.

    Parameters
    ----------
    report
        What was found out. All text in it is escaped, whatever it holds.
    plots
        Pictures, SVG or PNG, under the names ``timeline``, ``precision_recall``, ``roc``, ``confusion``,
        ``score_distribution``, ``calibration``, ``robustness_<kind>``, ``split`` and ``folds``; those that are missing
        are left out. Others are ignored: the importance picture is a table here, which keeps long feature names
        readable on a phone.
    story
        The data of the timeline, which the page draws for any stretch of time; without scripts it shows the picture.
    """
    pages = environment(_TEMPLATES)
    pages.filters["breakable"] = breakable
    pages.globals.update(
        requirement=requirement,
        measured=measured,
        rate_and_unit=wording.rate_and_unit,
        duration_range=wording.duration_range,
    )
    script = pages.get_template("timeline.js").render() if story and story["tracks"] else ""
    interval = (report.provenance or {}).get("samplingIntervalSeconds")
    outcome, _, weaknesses = report.verdict.partition(WEAKNESSES)
    html = pages.get_template("report.html.j2").render(
        report=report,
        outcome=outcome,
        weaknesses=weaknesses,
        events=plain(report.events),
        pictures=_pictures(report, plots),
        intervals=_intervals(report),
        features=bars_of(
            {each["feature"]: each["gain"] for each in report.ranked_importances()}, TOP_FEATURES, interval
        ),
        detection=report.is_detection,
        notice=plain(report.notice_seconds),
        per_failure=records_table((report.events or {}).get("failureList"), "Failure"),
        per_mode=records_table((report.events or {}).get("perMode"), "Mode"),
        naming=plain((report.events or {}).get("modes")),
        per_named=records_table(((report.events or {}).get("modes") or {}).get("perMode"), "Mode"),
        per_asset=records_table((report.events or {}).get("perAsset"), "Asset"),
        data=_section(report.data_summary, {"sensors": "Sensor"}),
        split=_section(_with_parts(report.split), {"parts": "Part"}),
        provenance=_section(report.provenance, {}),
        robustness=_robustness_table(report),
        drift=drift_summary(report.drift),
        normal=normal_page(report.normal),
        drivers=attribution_summary(report.explanation, interval),
        story=story,
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )
    return html.replace(_CONTENTS, _contents(html), 1)


def _contents(html: str) -> str:
    """A link to each section of the page."""
    headings = re.findall(r'<h2 id="([\w-]+)">(.*?)</h2>', html)
    return "\n".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading in headings)


def records_table(records: Any, name_heading: str) -> Table | None:
    """A table of ``{name: {key: value}}`` or ``[{key: value}]``; None for anything else, or if empty.

    Columns appear in the order in which keys are first seen; nested values are left out.
    """
    if isinstance(records, Mapping):
        named: Iterable[tuple[str | None, Any]] = [(str(name), record) for name, record in records.items()]
    elif isinstance(records, list | tuple):
        named = [(None, record) for record in records]
    else:
        return None
    rows = [(name, plain(record)) for name, record in named]
    if not all(isinstance(record, Mapping) for _, record in rows):
        return None
    keys = list(
        dict.fromkeys(key for _, record in rows for key, value in record.items() if not isinstance(value, dict))
    )
    if not rows or not keys:
        return None
    has_names = rows[0][0] is not None
    headings = ([name_heading] if has_names else []) + [wording.title(key) for key in keys]
    cells = [
        ([str(name)] if has_names else []) + [wording.plain(key, record.get(key)) for key in keys]
        for name, record in rows[:MOST_RECORDS]
    ]
    return Table(tuple(headings), tuple(tuple(row) for row in cells), len(rows) - len(cells))


@dataclass(frozen=True)
class _Section:
    """A free-form mapping sorted into what the page can show: sentences, facts and tables."""

    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, Table], ...]


def _section(content: Mapping[str, Any] | None, record_names: Mapping[str, str]) -> _Section | None:
    """Sort a mapping: text under a key of `_SENTENCES`, records as tables, everything else as facts.

    What is nested deeper than a table is left to the JSON report.
    """
    if not content:
        return None
    sentences: list[str] = []
    facts: list[tuple[str, str]] = []
    tables: list[tuple[str, Table]] = []
    for key, value in plain(content).items():
        table = records_table(value, record_names.get(key, "Name"))
        if table is not None:
            tables.append((wording.title(key), table))
        elif key in _SENTENCES:
            sentences += [str(item) for item in (value if isinstance(value, list) else [value])]
        elif isinstance(value, dict):
            facts += [
                (f"{wording.title(key)}: {_inner_title(name)}", wording.plain(name, item))
                for name, item in value.items()
                if not isinstance(item, dict | list)
            ]
        elif value not in (None, []):
            facts.append((wording.title(key), wording.plain(key, value)))
    if len(sentences) > MOST_SENTENCES:
        left_out = wording.plural(len(sentences) - MOST_SENTENCES, "more sentence")
        sentences = [*sentences[:MOST_SENTENCES], f"{left_out} in validation_report.json."]
    return _Section(tuple(sentences), tuple(facts), tuple(tables))


def _intervals(report: ValidationReport) -> dict[str, str | None]:
    """The 95 % intervals of the three event numbers in words, where they were measured."""
    measured_intervals = plain((report.events or {}).get("intervals") or {})
    notice = "detectionDelayMedianSeconds" if report.is_detection else "leadTimeMedianSeconds"
    shown: dict[str, tuple[str, Callable[[float, float], str]]] = {
        "failures": ("eventRecall", wording.percent_range),
        "notice": (notice, wording.duration_range),
        "falseAlarms": ("falseAlarmsPerAssetDay", wording.rate_range),
    }
    return {
        name: f"95{wording.NO_BREAK}% interval: {say(*interval)}" if interval else None
        for name, (key, say) in shown.items()
        for interval in (measured_intervals.get(key),)
    }


def _inner_title(name: str) -> str:
    """The name of a fact within a fact: lower case, unless it is a name that the data brought along."""
    heading = wording.title(name)
    return heading[:1].lower() + heading[1:] if heading.lower() != name.lower() else name


def _with_parts(split: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The split's description with its parts gathered under one key, so that they form one table."""
    if split is None:
        return None
    parts = {
        name: {**part, **{f"of_{mode}": count for mode, count in part.get("perMode", {}).items()}}
        for name, part in split.items()
        if isinstance(part, Mapping)
    }
    rest = {key: value for key, value in split.items() if key not in parts}
    return {**rest, "parts": parts} if parts else rest


def _robustness_table(report: ValidationReport) -> Table | None:
    """Metrics per level; the untouched rows, which every kind starts from, once."""
    perturbed = [point for point in report.robustness if point.level > 0]
    points = list(report.robustness[:1]) + perturbed
    if not perturbed:
        return None
    return Table(
        ("What was done", "Average precision", "ROC AUC", "F1"),
        tuple(
            (_what_was_done(point), *(wording.score(value) for value in (point.average_precision, point.auc, point.f1)))
            for point in points
        ),
    )


def _what_was_done(point: RobustnessPoint) -> str:
    if point.level == 0:
        return "nothing"
    return {
        "noise": f"noise of {point.level:g} standard deviations",
        "missing": f"{wording.percent(point.level)} of the readings removed",
        "stuck": f"{wording.percent(point.level)} of the sensors stuck",
        "lost": f"{wording.percent(point.level)} of the sensors lost",
        "jitter": f"readings up to {wording.plural(int(point.level), 'interval')} late or early",
    }[point.kind]


def _pictures(report: ValidationReport, plots: Mapping[str, bytes]) -> dict[str, Picture]:
    (tn, fp), (fn, tp) = report.metrics.confusion
    score_name = "Probability" if report.normal is None else "Score"
    texts = {
        "timeline": (f"{score_name} over time", f"{score_name} over time, alarms and failures of some assets."),
        "precision_recall": (
            "Precision and recall",
            f"Precision-recall curve; average precision {wording.score(report.metrics.average_precision)}.",
        ),
        "roc": ("ROC", f"ROC curve; area {wording.score(report.metrics.auc)}."),
        "confusion": (
            "Confusion",
            f"{tn} quiet rows right, {fp} rows of false alarm, {fn} positive rows missed, {tp} positive rows found.",
        ),
        "modes": ("Modes of failure", "Failures by mode and by what the model named them; the table has the numbers."),
        "score_distribution": ("Scores by class", "Histogram of the probability of positive and of negative rows."),
        "calibration": ("Calibration", "Predicted probability against the share of positive rows."),
        "time_to_failure": (
            "Time to failure",
            "Said against true time to failure: the first alarm of every failure, and five failures on the way.",
        ),
        "split": ("Parts", "Assets over time: which rows are training, validation, test or purged, and the failures."),
        "folds": ("Folds of the search", "Assets over time: which rows each fold of the search holds out."),
        **{
            f"robustness_{kind}": (trouble, f"Metrics against: {trouble}; the numbers are in the table below.")
            for kind, trouble in ROBUSTNESS_AXES.items()
        },
    }
    return {
        name: Picture(_data_address(plots[name]), caption, alternative)
        for name, (caption, alternative) in texts.items()
        if name in plots
    }


def _data_address(image: bytes) -> str:
    kind = "image/png" if image.startswith(_PNG_SIGNATURE) else "image/svg+xml"
    return f"data:{kind};base64,{base64.b64encode(image).decode('ascii')}"
