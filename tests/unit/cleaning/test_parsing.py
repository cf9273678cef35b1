from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from ml.cleaning.parsing import plain, to_flags, to_numbers
from ml.errors import DataError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, None, 3], [1, np.nan, 3]),
        ([1.5, None], [1.5, np.nan]),
        ([True, False, None], [1, 0, np.nan]),
        ([Decimal("1.25"), None], [1.25, np.nan]),
        (["1", " 2.5e3 ", "-inf", "", "null", "NaN", None], [1, 2500, -np.inf, np.nan, np.nan, np.nan, np.nan]),
        ([None, None], [np.nan, np.nan]),
    ],
)
def test_numbers(values: list[object], expected: list[float]) -> None:
    found, unreadable = to_numbers(pa.array(values), "x")
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float64
    assert unreadable.sum() == 0


def test_text_that_is_no_number_is_missing_and_counted() -> None:
    found, unreadable = to_numbers(pa.array(["1", "hot", "12,5", None, ""]), "x")
    np.testing.assert_array_equal(found, [1, np.nan, np.nan, np.nan, np.nan])
    assert unreadable.sum() == 2


def test_large_whole_numbers_become_the_nearest_float() -> None:
    assert to_numbers(pa.array([2**53 + 1]), "x")[0].tolist() == [2.0**53]


def test_dictionary_encoded_text() -> None:
    found, _ = to_numbers(plain(pa.array(["1", "2", "1"]).dictionary_encode()), "x")
    assert found.tolist() == [1, 2, 1]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_words_for_true_and_false(kind: pa.DataType) -> None:
    words = ["true", "F", " YES ", "n", "On", "off", "1", "0", "1.0", "0.0", "t", "no", None, "null"]
    found, unreadable = to_flags(pa.array(words, type=kind), "x")
    np.testing.assert_array_equal(found, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, np.nan, np.nan])
    assert unreadable.sum() == 0


def test_what_is_neither_true_nor_false_is_missing_and_counted() -> None:
    found, unreadable = to_flags(pa.array(["maybe", "2", "on"]), "x")
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1])
    assert unreadable.sum() == 2
    assert to_flags(pa.array([0.5, -1.0, 1.0, None]), "x")[1].sum() == 2
    assert to_flags(pa.array([True, False]), "x")[0].tolist() == [1, 0]


def test_types_without_numbers_are_refused() -> None:
    with pytest.raises(DataError, match='"x" holds list'):
        to_numbers(pa.array([[1.0]]), "x")
