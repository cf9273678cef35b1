import doctest

import pytest

from ml import wording


def test_examples_in_the_documentation_hold():
    result = doctest.testmod(wording)

    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    "word", [wording.duration, wording.rate, wording.score, wording.percent, wording.count, wording.day]
)
def test_what_is_undefined_says_so(word):
    assert word(None) == wording.UNDEFINED


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("maxGapSeconds", 300, "5 min"),
        ("missingShare", 0.5, "50\u00a0%"),
        ("rows", 1200, "1,200"),
        ("seed", 20250101, "20250101"),
        ("median", 12.3456, "12.35"),
        ("total", 250_000_000.5, "250,000,000"),
        ("stuck", True, "yes"),
        ("names", ["a", "b"], "a, b"),
        ("from", "2025-01-02T03:04:05+00:00", "2025-01-02 03:04"),
        ("note", None, "n/a"),
    ],
)
def test_free_form_values_are_worded_by_key_and_type(key, value, expected):
    assert wording.plain(key, value) == expected


def test_of_many_names_the_first_are_listed():
    assert wording.listed(list("abcde")) == "a, b, c, d and e"
    assert wording.listed(list("abcdefg")) == "a, b, c, d, e and 2 more"
