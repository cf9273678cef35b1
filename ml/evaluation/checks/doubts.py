"""What the numbers of a report hide from a quick reader: which machines, which horizon, which alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml import wording
from ml.findings import Finding

_MUCH_SHORTER = 0.75  # of the horizon: what a longest lead time below it tells is no accident of the sampling
_ENOUGH_FAILURES = 3
_MOSTLY_QUIET = 0.25  # share of healthy time in alarm; above it, an alarm before a failure is no notice of it


def findings_about_events(events: Mapping[str, Any], *, horizon: int, interval: int, most: float) -> list[Finding]:
    """Findings about event metrics as from `ml.learning.events.metrics.event_metrics`.

    Parameters
    ----------
    horizon, interval
        Seconds.
    most
        Share of a machine's healthy time in alarm from which on it is named.
    """
    found = [
        _horizon(events, horizon, interval),
        _too_early(events, horizon),
        _one_class(events),
        _alarms_of_few(events, most),
    ]
    return [finding for finding in found if finding is not None]


def cooldown_differs(chosen_with: int | None, counted_with: int, interval: int) -> Finding | None:
    """A finding if the threshold was chosen with another cooldown than the alarms are counted with, in seconds."""
    if chosen_with is None or max(chosen_with, interval) == max(counted_with, interval):
        return None
    return Finding(
        "COOLDOWN_DIFFERS",
        f"the threshold was chosen with an alarm cooldown of {wording.duration(chosen_with)}, and the alarms of this "
        f"report are counted with {wording.duration(counted_with)}",
        field="validationConfig.alarmCooldownSeconds",
        hint=f"set it to {chosen_with}, or train with the other one",
    )


def _horizon(events: Mapping[str, Any], horizon: int, interval: int) -> Finding | None:
    """Whether every failure was detected much later than the horizon allows."""
    longest = (events.get("leadTimeSeconds") or {}).get("max")
    if longest is None or events["detected"] < _ENOUGH_FAILURES or longest > _MUCH_SHORTER * horizon:
        return None
    supported = -(-int(longest) // interval) * interval
    return Finding(
        "HORIZON_TOO_LONG",
        f"all {events['detected']} detected failures were detected {wording.duration(longest)} ahead or later, and the "
        f"horizon is {wording.duration(horizon)}: the data supports a horizon of {wording.duration(supported)}",
        field="dataConfig.predictionHorizonSeconds",
        hint=f"try {supported}: rows earlier than that count as missed now, and teach the model noise",
    )


def _too_early(events: Mapping[str, Any], horizon: int) -> Finding | None:
    """Failures that were in alarm all the time before them, from earlier than what counts as detecting them."""
    number = events.get("tooEarly") or 0
    if not number or horizon == 0 or (events["healthyTimeInAlarm"] or 0) > _MOSTLY_QUIET:
        return None
    failures = "1 failure was" if number == 1 else f"{number} failures were"
    return Finding(
        "ALARMS_TOO_EARLY",
        f"{failures} in alarm from more than {wording.duration(2 * horizon)} before, two horizons: too early to count "
        "as detected, so the alarm counts as false",
        field="dataConfig.predictionHorizonSeconds",
        hint=f"if the machines give notice for so long, try a longer horizon, such as {2 * horizon}",
    )


def _one_class(events: Mapping[str, Any]) -> Finding | None:
    """Machines whose rows are all labelled 1: nothing about them can be a false alarm."""
    names = [
        name for name, each in (events.get("perAsset") or {}).items() if each["assetDays"] and not each["healthyDays"]
    ]
    if not names:
        return None
    return Finding(
        "ASSETS_WITHOUT_HEALTHY_ROWS",
        f"{wording.listed(names)}: every test row is labelled 1, so false alarms there were not looked for",
        hint="give these machines healthy time: a longer history, or readings without long pauses",
    )


def _alarms_of_few(events: Mapping[str, Any], most: float) -> Finding | None:
    """Machines in alarm for more of their healthy time than all together may be."""
    worst = sorted(
        (
            (each["healthyTimeInAlarm"], name, each["falseAlarms"])
            for name, each in (events.get("perAsset") or {}).items()
            if (each["healthyTimeInAlarm"] or 0) > most
        ),
        reverse=True,
    )
    if not worst:
        return None
    machines = [
        f"{name} for {wording.percent(share)} ({wording.plural(false, 'false alarm')})" for share, name, false in worst
    ]
    return Finding(
        "ALARMS_ON_FEW_ASSETS", f"in alarm during their healthy time: {wording.listed(machines)}", field=worst[0][1]
    )
