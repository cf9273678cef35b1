"""The outcome of a validation in a sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml import wording
from ml.evaluation.checks.gates import Gate
from ml.evaluation.comparison import Baseline
from ml.evaluation.normal.section import in_short

if TYPE_CHECKING:
    from ml.evaluation.report.report import ValidationReport

WEAKNESSES = " What weakens it: "
"""With what the last sentence of a verdict begins, where something weakens it."""
_MANY_FAILURES = 20  # with fewer, the 95 % interval of the share detected is wider than a third
_LONG_IN_ALARM = 0.05  # of the healthy time: an hour a day
_DRIFTED = "strong"
_BETTER_RANKING = 0.01  # average precision; less is chance


def verdict(report: ValidationReport) -> str:
    """Whether the model is refused and why, what it does, and which simpler alarm does better."""
    failed = [gate for gate in report.gates if not gate.passed]
    misses = f"misses {len(failed)} of {wording.plural(len(report.gates), 'requirement')}"
    reasons = "; ".join(_reason(gate) for gate in failed)
    if report.refusals:
        kept_from = " and ".join(finding.message for finding in report.refusals)
        return f"This model is refused: {kept_from}." + (f" It also {misses}: {reasons}." if failed else "")
    if failed:
        return f"This model {misses}: {reasons}." + _better_alarms(report)
    if not report.gates:
        return "No requirement is set, so nothing speaks against this model and nothing was demanded of it."
    met = f"This model meets {_all_of(len(report.gates))} set for it{_in_short(report)}."
    return met + _better_alarms(report) + _weaknesses(report)


def requirement(gate: Gate) -> str:
    """What the gate asks for, in words."""
    bound = "at least" if gate.is_minimum else "at most"
    return f"{bound} {gate.limit:g}{_unit(gate)}"


def measured(gate: Gate) -> str:
    """What was measured for the gate, in words."""
    return wording.UNDEFINED if gate.value is None else f"{wording.beside_limit(gate.value, gate.limit)}{_unit(gate)}"


def _in_short(report: ValidationReport) -> str:
    if report.normal is not None:
        return f": {in_short(report.normal)}"
    events = report.events
    if not events or not events.get("failures"):
        return ""
    median = report.notice_seconds.get("median")
    ahead = f", typically {wording.duration(median)} ahead," if median and not report.is_detection else ""
    false = wording.false_alarm_rate(events.get("falseAlarmsPerAssetDay"))
    healthy = wording.percent(events.get("healthyTimeInAlarm"))
    return (
        f": it detected {events['detected']} of {wording.plural(events['failures'], 'failure')}{ahead} with {false}, "
        f"and was in alarm for {healthy} of the healthy time"
    )


def _weaknesses(report: ValidationReport) -> str:
    """What else to know before the model is trusted."""
    told = []
    events = report.events or {}
    failures = events.get("failures") or 0
    if 0 < failures < _MANY_FAILURES:
        told.append(f"the test holds only {wording.plural(failures, 'failure')}")
    if (events.get("healthyTimeInAlarm") or 0) > _LONG_IN_ALARM:
        told.append(f"it is in alarm for {wording.percent(events['healthyTimeInAlarm'])} of the healthy time")
    if any(each.get("code") == "OPERATING_COLUMN_MISSING" for each in report.warnings):
        told.append("no operating column is named, so it takes changes of load for faults, or hides faults behind them")
    drifted = [each.name for each in report.drift if each.kind == "sensor" and each.reading == _DRIFTED]
    if drifted:
        looks = "looks" if len(drifted) == 1 else "look"
        told.append(f"{wording.listed(drifted)} {looks} different from training")
    if report.suspicious_columns:
        told.append("it may know the label from its columns")
    return f"{WEAKNESSES}{'; '.join(told)}." if told else ""


def _better_alarms(report: ValidationReport) -> str:
    better = [(each, why) for each in report.baselines if (why := _better(report, each)) is not None]
    return "".join(f" {each.name} does better: {why}." for each, why in better)


def _better(report: ValidationReport, other: Baseline) -> str | None:
    """What a simpler alarm does better: as many failures for no more alarms, or a better ranking of rows."""
    own, theirs = report.events, other.events
    if own and theirs and own.get("failures"):
        detected, false = (theirs[key] - own[key] for key in ("detected", "falseAlarms"))
        calmer = (theirs["healthyTimeInAlarm"] or 0) <= (own["healthyTimeInAlarm"] or 0)
        if detected >= 0 and false <= 0 and calmer and (detected, false) != (0, 0):
            return (
                f"{theirs['detected']} failures detected with {wording.plural(theirs['falseAlarms'], 'false alarm')}, "
                f"against {own['detected']} with {own['falseAlarms']:,}"
            )
    precision, score = report.metrics.average_precision, other.average_precision
    if precision is not None and score is not None and score > precision + _BETTER_RANKING:
        return f"average precision {wording.score(score)}, against {wording.score(precision)}"
    return None


def _unit(gate: Gate) -> str:
    metric = gate.key.removesuffix(".min").removesuffix(".max")
    return " ms" if metric.endswith("Ms") else " s" if metric.endswith("Seconds") else ""


def _reason(gate: Gate) -> str:
    name = gate.name if gate.name.isupper() or gate.name.startswith("ROC") else gate.name[0].lower() + gate.name[1:]
    value = "is not defined on these rows" if gate.value is None else f"is {measured(gate)}"
    return f"{name} {value}, required is {requirement(gate)}"


def _all_of(gates: int) -> str:
    return "the one requirement" if gates == 1 else f"all {gates} requirements"
