"""What a user says of failures, in a first configuration."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ml.command.init import _ask, _name_failures


def config(**sections: Any) -> dict[str, Any]:
    return {"schemaConfig": {"continuousColumns": ["x", "TRIP"]}, **sections}


def test_words_that_mean_healthy_stay_so_and_others_stay_unknown() -> None:
    found = config(failureConfig={"columns": ["s"], "failureValues": ["DOWN"], "healthyValues": ["OK"]})
    _name_failures(found, "s=DOWN,BROKEN")
    assert found["failureConfig"] == {"columns": ["s"], "failureValues": ["DOWN", "BROKEN"], "healthyValues": ["OK"]}


def test_a_tag_that_says_failed_is_no_sensor() -> None:
    found = config()
    _name_failures(found, "TRIP")
    assert found["schemaConfig"] == {"continuousColumns": ["x"], "targetColumn": "TRIP"}


def test_an_input_that_ends_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert _ask("Which? ") == ""
