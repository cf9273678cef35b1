from __future__ import annotations

import inspect

import pytest

from ml import errors
from ml.errors import ERRORS, EagleError

DOCUMENTED_EXITS = {2, 3, 4, 5, 6, 7, 70, 143}


def test_the_list_holds_every_class_of_the_page() -> None:
    classes = {member for _, member in inspect.getmembers(errors, inspect.isclass) if issubclass(member, EagleError)}
    assert classes - {EagleError} == set(ERRORS)


def test_codes_are_distinct() -> None:
    codes = [error.code for error in ERRORS]
    assert sorted(codes) == sorted(set(codes))


def test_meanings_are_distinct_and_one_sentence() -> None:
    meanings = [error.meaning for error in ERRORS]
    assert len(set(meanings)) == len(meanings)
    assert [meaning for meaning in meanings if not meaning or meaning.endswith(".") or "\n" in meaning] == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_exit_codes_are_the_documented_ones(error: type[EagleError]) -> None:
    assert error.exit_code in DOCUMENTED_EXITS


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_a_more_special_error_keeps_the_exit_code_of_its_kind(error: type[EagleError]) -> None:
    kind = error.__mro__[1]
    assert kind is EagleError or error.exit_code == kind.exit_code  # type: ignore[attr-defined]


def test_json_leaves_out_what_is_not_known() -> None:
    assert errors.NoRowsError("no rows").to_json() == {"code": "NO_ROWS", "message": "no rows"}
    full = errors.ConfigError("wrong", field="version", hint="do this")
    assert full.to_json() == {"code": "CONFIG_INVALID", "message": "wrong", "field": "version", "hint": "do this"}
    assert str(full) == "wrong"
