"""Columns that say whether an asset has failed: which there are, and what their values mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Float64s
from ml.cleaning.parsing import MISSING_WORDS, to_flags
from ml.errors import DataError
from ml.options.failures import FailureConfig, canonical
from ml.options.schema import SchemaConfig

TARGET, LABEL = "target", "label"
"""Columns of clean readings, where one column alone says whether an asset has failed."""
_MARK = "\x1f"  # no sensor can have it in its name


@dataclass(frozen=True)
class Flag:
    """A two-state column of clean readings."""

    name: str  # its name there
    source: str  # the column that it is read from
    failed: frozenset[str] | None = None
    healthy: frozenset[str] | None = None
    """Words that mean 1 and 0, as `ml.options.failures.canonical` has them. Without `healthy`, all others are 0;
    without both, 0 and 1 are read as `ml.cleaning.parsing.to_flags` does."""
    inverse: bool = False  # whether 0 means failed
    mode: int = 0  # which mode of failure it tells of

    def read(self, column: pa.Array) -> tuple[Float64s, Bools]:
        """Values as 1 (failed), 0 or NaN, and which of those that are NaN were not understood.

        Raises DataError if the column's type can hold neither words nor numbers.
        """
        if self.failed is not None:
            return self._read_words(column, self.failed)
        values, unreadable = to_flags(column, self.source)
        return (1 - values if self.inverse else values), unreadable

    def _read_words(self, column: pa.Array, failed: frozenset[str]) -> tuple[Float64s, Bools]:
        encoded = words(column, self.source).dictionary_encode()
        meaning = [self._meaning(canonical(word), failed) for word in encoded.dictionary.to_pylist()]
        named = "" in failed or "" in (self.healthy or ())
        empty = self._meaning("", failed) if named else (np.nan, False)
        table = np.array([*meaning, empty], dtype=np.float64)
        index = pc.fill_null(encoded.indices, len(meaning)).to_numpy(zero_copy_only=False)
        return table[index, 0], table[index, 1] == 1

    def _meaning(self, word: str, failed: frozenset[str]) -> tuple[float, bool]:
        """The value of a word, and whether nobody said what it means."""
        if word in failed:
            return 1.0, False
        if word in (self.healthy or ()):
            return 0.0, False
        if word in MISSING_WORDS:
            return np.nan, False
        return (0.0, False) if self.healthy is None else (np.nan, True)


def failure_flags(schema: SchemaConfig, failures: FailureConfig) -> tuple[Flag, ...]:
    """The flags that say failed, sources in our names; none where a list of events does."""
    if failures.events is not None:
        return ()
    columns, modes = failures.columns or (schema.target_column,), failures.mode_names
    if modes and not failures.columns:
        flags = _flags_of_codes(schema.target_column, failures)
    else:
        group = {member: mode for mode, members in failures.modes.items() for member in members}
        flags = [
            Flag(
                _MARK.join((TARGET, column)),
                column,
                *((None, None) if column in failures.inverse else _meanings(failures)),
                inverse=column in failures.inverse,
                mode=modes.index(group.get(column, column)) if modes else 0,
            )
            for column in columns
        ]
    return (Flag(**{**vars(flags[0]), "name": TARGET}),) if len(flags) == 1 and not modes else tuple(flags)


def words(column: pa.Array, name: str) -> pa.Array:
    """A column as text, without outer blanks; raises DataError if its type cannot be written as text."""
    try:
        return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(f'the column "{name}" holds {column.type} values, not words', field=name) from None


def _meanings(failures: FailureConfig) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    if not failures.failed_words:
        return None, None
    healthy = frozenset(map(canonical, failures.healthy_values)) if failures.healthy_values else None
    return frozenset(map(canonical, failures.failed_words)), healthy


def _flags_of_codes(column: str, failures: FailureConfig) -> list[Flag]:
    """One flag for each mode, all of one column."""
    every, healthy = _meanings(failures)
    flags = []
    for mode, name in enumerate(failures.mode_names):
        own = frozenset(map(canonical, failures.modes.get(name, (name,))))
        other = None if healthy is None else healthy | ((every or own) - own)
        flags.append(Flag(f"{TARGET}{_MARK}{mode}", column, own, other, mode=mode))
    return flags
