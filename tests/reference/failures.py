"""Labels by a list of failures, instant by instant, as slow and plain as the definition."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Event(NamedTuple):
    """Seconds; without an end it takes one grid row."""

    asset: str
    start: int
    end: int | None = None
    mode: str = ""


class Row(NamedTuple):
    asset: str
    time: int
    label: int
    status: str
    modes: tuple[str, ...]
    seen: bool
    event: bool
    """Whether a failure event begins at the row."""


def naive_rows(
    readings: dict[str, list[int]],
    events: Collection[Event],
    maintenance: Collection[Event],
    downtime: Collection[Event],
    *,
    interval: int,
    horizon: int,
    recovery: int = 0,
) -> list[Row]:
    """Rows of the grid by asset and time: those of readings, at multiples of the interval, and those of onsets."""
    rows = []
    for asset in sorted(readings):
        own, service, stops = ([e for e in every if e.asset == asset] for every in (events, maintenance, downtime))
        rows += _rows_of(asset, readings[asset], own, service, stops, interval, horizon, recovery)
    return rows


def _inside(events: Collection[Event], time: int, interval: int) -> list[Event]:
    """Events of which an instant lies in the row at `time`, which is (time - interval, time]."""
    found = []
    for event in events:
        end = event.start if event.end is None or event.end < event.start else event.end
        if event.start <= time and end > time - interval:
            found.append(event)
    return found


def _rows_of(
    asset: str,
    times: list[int],
    events: list[Event],
    maintenance: list[Event],
    downtime: list[Event],
    interval: int,
    horizon: int,
    recovery: int,
) -> list[Row]:
    def failed(time: int) -> bool:
        return bool(_inside(events, time, interval))

    def begins(time: int) -> bool:
        return failed(time) and not failed(time - interval)

    def modes(time: int) -> tuple[str, ...]:
        return tuple(sorted({event.mode for event in _inside(events, time, interval)}))

    def stops(time: int) -> bool:
        return any(time - interval < event.start <= time for event in [*maintenance, *downtime])

    grid = range(min(times), max(times) + max(horizon, interval) + interval, interval)
    added = [
        time
        for time in grid
        if time not in times
        and max(times) + max(horizon, interval) >= time
        and set(modes(time)) - set(modes(time - interval))
    ]
    every = sorted({*times, *added})

    def future(time: int) -> str:
        """What comes within the horizon: an onset, a stop, nothing, or the end of what is known."""
        for later in range(time + interval, time + horizon + 1, interval):
            if later > every[-1]:
                return "end"
            if begins(later):
                return "onset"
            if stops(later):
                return "stop"
        return "nothing" if time + horizon <= every[-1] else "end"

    healthy = [time for time in every if not failed(time) and not _inside(downtime, time, interval)]
    may_be_negative = any(
        future(time) == "nothing" or _quiet(time, horizon, interval, every, stops) for time in healthy
    )
    rows = []
    for time in every:
        before = [each for each in every if each < time and failed(each)]
        comes = future(time)
        label, status = -1, "censored"
        if failed(time):
            status = "in_failure"
        elif _inside(downtime, time, interval):
            status = "unknown"
        elif before and time - before[-1] <= recovery:
            status = "recovery"
        elif comes == "nothing":
            label, status = 0, "labelled"
        elif comes == "onset" and (time + horizon <= every[-1] or may_be_negative):
            label, status = 1, "labelled"
        earlier = [each for each in every if each < time]
        onset = failed(time) and (not earlier or not all(failed(each) for each in range(earlier[-1], time, interval)))
        rows.append(Row(asset, time, label, status, modes(time) if failed(time) else (), time in times, onset))
    return rows


def _quiet(time: int, horizon: int, interval: int, every: list[int], stops: object) -> bool:
    """Whether all of a row's horizon is observed, failure or not."""
    assert callable(stops)
    inside = range(time + interval, time + horizon + 1, interval)
    return time + horizon <= every[-1] and not any(stops(later) for later in inside)
