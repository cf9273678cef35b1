"""Two versions of an organisation side by side.

    eagle-ml compare ORG A B

Prints the numbers of both, and writes ``compared_with_<A>.html`` beside the report of B: verdicts, metrics with
intervals, the rows that both were tested on, features, parameters and data.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ml import wording
from ml.errors import MissingArtifactError
from ml.pages.environment import Link, render
from ml.windows.feature_words import feature_in_words
from ml.workspace.files import read_json, write_text
from ml.workspace.paths import INDEX, OrganizationPaths
from ml.workspace.process.options import add_common_options
from ml.workspace.process.people import as_text, shown
from ml.workspace.process.redaction import Redactor
from ml.workspace.step_runner import run_command
from ml.workspace.versions.store import METADATA_FILE, require_version
from ml.workspace.versions.verdicts import report_of

_MOST_FEATURES = 15
_SEED = 0


class _Number(NamedTuple):
    """A number of a report: its name, where it is, and how it and its interval are told."""

    name: str
    part: str
    key: str
    say: Callable[[float | None], str]
    say_interval: Callable[[float, float], str] | None = None


def _rate_range(low: float, high: float) -> str:
    return f"{wording.rate(low)} to {wording.rate(high)}"


def _score_range(low: float, high: float) -> str:
    return f"{wording.score(low)} to {wording.score(high)}"


_NUMBERS = (
    _Number("Failures detected", "events", "eventRecall", wording.percent, wording.percent_range),
    _Number("Lead time, median", "events", "leadTimeMedianSeconds", wording.duration, wording.duration_range),
    _Number("False alarms per asset and day", "events", "falseAlarmsPerAssetDay", wording.rate, _rate_range),
    _Number("Healthy time in alarm", "events", "healthyTimeInAlarm", wording.percent, wording.percent_range),
    _Number("Alarms that were right", "events", "alarmPrecision", wording.percent, wording.percent_range),
    _Number("Average precision", "metrics", "averagePrecision", wording.score, _score_range),
    _Number("ROC AUC", "metrics", "auc", wording.score),
    _Number("Precision of rows", "metrics", "precision", wording.score),
    _Number("Recall of rows", "metrics", "recall", wording.score),
    _Number("Brier score (0 is best)", "metrics", "brier", wording.score),
)


class _Version(NamedTuple):
    name: str
    report: dict[str, Any]
    metadata: dict[str, Any]


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="eagle-ml compare", description="Two versions side by side.")
    parser.add_argument("organization", metavar="ORG", help="organisation id, or a configuration of it")
    parser.add_argument("a", metavar="A", help="a version")
    parser.add_argument("b", metavar="B", help="the version to compare with it")
    add_common_options(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run from a command line; returns the exit status."""
    return run_command("compare", build_parser(), _compare, argv, lambda _, result: as_text(_in_words(result)))


def _compare(arguments: argparse.Namespace, _: Redactor) -> Mapping[str, Any]:
    from ml.command.index import write_index
    from ml.workspace.__main__ import organization_of

    paths = organization_of(arguments.organization)[0]
    a, b = (_read(paths, name) for name in (arguments.a, arguments.b))
    numbers = [
        {"name": each.name, "values": [_value(version, each) for version in (a, b)], "words": _words(each, a, b)}
        for each in _NUMBERS
    ]
    common = None if _question(a) != _question(b) else _common_rows(paths, a, b)
    page = paths.comparison(b.name, a.name)
    write_text(page, _page(paths, a, b, numbers, _on_common_rows(a, b, common)))
    write_index(paths)
    return {
        "organizationId": paths.organization_id,
        "versions": [a.name, b.name],
        "verdicts": [each.report["status"] for each in (a, b)],
        "horizonSeconds": [each.metadata["horizonSeconds"] for each in (a, b)],
        "numbers": numbers,
        "commonRows": common,
        "inWords": _on_common_rows(a, b, common),
        "comparisonPath": str(page),
    }


def _read(paths: OrganizationPaths, name: str) -> _Version:
    require_version(paths, name)
    report = report_of(paths, name)
    if report is None:
        raise MissingArtifactError(f'version "{name}" has no report', hint="run validate_model.py for it")
    return _Version(name, report, read_json(paths.version(name) / METADATA_FILE, "the metadata"))


def _value(version: _Version, number: _Number) -> float | None:
    part = version.report.get(number.part) or {}
    if number.key == "leadTimeMedianSeconds":
        return (part.get("leadTimeSeconds") or {}).get("median")
    value: float | None = part.get(number.key)
    return value


def _words(number: _Number, a: _Version, b: _Version) -> list[str]:
    return [number.say(_value(version, number)) + _interval(version, number) for version in (a, b)]


def _interval(version: _Version, number: _Number) -> str:
    found = ((version.report.get("events") or {}).get("intervals") or {}).get(number.key)
    return f" ({number.say_interval(*found)})" if found and number.say_interval else ""


def _common_rows(paths: OrganizationPaths, a: _Version, b: _Version) -> dict[str, Any] | None:
    """Both scores on the rows of the test parts of both, with the interval of their difference; None without such rows.

    Rows that one of them was trained on are in the test part of one only, so they are not among these.
    """
    import numpy as np
    import pandas as pd

    from ml.learning.events.ranking_bootstrap import resampled_average_precision
    from ml.learning.events.resampling import draw, independent_groups, percentile_interval

    files = [paths.predictions(version.name) for version in (a, b)]
    if not all(file.is_file() for file in files):
        return None
    tables = (pd.read_parquet(file) for file in files)
    first, second = (
        table.assign(probability=table["score" if "score" in table else "probability"]).dropna(subset=["probability"])
        for table in tables
    )
    shared = first.merge(second, on=["asset_id", "timestamp"], suffixes=("_x", "_y"))
    both = shared[shared["label_x"] == shared["label_y"]].sort_values(["asset_id", "timestamp"])
    label = both["label_x"].to_numpy()
    if not ((label == 1).any() and (label == 0).any()):
        return None
    groups = independent_groups(both["asset_id"])
    drawn = draw(int(groups.max()) + 1, _SEED)
    scores = [both[f"probability_{side}"].to_numpy(dtype=np.float32) for side in "xy"]
    once = np.ones((1, drawn.shape[1]), dtype=np.int64)
    samples = [resampled_average_precision(label, score, groups, drawn) for score in scores]
    return {
        "rows": len(both),
        "rowsWithOtherLabels": len(shared) - len(both),
        "averagePrecision": [float(resampled_average_precision(label, score, groups, once)[0]) for score in scores],
        "difference": percentile_interval(samples[1] - samples[0]),
    }


def _question(version: _Version) -> tuple[int, int]:
    """What a version predicts: its horizon, and how far its rows are apart, both in seconds."""
    return version.metadata["horizonSeconds"], version.metadata["samplingIntervalSeconds"]


def _on_common_rows(a: _Version, b: _Version, common: Mapping[str, Any] | None) -> str:
    if _question(a) != _question(b):
        horizons, steps = (
            [wording.duration(value) for value in each] for each in zip(_question(a), _question(b), strict=True)
        )
        what = (
            f"horizons ({' and '.join(horizons)})" if horizons[0] != horizons[1] else f"grids ({' and '.join(steps)})"
        )
        return f"The two have different {what}, so they answer different questions and share no rows to compare."
    if common is None:
        return "The two were tested on different rows, so a part of every difference is in the data."
    before, after = (wording.score(value) for value in common["averagePrecision"])
    rows = wording.plural(common["rows"], "row")
    left_out = common["rowsWithOtherLabels"]
    also = f" and that have the same label in both ({left_out:,} more do not)" if left_out else ""
    told = f"On the {rows} that both were tested on{also}, average precision went from {before} to {after}"
    if common["difference"] is None:
        return f"{told}."
    low, high = common["difference"]
    if low == high == 0:
        return f"{told}. They rank all rows alike."
    beyond = "is beyond chance" if low > 0 or high < 0 else "may be chance"
    return f"{told}. The difference lies between {low:+.3f} and {high:+.3f} (95 %), so it {beyond}."


def _page(
    paths: OrganizationPaths, a: _Version, b: _Version, numbers: Sequence[Mapping[str, Any]], summary: str
) -> str:
    names = ("", a.name, b.name)
    sections = [
        {
            "heading": "Numbers",
            "note": "Of the test part of each, in brackets the 95 % interval.",
            "headings": names,
            "rows": [
                ["Verdict", *(Link(each.report["status"], _report_address(paths, each, b)) for each in (a, b))],
                *([each["name"], *each["words"]] for each in numbers),
            ],
        },
        {"heading": "Features", "note": _different_sensors(a, b), "headings": names, "rows": _features(a, b)},
        {
            "heading": "Parameters",
            "note": "Only what differs.",
            "headings": names,
            "rows": list(_different(_parameters(a), _parameters(b))) or [["nothing", "", ""]],
        },
        {
            "heading": "Data",
            "note": "",
            "headings": names,
            "rows": list(_different(_data(a), _data(b), all_of_it=True)),
        },
    ]
    return render(
        "page.html.j2",
        title=f"{a.name} and {b.name}",
        above=Link(paths.organization_id, f"../{INDEX}"),
        summary=summary,
        trends=[],
        sections=sections,
    )


def _report_address(paths: OrganizationPaths, version: _Version, beside: _Version) -> str:
    page = paths.validation_report(version.name, ".html")
    return page.name if version.name == beside.name else f"../{page.parent.name}/{page.name}"


def _different_sensors(a: _Version, b: _Version) -> str:
    one, other = ({channel["name"] for channel in each.metadata["window"]["channels"]} for each in (a, b))
    sides = ((a.name, one - other), (b.name, other - one))
    told = [f"Only {name} reads {', '.join(sorted(only))}." for name, only in sides if only]
    return " ".join(["Share of the model's gain.", *told])


def _features(a: _Version, b: _Version) -> list[list[str]]:
    shares = [{each["feature"]: each["share"] for each in version.report["importances"]} for version in (a, b)]
    interval = b.metadata["samplingIntervalSeconds"]
    ranked = sorted({*shares[0], *shares[1]}, key=lambda name: -max(each.get(name, 0.0) for each in shares))
    return [
        [feature_in_words(name, interval), *(wording.percent(each[name]) if name in each else "-" for each in shares)]
        for name in ranked[:_MOST_FEATURES]
    ]


def _parameters(version: _Version) -> dict[str, Any]:
    metadata, training = version.metadata, version.metadata["training"]
    return {
        "model type": metadata["modelType"],
        "threshold": f"{metadata['threshold']:.4g}",
        "horizon": wording.duration(metadata["horizonSeconds"]),
        "features": len(metadata["features"]),
        "trees or rounds": training.get("rounds"),
        "seed": training.get("seed"),
        **training["parameters"],
    }


def _data(version: _Version) -> dict[str, Any]:
    metadata, tested = version.metadata, version.report["testSet"]
    return {
        "history": f"{metadata['data']['from'][:10]} to {metadata['data']['to'][:10]}",
        "rows learned from": f"{metadata['training']['rows']:,}",
        "of them positive": f"{metadata['training']['positives']:,}",
        "tested on": f"{str(tested.get('from'))[:10]} to {str(tested.get('to'))[:10]}",
        "rows of the test": f"{tested['rows']:,}",
        "failures in the test": tested.get("events"),
        "prepared data": metadata["data"]["digest"][:12],
    }


def _different(one: Mapping[str, Any], other: Mapping[str, Any], *, all_of_it: bool = False) -> Iterator[list[str]]:
    for name in dict.fromkeys((*one, *other)):
        values = [str(each.get(name, "-")) for each in (one, other)]
        if all_of_it or values[0] != values[1]:
            yield [name, *values]


def _in_words(result: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ["", *result["versions"]],
        ["Verdict", *result["verdicts"]],
        ["Horizon", *(wording.duration(each) for each in result["horizonSeconds"])],
        *([each["name"], *each["words"]] for each in result["numbers"]),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield result["inWords"]
    yield f"  Page  {shown(result['comparisonPath'])}"
