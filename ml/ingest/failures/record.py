"""An organisation's record of failures, in columns or in lists, on the rows of the grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Int64s
from ml.cleaning.flags import TARGET, failure_flags
from ml.config import OrganizationConfig
from ml.errors import DataError
from ml.findings import Finding
from ml.ingest.failures.answers import Verdict, read_answers
from ml.ingest.failures.event_table import ListedEvents, read_events
from ml.ingest.failures.findings import tell_lists
from ml.ingest.failures.grid_events import Intervals, OnsetRows, asset_blocks, rows_of, seconds_of
from ml.ingest.failures.labels import DOUBTED, EPISODE, UNSEEN, UNTIL
from ml.ingest.failures.since import SUMMARY_KEY, TimesSince, inputs_of, named_events
from ml.ingest.prepared.label_columns import MODES
from ml.modes import join_modes
from ml.options.failures import MOST_MODES, canonical

NEVER = np.iinfo(np.int64).max
_SHOWN = 5


class FailureRecord:
    """What is known of failures beside the readings, and how their flags are put together.

    Raises MissingColumnError, DataError, NoRowsError, SourceError, ConfigError, IsolationError as
    `ml.ingest.failures.event_table.read_events`; also if there are too many modes.

    Parameters
    ----------
    config
        Names the columns and lists. Lists are read at once, before any reading.
    before
        Instant (microseconds) at which the range of readings ends, if it does.
    """

    def __init__(self, config: OrganizationConfig, *, before: int | None = None) -> None:
        self._config = config
        self._settings = config.failure_config
        self._flags = failure_flags(config.schema_config, self._settings)
        self.flags = tuple(flag.name for flag in self._flags)
        """Columns of the readings that say failed."""
        self._lists: dict[str, ListedEvents] = {
            name: read_events(config, table, f"failureConfig.{name}", before=before)
            for name, table in self._settings.tables.items()
        }
        self._confirmed, self._answers_told = self._read_confirmed()
        self._modes = self._mode_names()
        self.modes = tuple(join_modes([name]) for name in self._modes)
        """Names of the modes, in order; none where failures are all of one mode."""
        self._events = named_events(config, self._lists)
        self.inputs = inputs_of(config, self._events)
        """Times since events that `on_rows` adds, and what each counts from."""
        self._assets: list[str] = []

    def on_rows(self, pieces: Iterable[pd.DataFrame], interval: int) -> Iterator[pd.DataFrame]:
        """Grid rows with the times since events, and the columns that `ml.ingest.failures.labels.label_grid` reads.

        Parameters
        ----------
        pieces
            Rows of one grid, in order, with the `flags`.
        interval
            Sampling interval in seconds.
        """
        since = TimesSince(self.inputs, self._events, interval)
        for piece in self._labelled(pieces, interval):
            yield piece.assign(**since.columns(piece)) if self.inputs else piece

    def _labelled(self, pieces: Iterable[pd.DataFrame], interval: int) -> Iterator[pd.DataFrame]:
        reach = max(self._config.data_config.prediction_horizon_seconds, interval)
        if "events" in self._lists:
            pieces = self._with_list(pieces, interval, reach)
        elif len(self.flags) > 1 or self.modes:
            pieces = map(self._with_flags, pieces)
        if self._config.may_lack_failures:
            pieces = map(_never_failed, pieces)
        if self._confirmed:
            pieces = (self._with_doubts(piece, reach) for piece in pieces)
        if not self._lists:
            yield from pieces
            return
        barriers, downtime = self._barriers(interval), self._downtime(interval)
        spans: dict[str, tuple[int, int]] = {}
        for piece in pieces:
            yield self._with_barriers(piece, barriers, downtime, spans)
        for listed in self._lists.values():
            _count_places(listed, spans, interval, reach)
        self._assets = sorted(spans)

    def findings(self) -> list[Finding]:
        """What was odd about the lists, once all rows have been given out.

        Raises DataError if no event of a list is of an asset that has readings.
        """
        return [*tell_lists(self._config, self._lists, self._assets), *self._answers_told]

    def to_json(self) -> dict[str, Any]:
        """Figures of the lists for the summary, once all rows have been given out."""
        return {name: listed.counts.to_json() for name, listed in self._lists.items()}

    def inputs_to_json(self) -> dict[str, Any]:
        """The times since events, for the summary; nothing where there are none."""
        return {SUMMARY_KEY: {name: list(counted) for name, counted in self.inputs.items()}} if self.inputs else {}

    def _mode_names(self) -> tuple[str, ...]:
        named = self._settings.mode_names
        if "events" in self._lists and self._settings.events is not None and self._settings.events.mode_column:
            values = self._lists["events"].events["mode"].unique().tolist()
            grouped = {canonical(word) for words in self._settings.modes.values() for word in words}
            single = {canonical(value): value for value in sorted(values, reverse=True)}
            named = (
                *named,
                *sorted(value for word, value in single.items() if word not in grouped and value not in named),
            )
        if len(named) > MOST_MODES:
            raise DataError(
                f"there are {len(named)} modes of failure, and there can be {MOST_MODES}: "
                f"{', '.join(named[:_SHOWN])} …",
                field="failureConfig.modes",
                hint="group them in failureConfig.modes, or leave failureConfig.events.modeColumn out",
            )
        return named

    def _read_confirmed(self) -> tuple[dict[str, Int64s], tuple[Finding, ...]]:
        """Epoch seconds of the alarms that were confirmed at last, of each asset, if labels depend on them."""
        feedback = self._config.learned_feedback
        if feedback is None:
            return {}, ()
        answers = read_answers(self._config, feedback)
        last = answers.table.drop_duplicates(["asset", "time"], keep="last")
        confirmed = last[last["verdict"] == Verdict.CONFIRMED]
        times = {
            str(asset): np.sort(confirmed["time"].to_numpy()[rows])
            for asset, rows in confirmed.groupby("asset").indices.items()
        }
        return times, answers.findings

    def _with_doubts(self, piece: pd.DataFrame, reach: int) -> pd.DataFrame:
        """Rows with `DOUBTED`: whether a confirmed alarm of their asset is at most `reach` seconds away."""
        seconds, doubted = seconds_of(piece), np.zeros(len(piece), dtype=np.bool_)
        for asset, start, stop in asset_blocks(piece):
            times = self._confirmed.get(asset, np.zeros(0, dtype=np.int64))
            own = seconds[start:stop]
            first = np.searchsorted(times, own - reach, side="left")
            doubted[start:stop] = first < np.searchsorted(times, own + reach, side="right")
        return piece.assign(**{DOUBTED: doubted})

    def _with_flags(self, piece: pd.DataFrame) -> pd.DataFrame:
        """Any flag that says failed counts; else one that is unknown; else the asset is healthy."""
        values = [piece[name].to_numpy() for name in self.flags]
        failed, unknown = np.zeros(len(piece), dtype=np.bool_), np.zeros(len(piece), dtype=np.bool_)
        bits = np.zeros(len(piece), dtype=np.int64)
        for flag, cells in zip(self._flags, values, strict=True):
            failed |= cells == 1
            unknown |= np.isnan(cells)
            bits |= (cells == 1).astype(np.int64) << flag.mode
        target = np.select([failed, unknown], [1.0, np.nan], default=0.0).astype(np.float32)
        piece = piece.drop(columns=list(self.flags)).assign(**{TARGET: target})
        return self._named(piece, bits)

    def _with_list(self, pieces: Iterable[pd.DataFrame], interval: int, reach: int) -> Iterator[pd.DataFrame]:
        """The target as a list of events says, with a row for each onset."""
        by_asset = self._intervals(interval)
        onsets = {
            asset: np.unique(np.concatenate([each.first for each in own.values()])) for asset, own in by_asset.items()
        }
        for piece in OnsetRows(onsets, reach).pieces(pieces):
            bits, episode = np.zeros(len(piece), dtype=np.int64), np.full(len(piece), -1, dtype=np.int64)
            seconds = seconds_of(piece)
            for asset, start, stop in asset_blocks(piece):
                for mode, own in by_asset.get(asset, {}).items():
                    at = own.at(seconds[start:stop])
                    if mode is None:
                        episode[start:stop] = at
                    else:
                        bits[start:stop] |= (at >= 0).astype(np.int64) << mode
            target = (episode >= 0).astype(np.float32)
            yield self._named(piece.assign(**{TARGET: target, EPISODE: episode}), bits)

    def _named(self, piece: pd.DataFrame, bits: Int64s) -> pd.DataFrame:
        if not self.modes:
            return piece
        combinations, which = np.unique(bits, return_inverse=True)
        texts = [join_modes(name for mode, name in enumerate(self._modes) if bit >> mode & 1) for bit in combinations]
        return piece.assign(**{MODES: pd.Series(np.array(texts, dtype=object)[which], index=piece.index, dtype="str")})

    def _intervals(self, interval: int) -> dict[str, dict[int | None, Intervals]]:
        """Of each asset, when it has failed (None) and when in each mode."""
        events = self._lists["events"].events
        first, last = (rows_of(events[name].to_numpy(), interval) for name in ("start", "end"))
        position = self._positions()
        mode = np.array([position[value] for value in events["mode"]], dtype=np.int64) if self.modes else None
        found: dict[str, dict[int | None, Intervals]] = {}
        for asset, rows in events.groupby("asset", sort=False).indices.items():
            own: dict[int | None, Intervals] = {None: Intervals.merged(first[rows], last[rows], interval)}
            for each in np.unique(mode[rows]).tolist() if mode is not None else ():
                of_mode = rows[mode[rows] == each] if mode is not None else rows
                own[each] = Intervals.merged(first[of_mode], last[of_mode], interval)
            found[str(asset)] = own
        return found

    def _positions(self) -> dict[str, int]:
        """Number of the mode of each value of the list's mode column."""
        group = {canonical(word): name for name, words in self._settings.modes.items() for word in words}
        alone = {canonical(name): name for name in reversed(self._modes)}
        number = {name: at for at, name in enumerate(self._modes)}
        values = self._lists["events"].events["mode"].unique().tolist()
        return {
            value: number[group.get(canonical(value)) or (value if value in number else alone[canonical(value)])]
            for value in values
            if self.modes
        }

    def _barriers(self, interval: int) -> dict[str, Int64s]:
        """When the observation of each asset ends without a failure: grid instants in seconds, sorted."""
        lists = [self._preventing()] if "maintenance" in self._lists else []
        if "downtime" in self._lists and "events" in self._lists:  # otherwise rows that are unknown say so
            lists.append(self._lists["downtime"].events)
        events = pd.concat(lists, ignore_index=True) if lists else pd.DataFrame({"asset": [], "start": []})
        start = rows_of(events["start"].to_numpy(dtype=np.int64), interval)
        return {str(asset): np.unique(start[rows]) for asset, rows in events.groupby("asset").indices.items()}

    def _preventing(self) -> pd.DataFrame:
        events, table = self._lists["maintenance"].events, self._settings.maintenance
        if table is None or table.prevents is None:
            return events
        kinds = {canonical(word) for word in table.prevents}
        return events[np.array([canonical(mode) in kinds for mode in events["mode"]], dtype=np.bool_)]

    def _downtime(self, interval: int) -> dict[str, Intervals]:
        if "downtime" not in self._lists:
            return {}
        events = self._lists["downtime"].events
        first, last = (rows_of(events[name].to_numpy(), interval) for name in ("start", "end"))
        groups = events.groupby("asset").indices.items()
        return {str(asset): Intervals.merged(first[rows], last[rows], interval) for asset, rows in groups}

    def _with_barriers(
        self,
        piece: pd.DataFrame,
        barriers: dict[str, Int64s],
        downtime: dict[str, Intervals],
        spans: dict[str, tuple[int, int]],
    ) -> pd.DataFrame:
        """Rows with `UNTIL`, and unknown where downtime is and no failure; `spans` takes when there are readings."""
        seconds, target = seconds_of(piece), piece[TARGET].to_numpy().copy()
        seen = ~piece[UNSEEN].to_numpy() if UNSEEN in piece.columns else np.ones(len(piece), dtype=np.bool_)
        until = np.full(len(piece), NEVER)
        for asset, start, stop in asset_blocks(piece):
            own = seconds[start:stop]
            read = own[seen[start:stop]]
            if len(read):
                spans[asset] = spans.get(asset, (int(read[0]),))[0], int(read[-1])
            if asset in barriers:
                following = np.append(barriers[asset], NEVER)
                until[start:stop] = following[np.searchsorted(barriers[asset], own, side="right")]
            if asset in downtime:
                down = (downtime[asset].at(own) >= 0) & (target[start:stop] != 1)
                target[start:stop][down] = np.nan
        return piece.assign(**{TARGET: target, UNTIL: until})


def _never_failed(piece: pd.DataFrame) -> pd.DataFrame:
    """Rows of a source that does not speak of failures, as if an empty list did: what is not in it was healthy."""
    if TARGET in piece.columns:
        return piece
    return piece.assign(**{TARGET: np.float32(0), EPISODE: np.int64(-1)})


def _count_places(listed: ListedEvents, spans: dict[str, tuple[int, int]], interval: int, reach: int) -> None:
    """Count which events lie where there are readings."""
    events, counts = listed.events, listed.counts
    known = events["asset"].isin(list(spans)).to_numpy()
    counts.unknown_assets = {str(name): int(n) for name, n in events["asset"][~known].value_counts(sort=False).items()}
    span = np.array([spans[name] for name in events["asset"][known]], dtype=np.int64).reshape(-1, 2)
    first, last = (rows_of(events[name].to_numpy()[known], interval) for name in ("start", "end"))
    before, after = last < span[:, 0], first > span[:, 1] + reach
    counts.before += int(before.sum())
    counts.after += int(after.sum())
    counts.used = int((~before & ~after).sum())
