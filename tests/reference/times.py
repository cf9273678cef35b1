"""What is known of the time to failure, and quantiles of it, one row and one horizon at a time."""

from __future__ import annotations

import math


def naive_known(rows, wanted, interval, horizon):
    """Seconds to the next failure (None without one) and seconds for which that is known (inf: always), per row.

    ``rows`` are ``(asset, second, event, status)``, sorted by asset and second; ``wanted`` says which of them count.
    Rows that are not wanted get None.
    """
    return [_of_row(rows, wanted, at, interval, horizon) if wanted[at] else None for at in range(len(rows))]


def _of_row(rows, wanted, at, interval, horizon):
    asset, now, event, _ = rows[at]
    later = [(second, number) for a, second, number, _ in rows if a == asset and second > now and number >= 0]
    others = [second for second, number in later if number != event]
    failure = 0 if event >= 0 else min(others, default=None)
    until, shown = now + horizon, now
    for before, (a, second, number, status) in zip(rows[at:], rows[at + 1 :], strict=False):
        if a != asset:
            break
        hides = status in ("off", "recovery")
        hid = before[3] in ("off", "recovery")
        if second - before[1] > interval and (hides or hid):
            return _result(failure, until, now)
        if wanted[rows.index((a, second, number, status))]:
            until = second + horizon
        elif number >= 0 or (hides and second - shown <= horizon):
            until = max(until, second)
        else:
            return _result(failure, until, now)
        shown = shown if hides else second
    last = [row for row in rows if row[0] == asset][-1]
    return _result(failure, math.inf if last[2] >= 0 else until, now)


def _result(failure, until, now):
    return failure and failure - now, until - now


def naive_quantiles(scores, horizons):
    """p10, p50 and p90 of one row, whose score rises linearly between horizons."""
    found = []
    for level in (0.1, 0.5, 0.9):
        wanted = math.log(level / (1 - level))
        if scores[0] >= wanted:
            chance = 1 / (1 + math.exp(-scores[0]))
            found.append(0.0 if level == 0.1 else horizons[0] * level / chance)
            continue
        for (low, start), (high, end) in zip(
            zip(scores, horizons, strict=True), zip(scores[1:], horizons[1:], strict=True), strict=False
        ):
            if low < wanted <= high:
                found.append(start + (end - start) * ((wanted - low) / (high - low)))
                break
        else:
            found.append(math.inf)
    return found
