"""The page of a model in production, in the style of all pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ml import wording
from ml.pages.environment import Link, render


def render_page(content: Mapping[str, Any], report: str | None) -> str:
    """The page for the content of ``monitoring.json``; `report` is the address of the validation report."""
    alarms, precision, failures = content["alarms"], content["precision"], content["failures"]
    by_record = precision["byRecord"]
    sections = [
        _section(
            "A new model",
            ("Reason", "What was seen"),
            [(each["code"].replace("_", " ").capitalize(), each["message"]) for each in content["reasons"]],
            note="" if content["reasons"] else "No reason was found.",
        ),
        _section(
            "In production",
            ("Figure", "Value"),
            [
                ("Live since", wording.plain("", content["since"])),
                ("Looked at until", wording.plain("", content["until"])),
                ("Trained on data until", wording.plain("", content["trainedUntil"])),
                ("Rows scored", wording.count(content["rows"])),
                ("Time without data", wording.percent(content["withoutData"])),
                ("Alarms per asset and day", wording.rate(alarms["perAssetDay"])),
                *([("Right alarms, of those answered", _share(precision))] if precision["basis"] == "answers" else []),
                ("Right alarms, by the record of failures", _share(by_record)),
                ("Failures", wording.count(failures["count"])),
                ("Failures missed", wording.count(failures["missed"])),
            ],
            note="Intervals hold at every look together, with 95 % probability.",
        ),
        _section(
            "Alarms", ("What came of them", "Number"), [(_NAMES[key], wording.count(alarms[key])) for key in _NAMES]
        ),
        _section(
            "Missed failures",
            ("Asset", "Start"),
            [(each["asset"], wording.plain("", each["time"])) for each in failures["missedList"]],
            note="" if failures["missed"] else "None.",
        ),
        _section(
            "Sensors",
            ("Sensor", "Against training", "Against the time before it went live"),
            [(each["name"], _index(each["psi"]), _index(each["psiBeforeLive"])) for each in content["drift"]],
            note="Population stability index of the newest rows: below 0.1 stable, above 0.25 another population.",
        ),
    ]
    if content["warnings"]:
        rows = [(each["message"], each.get("hint", "")) for each in content["warnings"]]
        sections.append(_section("Warnings", ("What was seen", "What to do"), rows))
    return render(
        "page.html.j2",
        title=f"{content['organizationId']}: version {content['version']} in production",
        above=None if report is None else Link("Validation report", report),
        summary=content["verdict"],
        trends=[],
        sections=sections,
    )


_NAMES = {
    "count": "All",
    "confirmed": "Confirmed",
    "dismissed": "Dismissed",
    "unknown": "Answered as unknown",
    "unanswered": "Not answered",
    "followedByFailure": "Followed by the failure",
    "notFollowed": "Not followed by a failure",
    "open": "Not decided by the record of failures",
    "confirmedWithoutFailure": "Confirmed, and no failure followed",
    "dismissedBeforeFailure": "Dismissed, and the failure followed",
}


def _section(
    heading: str, headings: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str = ""
) -> dict[str, Any]:
    return {"heading": heading, "note": note, "headings": headings, "rows": rows}


def _share(share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return wording.UNDEFINED
    low, high = share["interval"]
    counted = f"{share['right']} of {share['right'] + share['wrong']}"
    return f"{counted}: {wording.percent(share['value'])} ({wording.percent_range(low, high)})"


def _index(value: float | None) -> str:
    return wording.UNDEFINED if value is None else f"{value:.2f}"
