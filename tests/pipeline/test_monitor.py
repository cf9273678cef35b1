"""``python -m ml.monitor``: what a published model has shown, against a second, naive count of the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.pipeline.backend import Json, Outcome, called, predict_here
from tests.pipeline.small_plant import INTERVAL_SECONDS, ORGANIZATION, PipelineRun, write_json

SINCE, UNTIL = "2025-01-19T00:00Z", "2025-01-25T00:00Z"
SPAN = ("--since", SINCE, "--until", UNTIL)

Look = Callable[..., Outcome]


@pytest.fixture
def look(pipeline: PipelineRun, published: Path, tmp_path: Path) -> Look:
    """Monitor the published version with a configuration laid over the plant's."""

    def run(*arguments: str, root: Path = published, **sections: Json | None) -> Outcome:
        file = write_json(tmp_path / "monitored.json", pipeline.config | sections)
        return called("ml.monitor", [file, *(arguments or SPAN)], root)

    return run


@pytest.fixture
def alarms(pipeline: PipelineRun, published: Path, readings: Path, tmp_path: Path) -> pd.DataFrame:
    """Alarms since `SINCE` by counting: rows with label 1 while no failure or recovery is on."""
    assert predict_here(pipeline.config_file, readings, tmp_path / "all.parquet", root=published).exit_code == 0
    scored = pd.read_parquet(tmp_path / "all.parquet")
    grid = pd.read_parquet(pipeline.artifacts / "prepared_data.parquet")
    rows = grid.merge(scored, on=["asset_id", "timestamp"], suffixes=("", "_said"))
    rows = rows[(rows["timestamp"] >= SINCE) & (rows["timestamp"] < UNTIL) & (rows["label_said"] == 1)]
    rows = rows[~rows["status"].isin(["in_failure", "recovery"])]
    apart = rows["timestamp"].diff() != pd.Timedelta(seconds=INTERVAL_SECONDS)
    number = (apart | (rows["asset_id"] != rows["asset_id"].shift())).cumsum()
    return rows.groupby(number).agg(asset=("asset_id", "first"), start=("timestamp", "first"), right=("label", "max"))


def feedback(tmp_path: Path, rows: pd.DataFrame) -> Json:
    """The section for answers in a file."""
    rows.to_csv(tmp_path / "answers.csv", index=False)
    return {"path": str(tmp_path / "answers.csv"), "alarmColumn": "start", "verdictColumn": "isAccurate"}


def test_alarms_and_failures_are_those_that_counting_finds(look: Look, alarms: pd.DataFrame, published: Path) -> None:
    outcome = look()
    document = outcome.document
    assert outcome.exit_code == (5 if document["retrain"] == "yes" else 0)
    assert document["alarms"]["count"] == document["alarms"]["unanswered"] == len(alarms) > 5
    assert document["alarms"]["followedByFailure"] == (alarms["right"] == 1).sum()
    assert document["rows"] == 4 * 6 * 86_400 // INTERVAL_SECONDS
    assert document["withoutData"] == 0
    assert document["precision"]["basis"] == "record"
    assert document["failures"]["count"] > 3
    folder = published / "artifacts" / ORGANIZATION / "v1"
    kept = json.loads((folder / "monitoring.json").read_text())
    assert kept["verdict"] == document["verdict"]
    page = (folder / "monitoring.html").read_text()
    assert document["verdict"].split(",")[0] in page
    assert "http" not in page.replace("http-equiv", "")


def test_answers_are_matched_and_dismissals_make_a_model_due(look: Look, alarms: pd.DataFrame, tmp_path: Path) -> None:
    answers = alarms.assign(asset_id=alarms["asset"], isAccurate=alarms["right"] == 1)
    document = look(feedbackConfig=feedback(tmp_path, answers)).document
    assert document["precision"]["basis"] == "answers"
    assert document["alarms"]["confirmed"] == document["precision"]["right"] == (alarms["right"] == 1).sum()
    assert document["answers"]["matched"] == len(alarms)
    # only those that were dismissed, and nothing followed
    alone = alarms[alarms["right"] != 1]
    many = alone.assign(isAccurate=False).rename(columns={"asset": "asset_id"})
    outcome = look(feedbackConfig=feedback(tmp_path, many))
    assert outcome.document["alarms"]["dismissed"] == len(alone)
    assert outcome.document["precision"]["right"] == 0


def test_a_file_of_another_organisation_never_counts(look: Look, alarms: pd.DataFrame, published: Path) -> None:
    rival = published / "artifacts" / "rival"
    rival.mkdir()
    section = feedback(rival, alarms.assign(asset_id=alarms["asset"], isAccurate=False))
    outcome = look(feedbackConfig=section)
    assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED")
    link = published.parent / "link.csv"
    link.hardlink_to(rival / "answers.csv")
    outcome = look(feedbackConfig=section | {"path": str(link)})
    assert (outcome.exit_code, outcome.error["code"]) == (6, "ISOLATION_REFUSED")


def test_without_rows_nothing_is_said_and_nothing_breaks(look: Look) -> None:
    outcome = look("--since", "2025-03-01", "--until", "2025-03-08")
    assert outcome.exit_code == 0
    assert (outcome.document["rows"], outcome.document["withoutData"]) == (0, 1.0)
    assert [each["code"] for each in outcome.document["warnings"]] == ["READINGS_MISSING"]
    assert outcome.document["verdict"].startswith("There are no readings")


def test_by_default_it_looks_from_the_publication_to_now(look: Look, published: Path) -> None:
    document = look("--json").document
    log = (published / "artifacts" / ORGANIZATION / "audit.jsonl").read_text().splitlines()
    live = next(record for line in log if (record := json.loads(line))["operation"] == "publish")
    assert document["since"][:16] == live["time"][:16]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--since", "yesterday"), "USAGE"),
        (("--since", "0001-01-01"), "USAGE"),
        (("--since", UNTIL, "--until", SINCE), "USAGE"),
    ],
)
def test_what_cannot_be_asked(look: Look, arguments: tuple[str, ...], code: str) -> None:
    assert look(*arguments).error["code"] == code


def test_failures_that_look_wrong_are_listed_beside_the_record(pipeline: PipelineRun, published: Path) -> None:
    outcome = called("ml.monitoring.labels", [pipeline.config_file], published)
    assert outcome.exit_code == 0, outcome.document
    table = pd.read_csv(outcome.document["proposalsPath"])
    grid = pd.read_parquet(pipeline.artifacts / "prepared_data.parquet")
    assert (table["source"] == "recorded").sum() == grid["event"].max() + 1 == outcome.document["recordedFailures"]
    assert called("ml.monitoring.labels", [pipeline.config_file], published.parent).error["code"] == "ARTIFACT_MISSING"


def test_an_organisation_by_its_id(published: Path) -> None:
    outcome = called("ml.monitor", [ORGANIZATION, *SPAN], published)
    assert outcome.document["version"] == "v1", outcome.document
    assert called("ml.monitor", ["nobody"], published).error["code"] == "USAGE"
    assert called("ml.monitor", ["../plant_a"], published).error["code"] == "USAGE"
