"""How far event metrics could be off: intervals from a bootstrap over groups of rows.

A failure, an alarm and an episode, with its false alarms, belong to the group of their first row, so that one drawn
group brings its rows, failures and alarms along.
"""

from __future__ import annotations

import numpy as np

from ml.arrays import Float64s, Int64s
from ml.learning.events.detection import Events
from ml.learning.events.metrics import saved_cost
from ml.learning.events.resampling import CONFIDENCE, percentile_interval
from ml.learning.events.windows import SECONDS_PER_DAY
from ml.options.costs import MaintenanceCosts

Intervals = dict[str, tuple[float, float] | None]
_TAIL = (1 - CONFIDENCE) / 2
_SAMPLES_AT_ONCE = 100  # times the failures: memory of the resampled medians


def resampled_event_metrics(
    events: Events, groups: Int64s, drawn: Int64s, costs: MaintenanceCosts | None = None
) -> dict[str, Float64s]:
    """Event metrics of every bootstrap sample.

    Parameters
    ----------
    events
        Failures and alarms of some rows.
    groups
        Group of each of these rows, in the order in which they were given to `find_events`, (n_rows,).
    drawn
        As from `ml.learning.events.resampling.draw`, (n_samples, n_groups).
    costs
        Prices for ``savedCost``, which is left out without them.

    Returns
    -------
    dict
        ``eventRecall``, ``leadTimeMedianSeconds`` (``detectionDelayMedianSeconds`` for a horizon of 0),
        ``falseAlarmsPerAssetDay``, ``alarmPrecision``, ``healthyTimeInAlarm`` and ``savedCost``: (n_samples,) each, NaN
        where a sample does not define it.
    """
    failures, alarms, episodes, rows = events.failures, events.alarms, events.episodes, events.rows

    def total(positions: Int64s, weights: Int64s | None = None) -> Float64s:
        per_group = np.bincount(groups[positions], weights=weights, minlength=drawn.shape[1])
        return np.asarray(drawn @ per_group, dtype=np.float64)

    detected, n_alarms = total(failures.position[failures.detected]), total(alarms.position)
    false_alarms, n_rows = total(episodes.position, episodes.false_alarms), total(rows.position)
    notice_groups = groups[failures.position[failures.detected]]
    median = _medians(failures.notice[failures.detected], notice_groups, drawn)
    values = {
        "eventRecall": _share(detected, total(failures.position)),
        "leadTimeMedianSeconds" if events.horizon > 0 else "detectionDelayMedianSeconds": median,
        "falseAlarmsPerAssetDay": _share(false_alarms, n_rows * events.interval / SECONDS_PER_DAY),
        "alarmPrecision": _share(n_alarms - total(alarms.position[alarms.is_false]), n_alarms),
        "healthyTimeInAlarm": _share(
            total(rows.position[rows.alarm & ~rows.positive]), total(rows.position[~rows.positive])
        ),
    }
    if costs is not None:
        values["savedCost"] = saved_cost(detected, n_alarms, false_alarms, costs)
    return values


def event_intervals(events: Events, groups: Int64s, drawn: Int64s, costs: MaintenanceCosts | None = None) -> Intervals:
    """95 % intervals of the event metrics, under their names; see `resampled_event_metrics`.

    Where every failure was detected, or none, or every alarm right, or none, all samples agree, and their percentiles
    would promise certainty. The exact interval of a share (Clopper and Pearson, Biometrika 26, 1934) stands there
    instead. False alarms are few, and come to some machines more than to others: their interval holds both that of a
    Poisson rate and the bootstrap's, with its percentiles expanded for few groups.
    """
    values = resampled_event_metrics(events, groups, drawn, costs)
    intervals = {name: percentile_interval(samples) for name, samples in values.items()}
    detected, false = events.failures.detected, events.alarms.is_false
    days = len(events.rows.position) * events.interval / SECONDS_PER_DAY
    exact = {
        "eventRecall": _exact_share(int(detected.sum()), len(detected)),
        "alarmPrecision": _exact_share(len(false) - int(false.sum()), len(false)),
        "falseAlarmsPerAssetDay": None
        if not days
        else _joined(
            rate_interval(int(events.episodes.false_alarms.sum()), days),
            percentile_interval(values["falseAlarmsPerAssetDay"], few_groups=drawn.shape[1]),
        ),
    }
    return intervals | {name: interval for name, interval in exact.items() if interval is not None}


def rate_interval(alarms: int, asset_days: float) -> tuple[float, float]:
    """The exact 95 % interval of a rate per asset-day (Garwood, Biometrika 28, 1936), for alarms that come singly."""
    from scipy.stats import chi2

    low = float(chi2.ppf(_TAIL, 2 * alarms)) / 2 if alarms else 0.0
    return low / asset_days, float(chi2.ppf(1 - _TAIL, 2 * alarms + 2)) / 2 / asset_days


def _joined(one: tuple[float, float], other: tuple[float, float] | None) -> tuple[float, float]:
    """The interval that holds both."""
    return one if other is None else (min(one[0], other[0]), max(one[1], other[1]))


def _exact_share(hits: int, total: int) -> tuple[float, float] | None:
    """The interval of a share of all or of nothing; None for others, and where there is nothing to share."""
    if total == 0 or 0 < hits < total:
        return None
    bound: float = _TAIL ** (1 / total)
    return (bound, 1.0) if hits else (0.0, 1 - bound)


def _medians(values: Float64s, groups: Int64s, drawn: Int64s) -> Float64s:
    """Median of each sample's values, each value as often as its group was drawn; NaN without a value."""
    if not len(values):
        return np.full(len(drawn), np.nan)
    order = np.argsort(values, kind="stable")
    ordered, groups = values[order], groups[order]
    parts = (drawn[at : at + _SAMPLES_AT_ONCE] for at in range(0, len(drawn), _SAMPLES_AT_ONCE))
    return np.concatenate([_weighted_medians(ordered, part[:, groups]) for part in parts])


def _weighted_medians(ordered: Float64s, weights: Int64s) -> Float64s:
    """Median of ascending values (n_values,) for each row of whole weights (n_samples, n_values)."""
    reached = np.cumsum(weights, axis=1)
    size = reached[:, -1]
    lower = np.argmax(reached > (np.maximum(size, 1)[:, None] - 1) // 2, axis=1)
    upper = np.argmax(reached > size[:, None] // 2, axis=1)
    return np.where(size > 0, (ordered[lower] + ordered[upper]) / 2, np.nan)


def _share(part: Float64s, whole: Float64s) -> Float64s:
    share: Float64s = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share
