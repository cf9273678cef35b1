"""What was odd about lists of failures, maintenance and downtime, as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.findings import Finding
from ml.ingest.failures.event_table import EventCounts, ListedEvents
from ml.options.failures import canonical
from ml.wording import plural

_SHOWN = 5
_ENOUGH_DATES = 3  # fewer can be midnight by chance


def tell_lists(config: OrganizationConfig, lists: Mapping[str, ListedEvents], assets: Sequence[str]) -> list[Finding]:
    """What was odd about each list, by its key in failureConfig.

    Raises DataError if none of a list's events is of such an asset.

    Parameters
    ----------
    assets
        Names of the assets that have readings.
    """
    found: list[Finding] = []
    for name, listed in lists.items():
        field = f"failureConfig.{name}"
        _refuse_strangers(listed, field, assets)
        found += _odd_rows(listed.counts, listed.where, field)
        found += _places(listed.counts, listed.where, field)
        if name == "events":
            found += _dates(listed.counts, listed.where, field)
        table = config.failure_config.tables[name]
        if listed.counts.local_times and table.timezone is None and config.data_config.timezone is None:
            found.append(
                Finding(
                    "EVENT_TIMEZONE_UNKNOWN",
                    f"{plural(listed.counts.local_times, 'time')} of {listed.where} without a zone were read as UTC.",
                    f"{field}.timezone",
                    f"set {field}.timezone, or dataConfig.timezone, to the zone that they are written in",
                )
            )
    return found + list(_unknown_groups(config, lists))


def _refuse_strangers(listed: ListedEvents, field: str, assets: Sequence[str]) -> None:
    strangers = listed.counts.unknown_assets
    if not strangers or sum(strangers.values()) < len(listed.events):
        return
    raise DataError(
        f"no event of {listed.where} is of an asset that has readings: it names {_some(strangers)}, and the readings "
        f"{_some(assets)}",
        field=f"{field}.assets",
        hint=f"say in {field}.assets which name of the list is which of the readings, or check {field}.assetColumn",
    )


def _odd_rows(counts: EventCounts, where: str, field: str) -> Iterator[Finding]:
    """Rows that do not say what they should."""
    for number, what, key in (
        (counts.without_start, "no time of their start that can be read, and were left out", "startColumn"),
        (counts.without_asset, "no name of an asset, and were left out", "assetColumn"),
        (counts.unreadable_ends, "an end that cannot be read, and count as events without an end", "endColumn"),
        (counts.end_before_start, "an end before their start, and count as events without an end", "endColumn"),
    ):
        if number:
            yield Finding("EVENTS_INCOMPLETE", f"{plural(number, 'row')} of {where} have {what}.", f"{field}.{key}")
    if counts.duplicates:
        yield Finding("EVENTS_REPEATED", f"{plural(counts.duplicates, 'row')} of {where} repeat another one.", field)
    if counts.overlapping:
        yield Finding(
            "EVENTS_OVERLAP",
            f"{plural(counts.overlapping, 'event')} of {where} began before another of the same asset and mode had "
            "ended; such events are one.",
            field,
        )


def _dates(counts: EventCounts, where: str, field: str) -> Iterator[Finding]:
    """Failures known by their day alone: their onsets are up to a day early."""
    if counts.at_midnight == counts.dated >= _ENOUGH_DATES:
        yield Finding(
            "EVENTS_ARE_DATES",
            f"All {counts.dated:,} events of {where} start at midnight, as dates without a time of day do. The "
            "failures of that day then begin too early, by up to 24 h, and the hours before are labelled wrongly.",
            f"{field}.startColumn",
            "name a column that holds the time of day too, or give each failure its time in the list",
        )


def _places(counts: EventCounts, where: str, field: str) -> Iterator[Finding]:
    """Events that no reading tells of."""
    if counts.unknown_assets:
        events = sum(counts.unknown_assets.values())
        yield Finding(
            "EVENTS_OF_UNKNOWN_ASSETS",
            f"{plural(events, 'event')} of {where} are of assets without readings: {_some(counts.unknown_assets)}.",
            f"{field}.assets",
            f"say in {field}.assets which name of the list is which of the readings",
        )
    if (counts.before or counts.after) and field.endswith("events"):  # maintenance is older than readings as a rule
        yield Finding(
            "EVENTS_OUTSIDE_READINGS",
            f"{plural(counts.before + counts.after, 'event')} of {where} lie outside the readings of their asset "
            f"({counts.before:,} before the first, {counts.after:,} after the last); {counts.used:,} are used.",
            field,
        )


def _unknown_groups(config: OrganizationConfig, lists: Mapping[str, ListedEvents]) -> Iterator[Finding]:
    """Values that groups of modes, prevents or resets name and a list does not hold."""
    failures = config.failure_config
    members = [word for words in failures.modes.values() for word in words]
    prevents = failures.maintenance.prevents if failures.maintenance is not None else None
    resets = failures.maintenance.resets if failures.maintenance is not None else ()
    for name, key, wanted in (
        ("events", "modes", members),
        ("maintenance", "maintenance.prevents", prevents or ()),
        ("maintenance", "maintenance.resets", resets),
    ):
        if name not in lists:
            continue
        held = lists[name].events["mode"].unique().tolist()
        known = {canonical(value) for value in held}
        absent = [word for word in wanted if canonical(word) not in known]
        if absent:
            yield Finding(
                "MODES_NOT_FOUND",
                f"failureConfig.{key} names {_some(absent)}, which {lists[name].where} does not hold; it holds "
                f"{_some(held)}.",
                f"failureConfig.{key}",
            )


def _some(names: Mapping[str, int] | Sequence[str]) -> str:
    """The first of some names, with how often each occurs where that is known."""
    counted = names if isinstance(names, Mapping) else dict.fromkeys(names, 0)
    listed = [f"{name} ({count:,})" if count else name for name, count in sorted(counted.items())[:_SHOWN]]
    return ", ".join(listed) + (f" and {len(counted) - _SHOWN:,} more" if len(counted) > _SHOWN else "")
