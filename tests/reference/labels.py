"""Events and labels, one row at a time, straight from their definition."""

from __future__ import annotations


def naive_labels(rows, interval, horizon, during_failure="exclude", recovery=0):
    """``(event, label, status)`` of each row.

    ``rows`` are ``(asset, second, target)`` with target 1, 0 or -1 for unknown, sorted by asset and second.
    """
    events, number, previous = [], -1, (None, None)
    for asset, _, target in rows:
        if target == 1 and previous != (asset, 1):
            number += 1
        events.append(number if target == 1 else -1)
        previous = (asset, target)
    return [
        (event, *_label(rows, events, position, interval, horizon, during_failure, recovery))
        for position, event in enumerate(events)
    ]


def _label(rows, events, position, interval, horizon, during_failure, recovery):
    asset, now, target = rows[position]
    if horizon == 0:
        return (target, "labelled") if target >= 0 else (-1, "unknown")
    if target == 1:
        return (1, "labelled") if during_failure == "positive" else (-1, "in_failure")
    if target == -1:
        return -1, "unknown"
    failed = {second for a, second, flag in rows if a == asset and flag == 1}
    if any(now - recovery <= second < now for second in failed):
        return -1, "recovery"
    onsets = [
        second
        for (a, second, _), event, before in zip(rows, events, [-1, *events[:-1]], strict=True)
        if a == asset and event >= 0 and event != before
    ]
    if any(now < onset <= now + horizon for onset in onsets):
        return 1, "labelled"
    known = {second for a, second, flag in rows if a == asset and flag >= 0}
    step = now
    while step < now + horizon:  # every grid instant up to the first at or after the horizon's end must be known
        step += interval
        if step not in known:
            return -1, "censored"
    return 0, "labelled"
