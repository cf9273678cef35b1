from __future__ import annotations

import pandas as pd
import pytest

from ml.monitoring.alarms import Outcome, find_alarms
from tests.unit.monitoring.frames import BEGIN, HOUR, labelled, marks


def outcomes(frame: pd.DataFrame, alarm: str, *, horizon: int = 3, spacing: int = 1) -> list[tuple[int, int, str]]:
    """First and last hour of each alarm, and what the record says of it."""
    found = find_alarms(frame, marks(alarm), horizon=horizon * HOUR, spacing=spacing * HOUR)
    hours = [((found.start - BEGIN) // HOUR).tolist(), ((found.end - BEGIN) // HOUR).tolist()]
    return [(s, e, Outcome(o).name) for s, e, o in zip(*hours, found.outcome.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("label", "event", "alarm", "expected"),
    [
        # a failure follows within the horizon
        ("000111.0000", "------x----", "---##------", [(3, 4, "FOLLOWED")]),
        ("000111.0000", "------x----", "--##-------", [(2, 3, "FOLLOWED")]),
        # none does
        ("00000000", "--------", "-##-----", [(1, 2, "NOT_FOLLOWED")]),
        # nobody can tell yet
        ("00000...", "--------", "-----##-", [(5, 6, "OPEN")]),
        ("00000...", "--------", "----##--", [(4, 5, "OPEN")]),
        # it began more than twice the horizon before the failure: standing alarms foretell nothing
        ("00000111.", "--------x", "-######--", [(1, 6, "NOT_FOLLOWED")]),
        ("00000111.", "--------x", "--#####--", [(2, 6, "FOLLOWED")]),
        # it stands in healthy time longer than the horizon: false, though its end is not known
        ("0000000..", "---------", "-########", [(1, 8, "NOT_FOLLOWED")]),
        # rows inside the failure are none, and two alarms around it are two
        ("0111.....000000", "----xxxxx------", "-##.#####-#----", [(1, 2, "FOLLOWED"), (10, 10, "NOT_FOLLOWED")]),
        ("0000", "----", "----", []),
    ],
)
def test_what_the_record_says(label: str, event: str, alarm: str, expected: list[tuple[int, int, str]]) -> None:
    assert outcomes(labelled(label, event=event), alarm) == expected


def test_rows_within_the_spacing_are_one_alarm_and_assets_are_apart() -> None:
    frame = pd.concat([labelled("000000"), labelled("000000", asset="B")], ignore_index=True)
    assert outcomes(frame, "-#-#-##-----", spacing=2) == [(1, 5, "NOT_FOLLOWED"), (0, 0, "NOT_FOLLOWED")]


def test_alarms_while_the_machine_is_off_or_recovers_are_none() -> None:
    frame = labelled("00..00", status="llrlol")
    assert outcomes(frame, "--#-#-") == []


def test_a_detection_is_right_if_it_holds_a_row_of_the_failure() -> None:
    frame = labelled("000110000")
    assert outcomes(frame, "---#--#--", horizon=0) == [(3, 3, "FOLLOWED"), (6, 6, "NOT_FOLLOWED")]
    assert outcomes(frame, "-###-----", horizon=0) == [(1, 3, "NOT_FOLLOWED")]
