"""Tables that say something of machines beside their readings: events to count, and attributes. Held in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Float64s, Int64s
from ml.cleaning import clock
from ml.cleaning.parsing import asset_names, clean_text, is_text, plain, to_numbers
from ml.cleaning.refusals import MOST_ODD_TIMES
from ml.cleaning.time_range import TimeRange
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError
from ml.findings import Finding
from ml.ingest.sources.base import Source
from ml.ingest.sources.times import times_of
from ml.options.base import missing_column, quoted
from ml.options.layout import JoinedTable
from ml.wording import plural

_MOST_ROWS = 20_000_000  # events: 24 bytes each
_MOST_MACHINES = 1_000_000
_MOST_WORDS = 1_000  # of one column: each becomes a sensor
_MICROSECONDS = 1_000_000


class Counts:
    """Events of machines, as the number of each kind in a time up to a reading.

    Parameters
    ----------
    kinds
        Sensor names, one for each kind of event.
    machines
        Names of machines; empty if there is one.
    events
        Microseconds, number of the machine, number of the kind; each of shape (n_events,).
    window
        The time in which events count, in microseconds: after ``t - window``, up to ``t``.
    """

    def __init__(
        self, kinds: Sequence[str], machines: Sequence[str] | None, events: tuple[Int64s, Int64s, Int64s], window: int
    ) -> None:
        self.columns = list(kinds)
        self._machines = None if machines is None else pa.array(machines, pa.string())
        self._window = window
        self._undated = 0
        time, machine, kind = events
        # Ranks of times and not times, so that one number holds machine and time.
        self._times = np.unique(time)
        key = machine * (len(self._times) + 1) + np.searchsorted(self._times, time)
        self._keys = {name: np.sort(key[kind == number]) for number, name in enumerate(self.columns)}

    @classmethod
    def read(
        cls, source: Source, table: JoinedTable, asset: str | None, time: str, config: OrganizationConfig, field: str
    ) -> Self:
        """Read all events of a table.

        Raises MissingColumnError, DataError, SourceError if a column is missing, there are too many kinds or events, or
        too many times cannot be read; ConfigError if nothing says in which time events count.
        """
        seconds = table.count_seconds or config.data_config.sampling_interval_seconds
        if seconds is None:
            raise ConfigError(
                f"{field} counts events, and nothing says in which time",
                field=f"{field}.countSeconds",
                hint="give countSeconds, or dataConfig.samplingIntervalSeconds",
            )
        column = str(table.count_column)
        if column not in source.columns():
            raise missing_column(source.where, column, source.columns(), f"{field}.countColumn")
        zone = table.timezone or config.data_config.zone
        times = times_of(source, time, table.timestamp_format, zone, f"{field}.timestampFormat")
        kinds, machines = _Numbers(), _Numbers()
        parts: list[tuple[Int64s, Int64s, Int64s]] = []
        rows = undated = 0
        wanted = list(dict.fromkeys([time, column, *([] if asset is None else [asset])]))
        for batch in source.read(wanted, time_column=time, within=TimeRange()):
            rows += batch.num_rows
            if rows > _MOST_ROWS:
                raise DataError(f"{source.where} has more than {_MOST_ROWS:,} events", field=field)
            moment = times.to_microseconds(plain(batch.column(time)), zone, time)
            kind = kinds.of(clean_text(plain(batch.column(column))))
            machine = np.zeros(len(kind), dtype=np.int64)
            if asset is not None:
                machine = machines.of(asset_names(batch.column(asset), asset))
            if len(kinds.names) > _MOST_WORDS:
                raise DataError(
                    f'the column "{column}" of {source.where} has more than {_MOST_WORDS:,} kinds of events',
                    field=f"{field}.countColumn",
                    hint="name a column with a code, not with a text of its own for every event",
                )
            undated += int((moment == clock.UNREADABLE).sum())
            usable = (moment != clock.UNREADABLE) & (machine >= 0) & (kind >= 0)
            parts.append((moment[usable], machine[usable], kind[usable]))
        if undated > MOST_ODD_TIMES * rows:
            raise DataError(
                f'{undated:,} of {rows:,} values of the time column "{time}" of {source.where} cannot be read as times',
                field=f"{field}.timestampColumn",
                hint="times are ISO 8601 text, dates of the database or file, or Unix epoch numbers",
            )
        events = tuple(np.concatenate([np.zeros(0, np.int64), *(part[side] for part in parts)]) for side in range(3))
        made = cls(
            [f"{column}_{name}" for name in kinds.names],
            None if asset is None else machines.names,
            (events[0], events[1], events[2]),
            seconds * _MICROSECONDS,
        )
        made._undated = undated
        return made

    def of_rows(self, assets: pa.Array | None, time: Int64s, columns: Sequence[str]) -> dict[str, pa.Array]:
        """Counts for readings; of a machine without events 0, without a time null.

        Parameters
        ----------
        assets
            (n_rows,) names of machines; None if there is one.
        time
            (n_rows,) microseconds.
        columns
            Which of them are wanted.
        """
        machine = np.zeros(len(time), dtype=np.int64)
        if self._machines is not None and assets is not None:
            machine = pc.fill_null(pc.index_in(assets, value_set=self._machines), -1).to_numpy(zero_copy_only=False)
            machine = machine.astype(np.int64)
        known = time != clock.UNREADABLE
        moment = np.where(known, time, 0)
        base = machine * (len(self._times) + 1)
        until = base + np.searchsorted(self._times, moment, side="right")
        since = base + np.searchsorted(self._times, moment - self._window, side="right")
        found = {}
        for name in self.columns:
            if name in columns:
                keys = self._keys[name]
                count = np.searchsorted(keys, until) - np.searchsorted(keys, since)
                found[name] = pa.array(np.where(machine >= 0, count, 0).astype(np.float64), mask=~known)
        return found

    def told(self, name: str, seen: set[str]) -> Iterator[Finding | str]:
        """Events that no reading can count."""
        if self._undated:
            yield f"{plural(self._undated, 'row')} of {name} have no readable time and were left out."
        yield from _unknown_machines(name, self._machines, seen)


class Attributes:
    """What machines are, as sensors that never change.

    Parameters
    ----------
    machines
        Names, each once.
    values
        Numbers by sensor, each of shape (n_machines,), NaN where unknown.
    """

    def __init__(self, machines: pa.Array, values: Mapping[str, Float64s]) -> None:
        self.columns = list(values)
        self._machines = machines
        self._values = {name: pa.array(numbers, from_pandas=True) for name, numbers in values.items()}

    @classmethod
    def read(cls, source: Source, table: JoinedTable, asset: str | None, field: str) -> Self:
        """Read the attributes of all machines.

        Raises MissingColumnError, DataError, SourceError if a column is missing or cannot be understood, or a machine
        has two rows.
        """
        available, key = source.columns(), str(asset)
        for name in table.columns:
            if name not in available:
                raise missing_column(source.where, name, available, f"{field}.columns")
        wanted = [name for name in table.columns or available if name != key]
        parts = []
        rows = 0
        for batch in source.read([key, *wanted], time_column=key, within=TimeRange()):
            rows += batch.num_rows
            if rows > _MOST_MACHINES:
                raise DataError(f"{source.where} has more than {_MOST_MACHINES:,} rows of machines", field=field)
            parts.append([plain(column) for column in batch.columns])
        if not parts:
            raise DataError(f"{source.where} has no rows", field=field)
        machines = pa.chunked_array([asset_names(part[0], key) for part in parts]).combine_chunks()
        counted = pc.value_counts(pc.drop_null(machines)).to_pylist()
        twice = next((str(each["values"]) for each in counted if each["counts"] > 1), None)
        if twice is not None:
            raise DataError(
                f'{source.where} has more than one row of the machine "{twice}"',
                field=field,
                hint="attributes have one row per machine; what changes in time is a table of readings",
            )
        values: dict[str, Float64s] = {}
        for place, name in enumerate(wanted, start=1):
            values |= _as_sensors(name, pa.chunked_array([part[place] for part in parts]), source.where, field)
        return cls(machines, values)

    def of_rows(self, assets: pa.Array | None, time: Int64s, columns: Sequence[str]) -> dict[str, pa.Array]:
        """Attributes for readings of machines, null for a machine that is not in the table; as of `Counts`."""
        del time
        place = pc.index_in(assets, value_set=self._machines, skip_nulls=True)
        return {name: values.take(place) for name, values in self._values.items() if name in columns}

    def told(self, name: str, seen: set[str]) -> Iterator[Finding | str]:
        """Machines of the readings that the table does not have, and the other way round."""
        absent = sorted(seen - set(self._machines.to_pylist()))
        if absent:
            yield Finding(
                "MACHINES_WITHOUT_ATTRIBUTES",
                f"{name} has no row of {plural(len(absent), 'machine')} ({quoted(absent)}): its sensors are missing.",
                f"layoutConfig.tables.{name}",
            )
        yield from _unknown_machines(name, self._machines, seen)


class _Numbers:
    """Numbers for words, in the order in which they are first seen."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        return list(self._known)

    def of(self, words: pa.Array) -> Int64s:
        """The number of each word, -1 for null."""
        encoded = words.dictionary_encode()
        known = [self._known.setdefault(word, len(self._known)) for word in encoded.dictionary.to_pylist()]
        place = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        numbers: Int64s = np.array([*known, -1], dtype=np.int64)[place]
        return numbers


def _as_sensors(name: str, column: pa.ChunkedArray, where: str, field: str) -> dict[str, Float64s]:
    """A column of numbers as it is, one of words as a 0 or 1 for each word."""
    values: Any = column.combine_chunks()
    if not is_text(values.type):
        return {name: to_numbers(values, name)[0]}
    numbers, unreadable = to_numbers(values, name)
    if not unreadable.any():
        return {name: numbers}
    if unreadable.sum() < np.isfinite(numbers).sum():
        odd = values.filter(pa.array(unreadable))[0].as_py()
        raise DataError(f'the column "{name}" of {where} holds {odd!r} among numbers', field=f"{field}.columns")
    text = clean_text(values)
    words = sorted(pc.drop_null(pc.unique(text)).to_pylist())
    if len(words) > _MOST_WORDS:
        raise DataError(
            f'the column "{name}" of {where} has {len(words):,} different words; up to {_MOST_WORDS:,} become sensors',
            field=f"{field}.columns",
            hint="name the columns to take in columns",
        )
    return {
        f"{name}_{word}": pc.cast(pc.cast(pc.equal(text, word), pa.uint8()), pa.float64()).to_numpy(
            zero_copy_only=False
        )
        for word in words
    }


def _unknown_machines(name: str, machines: pa.Array | None, seen: set[str]) -> Iterator[Finding]:
    unknown = [] if machines is None else sorted({str(each) for each in machines.drop_null().to_pylist()} - seen)
    if unknown:
        yield Finding(
            "MACHINES_NOT_IN_READINGS",
            f"{name} names {plural(len(unknown), 'machine')} that the readings do not have ({quoted(unknown)}).",
            f"layoutConfig.tables.{name}",
            "name machines alike in all tables",
        )
