"""Columns as a source delivers them (numbers, text, true/false) as floats; what cannot be read is NaN and counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ml.arrays import Bools, Float64s
from ml.errors import DataError

NOT_UNDERSTOOD = 0.5
"""Stands in the target and the label for a value that is there but neither 0 nor 1: nothing is known then, and no
earlier value may be carried over it. It lies between the two, so that of several the largest tells what holds."""

MISSING_WORDS = ("", "null", "none", "nan", "na", "n/a", "nat")
"""Texts in lower case that stand for no value."""
_TRUE_WORDS = ("1", "true", "t", "yes", "y", "on")
_FALSE_WORDS = ("0", "false", "f", "no", "n", "off")


def to_numbers(column: pa.Array, name: str) -> tuple[Float64s, Bools]:
    """A column as float64, and which values could not be read as a number (they are NaN).

    Empty text and the usual words for "nothing" are missing, not unreadable.

    Raises DataError if the column's type can never hold numbers, such as a date or a list.
    """
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan), _none_of(column)
    if is_text(kind):
        return _text_to_numbers(column)
    if pa.types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DataError(f'the column "{name}" holds {kind} values, but numbers are needed', field=name)
    return _floats(pc.cast(column, pa.float64(), safe=False)), _none_of(column)


def to_flags(column: pa.Array, name: str) -> tuple[Float64s, Bools]:
    """A two-state column as 0, 1 or NaN, and which values were neither.

    Read are 0 and 1 (also as 0.0 and 1.0), true/false, t/f, yes/no, y/n and on/off in any case.

    Raises DataError as `to_numbers`.
    """
    if is_text(column.type):
        column = _words_to_digits(column)
    values, unreadable = to_numbers(column, name)
    strange = ~np.isnan(values) & (values != 0) & (values != 1)
    return np.where(strange, np.nan, values), unreadable | strange


def to_codes(column: pa.Array, name: str, words: Sequence[str]) -> tuple[Float64s, Bools]:
    """A column of words as the position of each in `words`, NaN for any other, and which of those say something.

    Numbers are read as people write them: 7 and 7.0 are the word "7". Words count as they are written, blanks around
    them left out.

    Raises DataError if the column's type holds no words, such as a date or a list.
    """
    text = _as_text(column, name)
    values = _floats(pc.cast(pc.index_in(text, value_set=pa.array(words, pa.string())), pa.float64()))
    return values, np.isnan(values) & pc.is_valid(clean_text(text)).to_numpy(zero_copy_only=False)


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of the text types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain(column: pa.Array) -> pa.Array:
    """The column without dictionary encoding, text as ordinary text."""
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pc.cast(column, pa.string()) if pa.types.is_string_view(column.type) else column


def clean_text(column: pa.Array) -> pa.Array:
    """Text without surrounding blanks; words for "nothing" become null."""
    trimmed = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MISSING_WORDS))
    return pc.if_else(missing, pa.scalar(None, pa.string()), trimmed)


def _text_to_numbers(column: pa.Array) -> tuple[Float64s, Bools]:
    text = clean_text(column)
    try:
        return _floats(pc.cast(text, pa.float64())), _none_of(column)
    except pa.ArrowInvalid:  # something in it is no number: take the slow way that says which
        values = pd.to_numeric(pd.Series(text.to_pylist(), dtype=object), errors="coerce").to_numpy(dtype=np.float64)
        known = pc.is_valid(text).to_numpy(zero_copy_only=False)
        return values, np.isnan(values) & known


def _none_of(column: pa.Array) -> Bools:
    return np.zeros(len(column), dtype=np.bool_)


def _as_text(column: pa.Array, name: str) -> pa.Array:
    kind = column.type
    if pa.types.is_decimal(kind):
        column, kind = pc.cast(column, pa.float64(), safe=False), pa.float64()
    if pa.types.is_floating(kind):
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), float(2**53)))
        integers = pc.cast(pc.if_else(whole, column, pa.scalar(None, kind)), pa.int64())
        return pc.coalesce(pc.cast(integers, pa.string()), pc.cast(column, pa.string()))
    if not (is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise DataError(f'the column "{name}" holds {kind} values, but words are needed', field=name)
    return pc.utf8_trim_whitespace(pc.cast(column, pa.string()))


def _words_to_digits(column: pa.Array) -> pa.Array:
    text = clean_text(column)
    lower = pc.utf8_lower(text)
    for digit, words in (("1", _TRUE_WORDS), ("0", _FALSE_WORDS)):
        text = pc.if_else(pc.is_in(lower, value_set=pa.array(words)), digit, text)
    return text


def _floats(column: pa.Array) -> Float64s:
    values: Float64s = column.to_numpy(zero_copy_only=False)  # nulls become NaN
    return values.astype(np.float64, copy=False)


def asset_names(column: pa.Array, name: str) -> pa.Array:
    """Machines as text, null where there is none; raises DataError for a type that is no name."""
    try:
        text = pc.utf8_trim_whitespace(pc.cast(plain(column), pa.string()))
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        raise DataError(f'the asset column "{name}" holds {column.type} values, not names') from None
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
