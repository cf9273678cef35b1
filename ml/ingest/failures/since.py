"""Times since events: how long ago an asset last failed, was maintained, or a component of it was new.

An event counts from the first grid row at or after its end (its start, where it has no end); a failure from the row
after that, so that no row knows of its own. What counts does not depend on anything later. Before the first event the
time is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Float32s, Int64s
from ml.cleaning.collector import ONLY_ASSET
from ml.config import OrganizationConfig
from ml.errors import DataError, MissingColumnError, NoRowsError
from ml.findings import Finding
from ml.ingest.failures.event_table import ListedEvents, read_events
from ml.ingest.failures.grid_events import asset_blocks, rows_of, seconds_of
from ml.options.failures import MOST_MODES, canonical

MOST_SECONDS = 3650 * 86_400
"""Times are not told apart beyond this."""
FAILURE = "failure"
SUMMARY_KEY = "eventInputs"
_LISTS = {"events": FAILURE, "maintenance": "maintenance"}
_MOST_KINDS = MOST_MODES

Inputs = Mapping[str, tuple[str, ...]]
"""Names of columns, and the events that each counts from, as in `schemaConfig.eventInputs`."""


def canonical_event(name: str) -> str:
    """The name of an event as it is compared.

    >>> canonical_event("maintenance: Filter "), canonical_event("failure")
    ('maintenance:filter', 'failure')
    """
    what, separator, kind = name.partition(":")
    return what + separator + canonical(kind)


def named_events(config: OrganizationConfig, lists: Mapping[str, ListedEvents]) -> pd.DataFrame:
    """Failures and maintenance: ``asset``, ``time`` (microseconds, of the end) and ``event`` (``failure:comp1``)."""
    group = {canonical(word): name for name, words in config.failure_config.modes.items() for word in words}
    parts = [pd.DataFrame({"asset": [], "time": np.zeros(0, dtype=np.int64), "event": []}, dtype=object)]
    for key, what in _LISTS.items():
        if key in lists:
            events = lists[key].events
            names = {
                mode: canonical_event(f"{what}:{group.get(canonical(mode), mode) if what == FAILURE else mode}")
                if mode
                else what
                for mode in events["mode"].unique()
            }
            parts.append(
                pd.DataFrame({"asset": events["asset"], "time": events["end"], "event": events["mode"].map(names)})
            )
    return pd.concat(parts, ignore_index=True).astype({"time": np.int64})


def inputs_of(config: OrganizationConfig, events: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """The configured inputs; by default one per mode and kind of `named_events`, none where failed rows have labels."""
    schema, maintenance = config.schema_config, config.failure_config.maintenance
    if schema.event_inputs is not None or not config.data_config.looks_ahead_only:
        return dict(schema.event_inputs or {})
    present = sorted(events["event"].unique())
    found: dict[str, tuple[str, ...]] = {}
    for what in _LISTS.values():
        kinds = [event for event in present if event.startswith(f"{what}:")]
        if kinds or what in present:
            found[f"since_{what}"] = (what,)
        for event in kinds if 1 < len(kinds) <= _MOST_KINDS else ():
            name = f"since_{what}_{_plain(event)}"
            found[name] = (*found.get(name, ()), event)
    for word in maintenance.resets if maintenance is not None else ():
        named = [canonical_event(f"{what}:{word}") for what in _LISTS.values()]
        starts = tuple(event for event in named if event in present)
        if starts:
            found[f"life_{_plain(f':{canonical(word)}')}"] = starts
    taken = {*schema.channels}
    return {f"{name}_" if name in taken else name: counted for name, counted in found.items()}


def _plain(event: str) -> str:
    """The kind of an event as a part of a name."""
    return re.sub(r"\W+", "_", event.partition(":")[2]).strip("_")[:80] or "other"


class TimesSince:
    """The times since some events, on the rows of any grid frame.

    Parameters
    ----------
    events
        As `named_events` has them.
    interval
        Grid spacing in seconds.
    """

    def __init__(self, inputs: Inputs, events: pd.DataFrame, interval: int) -> None:
        names = events["event"].to_numpy(dtype=object)
        any_of = np.array([name.partition(":")[0] for name in names], dtype=object)
        row = rows_of(events["time"].to_numpy(dtype=np.int64), interval)
        counts_from = row + interval * (any_of == FAILURE)
        self.filled: set[str] = set()
        """Inputs that any row so far has a value of."""
        self._found: dict[str, dict[str, tuple[Int64s, Int64s]]] = {}
        for name, counted in inputs.items():
            wanted = [canonical_event(each) for each in counted]
            own = np.flatnonzero(np.isin(names, wanted) | np.isin(any_of, wanted))
            own = own[np.argsort(counts_from[own], kind="stable")]
            self._found[name] = {
                str(asset): (counts_from[own[at]], np.maximum.accumulate(row[own[at]]))
                for asset, at in events["asset"].iloc[own].groupby(events["asset"].iloc[own].to_numpy()).indices.items()
            }

    def columns(self, frame: pd.DataFrame) -> dict[str, Float32s]:
        """Seconds since the newest event of each row, by input, float32 (n_rows,); NaN before the first event."""
        seconds, blocks = seconds_of(frame), asset_blocks(frame)
        found = {name: np.full(len(frame), np.nan, dtype=np.float32) for name in self._found}
        for name, by_asset in self._found.items():
            for asset, start, stop in blocks:
                if asset in by_asset:
                    counts_from, row = by_asset[asset]
                    at = np.searchsorted(counts_from, seconds[start:stop], side="right") - 1
                    since = np.minimum(seconds[start:stop] - row[at], MOST_SECONDS)
                    found[name][start:stop] = np.where(at >= 0, since, np.nan)
                    if len(at) and at[-1] >= 0:
                        self.filled.add(name)
        return found


def with_event_inputs(config: OrganizationConfig, summary: Mapping[str, Any]) -> OrganizationConfig:
    """The configuration with the times since events that prepared data has, by its summary; none if they are off."""
    features = config.feature_config
    off = features.serving_profile is not None or features.families.since.enabled is False
    inputs = {} if off else {name: tuple(counted) for name, counted in summary.get(SUMMARY_KEY, {}).items()}
    return config.with_event_inputs(inputs)


def since_findings(config: OrganizationConfig, summary: Mapping[str, Any]) -> list[Finding]:
    """That the family *since* is asked for, and nothing is there to count from."""
    if not config.feature_config.families.since.enabled or summary.get(SUMMARY_KEY):
        return []
    return [
        Finding(
            "SINCE_WITHOUT_EVENTS",
            "there are no times since events, so the feature family since is empty",
            "featureConfig.families.since",
            "it needs failureConfig.events or failureConfig.maintenance, a predictionHorizonSeconds above 0 and "
            'duringFailure "exclude"',
        )
    ]


def read_times_since(config: OrganizationConfig, interval: int) -> TimesSince | None:
    """The times since events of the configured lists, for `schemaConfig.eventInputs`; None where no list is named.

    Raises
    ------
    MissingColumnError, DataError, SourceError, ConfigError, IsolationError
        As `ml.ingest.failures.event_table.read_events`.
    """
    lists = {}
    for name, table in config.failure_config.tables.items():
        if name in _LISTS:
            try:
                lists[name] = read_events(config, table, f"failureConfig.{name}", before=None)
            except NoRowsError:
                continue  # nothing has happened yet
    if not {*config.failure_config.tables} & {*_LISTS}:
        return None
    return TimesSince(config.schema_config.event_inputs or {}, named_events(config, lists), interval)


def times_since(inputs: Inputs, events: pd.DataFrame, interval: int) -> TimesSince:
    """The times since events that a caller knows: ``asset_id`` (none: one asset), ``event`` and ``timestamp``.

    Raises
    ------
    MissingColumnError, DataError
        If a column is missing, or an event has no name or time.
    """
    for name in ("event", "timestamp"):
        if name not in events.columns:
            raise MissingColumnError(
                f'the events have no column "{name}"', field=name, hint="give asset_id, event and timestamp"
            )
    time = pd.to_datetime(events["timestamp"], utc=True, errors="coerce")
    named = events["event"].astype("str").str.match(r"(failure|maintenance)(:|$)")
    if time.isna().any() or not named.all():
        raise DataError(
            "an event has no time that can be read, or a name that is neither failure nor maintenance, nor one with a "
            "kind such as failure:pump",
            field="timestamp" if time.isna().any() else "event",
        )
    asset = events["asset_id"].astype("str") if "asset_id" in events.columns else ONLY_ASSET
    table = pd.DataFrame({"event": events["event"].map(canonical_event), "asset": asset})
    table["time"] = time.dt.as_unit("us").to_numpy(dtype="datetime64[us]").view(np.int64)
    return TimesSince(inputs, table, interval)
