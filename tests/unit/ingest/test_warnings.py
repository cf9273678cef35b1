"""A failure tells what was found in the data, above all what may be why too little is left to learn from."""

from __future__ import annotations

import pytest

from ml.errors import DataError, EagleError, NoRowsError, TooFewFailuresError
from ml.ingest.summary.warnings import told_with_failures

MIXED = {"code": "MACHINES_MIXED", "message": 'The column "pump" seems to name 6.', "hint": "set assetColumn"}
STUCK = {"code": "SENSOR_STUCK", "message": "x did not change.", "hint": "check it"}


@pytest.mark.parametrize("kind", [NoRowsError, TooFewFailuresError])
@pytest.mark.parametrize("hint", [None, "give more"])
def test_the_likely_cause_is_in_the_hint(kind: type[EagleError], hint: str | None) -> None:
    with pytest.raises(kind) as failure, told_with_failures({"findings": [STUCK, MIXED]}):
        raise kind("no", hint=hint)
    cause = 'The column "pump" seems to name 6. set assetColumn'
    assert failure.value.hint == (cause if hint is None else f"{cause}; or: give more")
    assert failure.value.partial == {"warnings": [STUCK, MIXED]}


def test_other_failures_keep_their_hint() -> None:
    with pytest.raises(DataError) as failure, told_with_failures({"findings": [MIXED]}):
        raise DataError("no", hint="look", partial={"done": 1})
    assert (failure.value.hint, failure.value.partial) == ("look", {"done": 1, "warnings": [MIXED]})


def test_without_a_cause_the_hint_stays() -> None:
    with pytest.raises(NoRowsError) as failure, told_with_failures({}):
        raise NoRowsError("no", hint=None)
    assert failure.value.hint is None
