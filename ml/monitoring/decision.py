"""Whether a published model is due, and why, from the figures of its time in production. No numerical library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml import wording
from ml.config import OrganizationConfig

MOST_NAMED = 3


def decide(config: OrganizationConfig, figures: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of the model beside what it has shown, ``retrain`` with its ``reasons``, and the ``verdict``.

    Parameters
    ----------
    figures
        As `ml.monitoring.production.look_at` gives them.
    report
        The version's validation report; empty if it has none.
    """
    limits, precision, failures = config.monitoring_config, figures["precision"], figures["failures"]
    recall = config.validation_config.min_event_recall
    reasons = [
        *_precision_reason(_least(limits.min_precision, report, "alarmPrecision"), precision),
        *_missed_reason(None if recall is None else _least(recall, report, "eventRecall"), failures),
        *_drift_reason(limits.max_drift, figures["drift"], report),
        *_age_reason(limits.max_age_days, figures["ageDays"]),
    ]
    asked = config.monitoring_config.min_precision
    return {
        "precisionBelowAsked": figures["precision"]["interval"][1] < asked,
        "retrain": "yes" if reasons else "no",
        "reasons": reasons,
        "verdict": _verdict(figures, reasons, asked),
    }


def _least(asked: float, report: Mapping[str, Any], name: str) -> float:
    """The share that is asked for; no more than the lower end of what validation has shown of it."""
    events = report.get("events") or {}
    interval = (events.get("intervals") or {}).get(name)
    shown = interval[0] if interval else events.get(name)
    return min(asked, shown) if isinstance(shown, int | float) else asked


def _precision_reason(limit: float, precision: Mapping[str, Any]) -> list[dict[str, str]]:
    high = precision["interval"][1]
    if high >= limit:
        return []
    told = f"{precision['right']} of {precision['right'] + precision['wrong']} alarms were right"
    return [_reason("PRECISION", f"{told}, which is less than {wording.percent(limit)} beyond chance")]


def _missed_reason(limit: float | None, failures: Mapping[str, Any]) -> list[dict[str, str]]:
    high = failures["detectedInterval"][1]
    if limit is None or high >= limit:
        return []
    told = f"{failures['missed']} of {wording.plural(failures['count'], 'failure')} were missed"
    return [_reason("MISSED_FAILURES", f"{told}, and at least {wording.percent(limit)} should be detected")]


def _drift_reason(limit: float, drift: list[dict[str, Any]], report: Mapping[str, Any]) -> list[dict[str, str]]:
    """Sensors that are far from training, farther than ever in validation, and have moved since the model is live."""
    usual = {each["name"]: each["psi"] for each in report.get("drift") or () if each.get("kind") == "sensor"}
    moved = [
        each["name"]
        for each in drift
        if each["psi"] > max(limit, 2 * usual.get(each["name"], 0.0))
        and (each["psiBeforeLive"] is None or each["psiBeforeLive"] > limit)
    ]
    if not moved:
        return []
    more = f" and {len(moved) - MOST_NAMED} more" if len(moved) > MOST_NAMED else ""
    names = ", ".join(moved[:MOST_NAMED]) + more
    return [
        _reason("DRIFT", f"{names} no longer {'measures' if len(moved) == 1 else 'measure'} what the model learned")
    ]


def _age_reason(limit: int | None, age: float) -> list[dict[str, str]]:
    if limit is None or age < limit:
        return []
    return [_reason("AGE", f"it is {age:.0f} days old, and {limit} are allowed")]


def _reason(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _verdict(figures: Mapping[str, Any], reasons: list[dict[str, str]], asked: float) -> str:
    precision, failures = figures["precision"], figures["failures"]
    if not figures["rows"]:
        return "There are no readings since the model went live, so nothing can be said of it."
    parts = [f"{wording.plural(figures['alarms']['count'], 'alarm')} in {figures['ageDays']:.0f} days"]
    judged = precision["right"] + precision["wrong"]
    if judged:
        low, high = (round(end, 2) for end in precision["interval"])
        share = f"{precision['right']} of {judged} judged were right ({wording.percent_range(low, high)})"
        parts.append(
            share + (f", below the {wording.percent(asked)} asked" if precision["interval"][1] < asked else "")
        )
    if failures["count"]:
        parts.append(f"{failures['missed']} of {wording.plural(failures['count'], 'failure')} missed")
    due = "; ".join(each["message"] for each in reasons)
    return f"{', '.join(parts)}: " + (f"a new model is due, as {due}." if reasons else "no new model is needed.")
