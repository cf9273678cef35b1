"""Events and labels, one row at a time, straight from their definition."""

from __future__ import annotations


def naive_labels(rows, interval, horizon, during_failure="exclude", recovery=0):
    """``(event, label, status)`` of each row.

    ``rows`` are ``(asset, second, target)`` with target 1, 0 or -1 for unknown, sorted by asset and second.
    """
    events, number, previous = [], -1, (None, None)
    known = {(asset, second) for asset, second, target in rows if target >= 0}
    judged = {
        asset
        for asset, second, target in rows
        if target == 0
        and all((asset, step) in known for step in range(second, second + horizon + interval - 1, interval))
    }
    for asset, _, target in rows:
        if target == 1 and previous != (asset, 1):
            number += 1
        events.append(number if target == 1 else -1)
        previous = (asset, target)
    return [
        (event, *_label(rows, events, position, interval, horizon, during_failure, recovery, judged))
        for position, event in enumerate(events)
    ]


def _label(rows, events, position, interval, horizon, during_failure, recovery, judged):
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
    onsets = {
        second
        for (a, second, _), event, before in zip(rows, events, [-1, *events[:-1]], strict=True)
        if a == asset and event >= 0 and event != before
    }
    known = {second for a, second, flag in rows if a == asset and flag >= 0}
    last = now
    while last < now + horizon and last + interval in known:  # up to the first instant at or after the horizon's end
        last += interval
    seen = any(now < onset <= min(last, now + horizon) for onset in onsets)
    end_of_asset = last == max(second for a, second, _ in rows if a == asset)
    if last >= now + horizon or (seen and asset in judged and (last in failed or end_of_asset)):
        return int(seen), "labelled"
    return -1, "censored"
