"""What happened to the rows of a source on the way in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Float64s, Int64s
from ml.cleaning.clock import to_text
from ml.cleaning.instants import MergedRows
from ml.findings import Finding

_MOST_EXAMPLES = 20  # different values of a column that are kept for messages
_MOST_COUNTED = 1_000  # different values that are looked at of a batch; more are no words that somebody meant
_EXAMPLE_LENGTH = 60


@dataclass
class Counts:
    """Rows and values that were dropped, moved or merged. Counts by column leave out columns that have none."""

    rows_read: int = 0
    rows_in_range: int = 0
    unreadable_times: int = 0
    """Rows without a readable time, empty cells included."""
    implausible_times: int = 0
    """Rows before 1990 or after next year."""
    odd_times: int = 0
    """Rows of both kinds whose cell is not empty."""
    time_examples: dict[str, int] = field(default_factory=dict)
    """Some values of those, with the number of times that each was seen."""
    without_asset: int = 0
    duplicates: int = 0
    """Rows that were merged into another of the same asset and instant."""
    out_of_order: int = 0
    newest_first: int = 0
    """As `out_of_order`, in sources whose newest row comes first."""
    clock_steps: int = 0
    """Where an asset's clock was set back, and not just a row came late."""
    without_zone: int = 0
    """Readable times that carried no zone."""
    instants: int = 0
    """Instants of the assets, which are the rows that are left."""
    contested: int = 0
    """Instants at which a sensor has different values."""
    conflicts: dict[str, int] = field(default_factory=dict)
    """Instants with different values, by column."""
    conflict_example: str | None = None
    """Asset and time of one of them."""
    notation: dict[str, Any] = field(default_factory=dict)
    """What was found out about how the source is written."""
    null_values: dict[str, int] = field(default_factory=dict)
    """Words and numbers that stand for no value, by column."""
    readable: dict[str, int] = field(default_factory=dict)
    """Values that were understood, by column of the source for target and label."""
    unreadable: dict[str, int] = field(default_factory=dict)
    """Values that could not be understood, by column."""
    unreadable_examples: dict[str, dict[str, int]] = field(default_factory=dict)
    """Some of them, with the number of times that each was seen."""
    failed: dict[str, int] = field(default_factory=dict)
    """Values that say failed, by column of target and label."""
    words: dict[str, dict[str, int]] = field(default_factory=dict)
    """Some values of columns of words that say failed, with the number of times that each was seen."""
    flag_columns: set[str] = field(default_factory=set)
    """Columns of target and label, as the source names them."""
    word_columns: set[str] = field(default_factory=set)
    """Categorical columns, of which unreadable values are words that nobody named."""
    infinite: dict[str, int] = field(default_factory=dict)
    """Values beyond any number, by column."""
    out_of_range: dict[str, int] = field(default_factory=dict)
    """Values that validRange excludes, by column."""
    machine_columns: dict[str, list[str]] = field(default_factory=dict)
    """Columns that are not used and seem to name machines, with some of the names."""
    layout: list[Finding | str] = field(default_factory=list)
    """What was odd about the way in which rows lie in the source: long form, joined tables."""

    def note_times(self, times: pa.Array, odd: Bools) -> None:
        """Count times that are there but cannot be used; `odd` has the shape of `times`, (n_rows,)."""
        self.odd_times += int(odd.sum())
        if odd.any():
            _note_examples(self.time_examples, times, odd)

    def note_values(self, name: str, column: pa.Array, values: Float64s, unreadable: Bools) -> None:
        """Count what was understood of a column and what was not; all arrays have the shape (n_rows,)."""
        known = int(np.count_nonzero(~np.isnan(values)))
        if known:
            self.readable[name] = self.readable.get(name, 0) + known
        if unreadable.any():
            self.unreadable[name] = self.unreadable.get(name, 0) + int(unreadable.sum())
            _note_examples(self.unreadable_examples.setdefault(name, {}), column, unreadable)

    def note_words(self, name: str, column: pa.Array) -> None:
        """Count the values of a column that are not empty."""
        known = column.is_valid().to_numpy(zero_copy_only=False)
        if known.any():
            _note_examples(self.words.setdefault(name, {}), column, known)

    def note_merged(self, rows: MergedRows, asset: Int64s, time: Int64s, names: list[str], before: int) -> None:
        """Count rows that were merged: `before` rows became those at `asset` (codes into `names`) and `time`."""
        self.instants += len(rows.last)
        self.duplicates += before - len(rows.last)
        self.contested += int(rows.contested.sum())
        for name, instants in rows.conflicts.items():
            self.conflicts[name] = self.conflicts.get(name, 0) + instants
        if self.conflict_example is None and rows.contested.any():
            first = int(np.argmax(rows.contested))
            self.conflict_example = f"{names[asset[first]]} at {to_text(int(time[first]))}"


def _note_examples(known: dict[str, int], column: pa.Array, chosen: Bools) -> None:
    found = pc.value_counts(column.filter(pa.array(chosen)))
    values, counts = found.field("values")[:_MOST_COUNTED], found.field("counts").to_pylist()
    for value, count in zip(values, counts, strict=False):
        text = _shown(value)[:_EXAMPLE_LENGTH]
        if text in known or len(known) < _MOST_EXAMPLES:
            known[text] = known.get(text, 0) + int(count)


def _shown(value: pa.Scalar) -> str:
    try:
        return str(value.as_py())
    except (OverflowError, ValueError):  # a time beyond the years that Python knows
        return str(value.cast(pa.int64()))
