"""Long form: one row per value, with the name of its sensor, as rows of one instant with a column per sensor.

Rows are put together in pieces of bounded size. What one instant has in several pieces is merged when readings are
sorted, as rows of one instant are from any source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Int64s
from ml.cleaning.parsing import plain
from ml.cleaning.time_range import TimeRange
from ml.errors import DataError
from ml.findings import Finding
from ml.ingest.sources.base import ShapedSource, SlicedSource, Source
from ml.options.base import missing_column, nearest, quoted
from ml.options.layout import LayoutConfig, pattern_of
from ml.wording import plural

_PIECE_ROWS = 2_000_000  # values that are put together at once
_PIECE_CELLS = 40_000_000  # places for values: four bytes each
_BATCH_ROWS = 65_536
_MOST_TAGS = 200_000  # different names; a column with more holds something else
_LONGEST_TAG = 512  # characters
_SHOWN = 10  # names that a message lists
_MOST_ASKED_FOR = 1_000  # tags that a database is asked for; of more, all rows are read
_ROWS_LOOKED_AT = 200_000  # when other tags are to be named
_MUCH = 0.01  # share of values of bad quality from which on it is a finding
_MOST_COUNTED = 200_000


class LongSource(ShapedSource):
    """A table of values, as a table with a column for each of the tags that are wanted.

    Raises MissingColumnError if a column that `layout` names is missing; DataError if the table has a column of the
    name that the machines are to have.

    Parameters
    ----------
    inner
        The table of values.
    layout
        Its columns, and the pattern of its tags.
    tags
        Names of the sensors that are wanted, as the table writes them.
    asset_column
        Name of the column of machines, where the tags hold them.
    """

    def __init__(self, inner: Source, layout: LayoutConfig, tags: Sequence[str], asset_column: str | None) -> None:
        super().__init__(inner)
        available = inner.columns()
        named = {"tagColumn": layout.tag_column, "valueColumn": layout.value_column}
        named["qualityColumn"] = layout.quality_column
        for key, name in named.items():
            if name is not None and name not in available:
                raise missing_column(inner.where, name, available, f"layoutConfig.{key}")
        self._layout = layout
        self._tag, self._value = str(layout.tag_column), str(layout.value_column)
        self._pattern = None if layout.tag_pattern is None else pattern_of(layout.tag_pattern)
        self._asset = None if self._pattern is None else asset_column
        self._kept = [name for name in available if name not in named.values()]
        if self._asset in self._kept:
            raise DataError(
                f'{inner.where} has a column "{self._asset}", and the machines of the tags would have the same name',
                field="schemaConfig.assetColumn",
                hint="give assetColumn a name that no column has, or leave out layoutConfig.tagPattern",
            )
        self._tags = [name for name in tags if name not in self._kept]
        if isinstance(inner, SlicedSource) and self._pattern is None and 0 < len(self._tags) <= _MOST_ASKED_FOR:
            inner.only = (self._tag, tuple(self._tags))
        self._names: dict[str | None, tuple[str | None, str | None]] = {}
        self._read: list[str] = []
        self._seen: Counter[str] = Counter()
        self._values = 0
        self._bad: Counter[str] = Counter()

    def columns(self) -> list[str]:
        """The table's other columns, the machine if tags hold it, and the wanted tags."""
        return [*self._kept, *([] if self._asset is None else [self._asset]), *self._tags]

    @property
    def rows_per_instant(self) -> int:
        """One per tag."""
        return len(self._tags)

    def inner_columns(self, columns: Sequence[str], time_column: str) -> list[str]:
        """The columns that are taken as they are, and those of the long form."""
        del time_column
        long = [self._tag, self._value, *([] if self._layout.quality_column is None else [self._layout.quality_column])]
        shaped = any(name not in self._kept for name in columns)
        return [*(name for name in columns if name in self._kept), *(long if shaped else [])]

    def shape(
        self, batches: Iterable[pa.RecordBatch], columns: Sequence[str], *, time_column: str, within: TimeRange
    ) -> Iterator[pa.RecordBatch]:
        """Rows of one instant, in the order in which each was first seen; partial ones where it came in pieces.

        Raises DataError if no row has a wanted tag, or no value an accepted quality.
        """
        del time_column, within
        tags = [name for name in columns if name not in self._kept and name != self._asset]
        keys = [name for name in columns if name not in tags]
        if not tags:
            yield from (_distinct(self._rows(batch, columns)) for batch in batches)
            return
        self._read = tags
        self._seen.clear()
        self._bad.clear()
        self._values = 0
        piece_rows = max(_BATCH_ROWS, min(_PIECE_ROWS, _PIECE_CELLS // len(tags)))
        for piece in _pieces((self._wanted(batch, keys, tags) for batch in batches), piece_rows):
            for rows in _pivoted(piece, keys, tags):
                yield rows.select(list(columns))
        self._refuse_nothing(tags)

    def told(self) -> list[Finding | str]:
        """Wanted tags without a row, and values of bad quality."""
        told = super().told()
        absent = [name for name in self._read if name not in self._seen]
        if self._values and absent:
            self._look_for_others()
            told.append(
                Finding(
                    "TAGS_ABSENT",
                    f"{self.where} has no row of the configured tag{'s' if len(absent) > 1 else ''} {quoted(absent)}. "
                    f"{self._others()}",
                    "layoutConfig.tagColumn",
                    "name tags as the source writes them, or map them with schemaConfig.columnMapping",
                )
            )
        bad = self._bad.total()
        if bad:
            message = (
                f"{bad:,} of {plural(self._values, 'value')} have a quality that acceptedQuality does not name "
                f"({_counted(self._bad)}); treated as missing."
            )
            much = bad > _MUCH * self._values
            told.append(Finding("BAD_QUALITY", message, "layoutConfig.acceptedQuality") if much else message)
        return told

    def _rows(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """The columns of each value's row, the machine of its tag included; rows of other tags are left out."""
        if self._asset is None or self._asset not in columns:
            return batch.select(list(columns))
        assets = self._understood(batch)[0]
        rows = batch.append_column(self._asset, assets).filter(assets.is_valid())
        return rows.select(list(columns))

    def _understood(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        """The machine and the sensor that the tag of each row names, null where it fits no pattern."""
        try:
            encoded = pc.cast(plain(batch.column(self._tag)), pa.string()).dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            kind = batch.column(self._tag).type
            raise DataError(
                f'the tag column "{self._tag}" holds {kind} values, not names', field="layoutConfig.tagColumn"
            ) from None
        names = [self._parts(name) for name in encoded.dictionary.to_pylist()]
        assets, tags = (pa.array([pair[side] for pair in names], pa.string()) for side in (0, 1))
        return assets.take(encoded.indices), tags.take(encoded.indices)

    def _parts(self, text: str | None) -> tuple[str | None, str | None]:
        """Machine and sensor of one tag; a text too long for a name is neither kept nor looked at."""
        if text is not None and len(text) > _LONGEST_TAG:
            return (None, None)
        if text not in self._names:
            if len(self._names) >= _MOST_TAGS:
                raise DataError(
                    f'the tag column "{self._tag}" of {self.where} holds more than {_MOST_TAGS:,} different names',
                    field="layoutConfig.tagColumn",
                    hint="name the column that holds the sensor's name",
                )
            trimmed = (text or "").strip()
            if self._pattern is None:
                self._names[text] = (None, trimmed or None)
            else:
                found = self._pattern.fullmatch(trimmed)
                self._names[text] = (None, None) if found is None else (found["asset"], found["tag"])
        return self._names[text]

    def _wanted(self, batch: pa.RecordBatch, keys: Sequence[str], tags: Sequence[str]) -> pa.Table:
        """Rows of the wanted tags: keys, value (null if its quality is bad), and the tag's number."""
        assets, names = self._understood(batch)
        _count(self._seen, names)
        code = pc.index_in(names, value_set=pa.array(list(tags), pa.string()))
        columns = {name: assets if name == self._asset else plain(batch.column(name)) for name in keys}
        value = plain(batch.column(self._value))
        if self._layout.quality_column is not None:
            bad = pc.and_(code.is_valid(), pc.invert(self._accepted(batch.column(self._layout.quality_column))))
            _count(self._bad, pc.cast(plain(batch.column(self._layout.quality_column)).filter(bad), pa.string()))
            value = pc.if_else(bad, pa.scalar(None, value.type), value)
        rows = pa.table({**columns, _VALUE: value, _CODE: code}).filter(code.is_valid())
        self._values += rows.num_rows
        return rows

    def _accepted(self, quality: pa.Array) -> pa.Array:
        encoded = plain(quality).dictionary_encode()
        accepted = self._layout.accepted_quality
        good = pa.array([_fits(value, accepted) for value in encoded.dictionary.to_pylist()], pa.bool_())
        return pc.fill_null(good.take(encoded.indices), False)

    def _refuse_nothing(self, tags: Sequence[str]) -> None:
        """Values must come of some wanted tag, and some of them must be good."""
        if not self._values and self._look_for_others():
            guess = next((found for name in tags if (found := nearest(name, self._seen))), None)
            raise DataError(
                f"{self.where} has no row of a configured tag ({quoted(tags)}). {self._others()}",
                field="layoutConfig.tagColumn",
                hint=(f'did you mean "{guess}"? ' if guess else "")
                + "name tags in schemaConfig.continuousColumns or booleanColumns as the source writes them",
            )
        if self._values and self._bad.total() == self._values:
            raise DataError(
                f"no value of {self.where} has an accepted quality: it holds {_counted(self._bad)}, and accepted are "
                f"{quoted([str(value) for value in self._layout.accepted_quality])}",
                field="layoutConfig.acceptedQuality",
                hint="name the qualities of values that are good",
            )

    def _look_for_others(self) -> bool:
        """Whether the source has tags, and none of them is wanted; a database is asked for those that were not read."""
        table = self._inner
        if isinstance(table, SlicedSource) and table.only is not None:
            if not self._values and self._sample(table, 1):
                return False  # outside the range that was asked for
            only, table.only = table.only, None
            try:
                for tags in self._sample(table, _ROWS_LOOKED_AT):
                    _count(self._seen, tags)
            finally:
                table.only = only
        return bool(self._seen)

    def _sample(self, table: Source, rows: int) -> list[pa.Array]:
        """Tags of the first rows of a table."""
        found: list[pa.Array] = []
        for batch in table.read([self._tag], time_column=self._tag, within=TimeRange()):
            if batch.num_rows:
                found.append(self._understood(batch)[1])
            if sum(map(len, found)) >= rows:
                break
        return found

    def _others(self) -> str:
        others = [name for name in self._seen if name and name not in self._tags]
        unfit = [str(text) for text, parts in self._names.items() if parts == (None, None) and text]
        words = f"Tags that nothing names: {quoted(others)}." if others else "It has no other tags."
        return words + (f" Tags that do not fit tagPattern: {quoted(unfit)}." if unfit else "")


_VALUE, _CODE = "\0value", "\0tag"  # no column of a source has such a name


def _pivoted(piece: pa.Table, keys: Sequence[str], tags: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """One row per different combination of keys, with the value of each tag.

    Of several values in one cell the last counts; the others come before, one row each, so that whoever merges rows
    sees that they disagree.
    """
    group, first = _grouped(piece, keys)
    code = piece.column(_CODE).to_numpy().astype(np.int64)
    position = np.full(len(tags) * len(first), -1, dtype=np.int32)
    cell = code * len(first) + group
    position[cell] = np.arange(len(cell), dtype=np.int32)  # the last of several stays
    values = piece.column(_VALUE).combine_chunks()
    names = piece.select(list(keys))
    beaten = np.flatnonzero(position[cell] != np.arange(len(cell)))
    for start in range(0, len(beaten), _BATCH_ROWS):
        rows = beaten[start : start + _BATCH_ROWS]
        alone = [_chosen(values, np.where(code[rows] == number, rows, -1)) for number in range(len(tags))]
        yield _batch(names, rows, tags, alone)
    for start in range(0, len(first), _BATCH_ROWS):
        end = min(start + _BATCH_ROWS, len(first))
        wide = [
            _chosen(values, position[number * len(first) + start : number * len(first) + end])
            for number in range(len(tags))
        ]
        yield _batch(names, first[start:end], tags, wide)


def _grouped(piece: pa.Table, keys: Sequence[str]) -> tuple[Int64s, Int64s]:
    """The number of each row's combination of keys, in the order of their first rows, and those rows."""
    combined = np.zeros(piece.num_rows, dtype=np.int64)
    for name in keys:
        codes, different = _codes(piece.column(name))
        combined = pd.factorize(combined * different + codes)[0] if combined.any() else codes
    group: Int64s = pd.factorize(combined)[0]
    first = np.empty(int(group.max()) + 1 if len(group) else 0, dtype=np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]
    return group, first


def _codes(column: pa.ChunkedArray) -> tuple[Int64s, int]:
    """A number for each value of a column, nulls alike, and how many there are."""
    encoded = plain(column.combine_chunks()).dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), max(1, len(encoded.dictionary))


def _chosen(values: pa.Array, position: npt.NDArray[Any]) -> pa.Array:
    """Values at positions, null where the position is negative."""
    missing = position < 0
    return values.take(pa.array(position, mask=missing) if missing.any() else pa.array(position))


def _batch(names: pa.Table, rows: Int64s, tags: Sequence[str], wide: list[pa.Array]) -> pa.RecordBatch:
    taken = names.take(pa.array(rows)).combine_chunks()
    columns = [taken.column(name).combine_chunks() for name in taken.column_names]
    return pa.RecordBatch.from_arrays([*columns, *wide], names=[*taken.column_names, *tags])


def _pieces(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Rows in larger tables; where types change from one to the next, a new one begins."""
    waiting: list[pa.Table] = []
    for table in tables:
        if waiting and (sum(map(len, waiting)) + len(table) > rows or table.schema != waiting[0].schema):
            yield pa.concat_tables(waiting)
            waiting = []
        if len(table):
            waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def _distinct(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of a batch, each once."""
    _, first = _grouped(pa.Table.from_batches([batch]), batch.schema.names)
    return batch.take(pa.array(first))


def _fits(value: object, accepted: Sequence[str | int | float]) -> bool:
    """Whether a quality is one of those named, as text or as a number."""
    if value is None:
        return False
    text = str(value).strip()
    return any(text == str(each).strip() or _number(text) == _number(str(each)) is not None for each in accepted)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _count(counts: Counter[str], words: pa.Array) -> None:
    """Count words; those that are seen when very many are known are counted as one."""
    for entry in words.value_counts():
        word = str(entry["values"].as_py() or "")[:_LONGEST_TAG]
        counts[word if word in counts or len(counts) < _MOST_COUNTED else "..."] += entry["counts"].as_py()


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f'"{name}" {count:,} times' for name, count in counts.most_common(_SHOWN))
