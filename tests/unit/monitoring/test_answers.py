from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, MissingColumnError
from ml.ingest.failures.answers import Answers, Verdict, read_answers
from ml.monitoring.alarms import Alarms
from ml.monitoring.answers import Matched, findings_of, match_answers
from ml.monitoring.production import precision_of
from ml.monitoring.sequential import confidence_sequence

DAY = 86_400
ALARMS = Alarms(
    np.array(["A", "A", "B"], dtype=object),
    np.array([1000, 5000, 1000]),
    np.array([2000, 5500, 1200]),
    np.array([0, 0, 0]),
)


def settings(file: Path, **feedback: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {"assetColumn": "machine", "continuousColumns": ["temp"]},
            "feedbackConfig": {"path": str(file), "alarmColumn": "alarm", "verdictColumn": "answer"} | feedback,
        }
    )


def read(tmp_path: Path, text: str, **feedback: Any) -> Answers:
    file = tmp_path / "answers.csv"
    file.write_text(text, encoding="utf-8")
    config = settings(file, **feedback)
    assert config.feedback_config is not None
    return read_answers(config, config.feedback_config)


def answers(*rows: tuple[str, int, int, Verdict]) -> Answers:
    columns = ["asset", "time", "answered", "verdict"]
    table = pd.DataFrame(list(rows), columns=columns).sort_values("answered", kind="stable", ignore_index=True)
    return Answers(table.assign(mode=""))


def match(*rows: tuple[str, int, int, Verdict], until: int = 10_000, within: int = 100) -> Matched:
    return match_answers(answers(*rows), ALARMS, since=900, until=until, within=within, horizon=3600)


class TestReading:
    def test_words_numbers_and_booleans(self, tmp_path: Path) -> None:
        rows = ["confirmed", "FALSE", "true", "0", "1", "", "unknown", "Dismissed "]
        lines = "\n".join(f"A,2026-01-0{day}T00:00:00Z,{word}" for day, word in enumerate(rows, start=1))
        found = read(tmp_path, f"machine,alarm,answer\n{lines}\n")
        verdicts = [Verdict(each).name[0] for each in found.table["verdict"]]
        assert "".join(verdicts) == "CDCDCUUD"
        assert found.findings == ()

    def test_the_words_of_the_plant(self, tmp_path: Path) -> None:
        text = "machine,alarm,answer\nA,2026-01-01T00:00:00Z,echt\nA,2026-01-02T00:00:00Z,blind\n"
        found = read(tmp_path, text, confirmed=["echt"], dismissed=["blind"])
        assert found.table["verdict"].tolist() == [Verdict.CONFIRMED, Verdict.DISMISSED]

    def test_names_zones_and_times_of_answers(self, tmp_path: Path) -> None:
        text = "machine,alarm,said,answer\np1,2026-01-01 01:00,2026-01-01 03:00,true\np1,2026-01-02 01:00,,false\n"
        found = read(tmp_path, text, answeredColumn="said", timezone="Europe/Berlin", assets={"p1": "A"})
        midnight = int(pd.Timestamp("2026-01-01", tz="UTC").timestamp())
        assert found.table["asset"].tolist() == ["A", "A"]
        assert found.table["time"].tolist() == [midnight, midnight + DAY]
        assert found.table["answered"].tolist() == [midnight + 7200, midnight + DAY]

    def test_without_answered_column_the_last_row_of_the_table_comes_last(self, tmp_path: Path) -> None:
        words = ["true", "false", "true"]
        lines = "\n".join(f"A,2026-01-01T00:00:00Z,{word}" for word in words)
        found = read(tmp_path, f"machine,alarm,answer\n{lines}\n")
        assert found.table["verdict"].tolist() == [Verdict.DISMISSED, Verdict.CONFIRMED]

    def test_of_a_shared_table_only_the_own_answers_come(self, tmp_path: Path) -> None:
        file = tmp_path / "answers.csv"
        file.write_text("machine,alarm,answer,org\nA,2026-01-01,true,plant\nA,2026-01-01,false,rival\n")
        config = settings(file)
        schema = config.schema_config.model_copy(update={"organization_column": "org"})
        assert config.feedback_config is not None
        found = read_answers(config.model_copy(update={"schema_config": schema}), config.feedback_config)
        assert found.table["verdict"].tolist() == [Verdict.CONFIRMED]

    def test_no_answers_yet(self, tmp_path: Path) -> None:
        assert len(read(tmp_path, "machine,alarm,answer\n").table) == 0

    def test_a_strange_word_is_told_and_only_strange_words_are_refused(self, tmp_path: Path) -> None:
        found = read(tmp_path, "machine,alarm,answer\nA,2026-01-01T00:00:00Z,true\nA,2026-01-02T00:00:00Z,perhaps\n")
        assert [(each.code, each.field) for each in found.findings] == [
            ("ANSWERS_INCOMPLETE", "feedbackConfig.verdictColumn")
        ]
        with pytest.raises(DataError, match="'perhaps'") as refused:
            read(tmp_path, "machine,alarm,answer\nA,2026-01-02T00:00:00Z,perhaps\n")
        assert refused.value.field == "feedbackConfig.confirmed"

    @pytest.mark.parametrize(
        ("text", "error", "field"),
        [
            ("machine,when,answer\nA,2026-01-01,true\n", MissingColumnError, "feedbackConfig.alarmColumn"),
            ("machine,alarm,said\nA,2026-01-01,true\n", MissingColumnError, "feedbackConfig.verdictColumn"),
            ("pump,alarm,answer\nA,2026-01-01,true\n", MissingColumnError, "feedbackConfig.assetColumn"),
            ("machine,alarm,answer\nA,soon,true\nA,later,false\n", DataError, "feedbackConfig.alarmColumn"),
            ("\0\1\2", DataError, None),
        ],
    )
    def test_what_is_no_list_of_answers(
        self, tmp_path: Path, text: str, error: type[DataError], field: str | None
    ) -> None:
        with pytest.raises(error) as refused:
            read(tmp_path, text)
        assert field in (None, refused.value.field)

    def test_a_word_cannot_say_two_things(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="more than once"):
            settings(tmp_path / "a.csv", confirmed=["ja", "1"], dismissed=["TRUE"])


class TestMatching:
    def test_during_near_and_far(self) -> None:
        found = match(
            ("A", 1500, 1600, Verdict.CONFIRMED),  # while it lasts
            ("A", 5600, 5600, Verdict.DISMISSED),  # 100 s after its end
            ("B", 1301, 1400, Verdict.CONFIRMED),  # 101 s after
            ("C", 1000, 1000, Verdict.CONFIRMED),  # no such asset
        )
        assert found.verdict.tolist() == [Verdict.CONFIRMED, Verdict.DISMISSED, Verdict.NONE]
        assert found.counts["matched"] == 2
        assert found.counts["withoutAlarm"] == 2

    def test_the_nearest_alarm_is_meant(self) -> None:
        found = match(("A", 4000, 4000, Verdict.CONFIRMED), within=3000)
        assert found.verdict.tolist() == [Verdict.NONE, Verdict.CONFIRMED, Verdict.NONE]
        tie = match(("A", 3500, 3500, Verdict.CONFIRMED), within=3000)
        assert tie.verdict.tolist() == [Verdict.CONFIRMED, Verdict.NONE, Verdict.NONE]

    def test_the_last_answer_counts_and_contradictions_are_told(self) -> None:
        found = match(("A", 1000, 3000, Verdict.DISMISSED), ("A", 1900, 2000, Verdict.CONFIRMED))
        assert found.verdict[0] == Verdict.DISMISSED
        assert (found.counts["contradicting"], found.counts["repeated"]) == (1, 1)

    def test_answers_after_the_horizon_are_late_and_those_to_come_are_not_known(self) -> None:
        found = match(("A", 1000, 5601, Verdict.CONFIRMED), ("B", 1000, 4800, Verdict.CONFIRMED), until=5602)
        assert found.counts["late"] == 1
        early = match(("A", 1000, 5601, Verdict.CONFIRMED), until=5601)
        assert early.counts["given"] == 0
        assert early.verdict[0] == Verdict.NONE

    def test_answers_to_alarms_before_the_version_went_live(self) -> None:
        found = match(("A", 799, 1100, Verdict.CONFIRMED), ("A", 950, 1100, Verdict.CONFIRMED))
        assert found.counts["beforeLive"] == 1
        assert found.verdict[0] == Verdict.CONFIRMED

    def test_if_not_one_answer_belongs_to_an_alarm_that_is_told(self) -> None:
        given = answers(("pump 1", 1000, 1000, Verdict.CONFIRMED))
        found = match_answers(given, ALARMS, since=900, until=10_000, within=100, horizon=3600)
        assert [each.code for each in findings_of(found, given)] == ["ANSWERS_WITHOUT_ALARM"]
        assert "pump 1" in findings_of(found, given)[0].message
        assert findings_of(match(("A", 1000, 1000, Verdict.CONFIRMED)), given) == []


class TestPrecision:
    def of(self, outcomes: list[int], verdicts: list[Verdict] | None, until: int = 100 * DAY) -> dict[str, Any]:
        start = DAY * np.arange(1, len(outcomes) + 1)
        alarms = Alarms(np.array(["A"] * len(outcomes), dtype=object), start, start, np.array(outcomes))
        matched = None if verdicts is None else Matched(np.array(verdicts), {})
        return precision_of(alarms, matched, until=until, horizon=DAY)

    def test_of_answers(self) -> None:
        said = [Verdict.CONFIRMED, Verdict.CONFIRMED, Verdict.DISMISSED, Verdict.DISMISSED, Verdict.NONE]
        # prevented: right; dismissed, and it failed all the same: right; nobody answered: not counted
        found = self.of([1, 2, 2, 1, 2], said)
        assert (found["basis"], found["right"], found["wrong"]) == ("answers", 3, 1)
        # by the record the second is censored
        assert (found["byRecord"]["right"], found["byRecord"]["wrong"]) == (2, 2)

    def test_the_interval_allows_for_wrong_answers(self) -> None:
        # 30 right by the record, 10 confirmed alone, 60 dismissed
        outcomes = [1] * 30 + [2] * 70
        said = [Verdict.CONFIRMED] * 40 + [Verdict.DISMISSED] * 60
        start = DAY * np.arange(1, 101)
        alarms = Alarms(np.array(["A"] * 100, dtype=object), start, start, np.array(outcomes))
        low, high = confidence_sequence(40, 60)
        for share, less, more in ((0.0, 0.0, 0.0), (0.1, 60 / 9, 10 / 9), (0.25, 10.0, 10 / 3)):
            found = precision_of(alarms, Matched(np.array(said), {}), until=9**9, horizon=DAY, wrong_answers=share)
            assert found["value"] == 0.4
            assert found["interval"] == pytest.approx((low - less / 100, high + more / 100))

    @pytest.mark.parametrize("said", [None, [Verdict.UNKNOWN, Verdict.NONE, Verdict.NONE]])
    def test_without_answers_the_record_counts(self, said: list[Verdict] | None) -> None:
        found = self.of([1, 2, 0], said)
        assert (found["basis"], found["right"], found["wrong"]) == ("record", 1, 1)

    def test_by_the_record_no_alarm_counts_before_its_horizon_has_passed(self) -> None:
        found = self.of([1, 1], None, until=2 * DAY)
        assert (found["right"], found["wrong"]) == (1, 0)
