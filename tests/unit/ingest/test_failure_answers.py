"""Answers to alarms in training: near a confirmed alarm nothing is a healthy example."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.errors import IsolationError
from ml.ingest.inputs import is_current, prepare_and_keep
from ml.ingest.prepare import prepare
from ml.workspace.paths import for_config

INTERVAL = 600
START = pd.Timestamp("2024-03-10T00:00:00Z")


def moment(row: int) -> str:
    return str((START + pd.Timedelta(seconds=INTERVAL * row)).strftime("%Y-%m-%dT%H:%M:%SZ"))


def configured(folder: Path, target: str, answers: list[tuple[str, int, str]], **feedback: Any) -> OrganizationConfig:
    """Two machines with the same target, a row each ten minutes; the horizon is two rows."""
    rows = [f"{m},{moment(at)},{at % 7},{flag}" for m in "AB" for at, flag in enumerate(target)]
    (folder / "readings.csv").write_text("\n".join(["machine,time,x,failed", *rows, ""]))
    said = [f"{m},{moment(at)},{word}" for m, at, word in answers]
    (folder / "answers.csv").write_text("\n".join(["machine,alarm,answer", *said, ""]))
    return OrganizationConfig.from_dict(
        {
            "organizationId": "plant",
            "schemaConfig": {
                "assetColumn": "machine", "timestampColumn": "time", "targetColumn": "failed",
                "continuousColumns": ["x"],
            },
            "dataSource": {"path": str(folder / "readings.csv")},
            "dataConfig": {"samplingIntervalSeconds": INTERVAL, "predictionHorizonSeconds": 2 * INTERVAL},
            "feedbackConfig": {
                "path": str(folder / "answers.csv"), "alarmColumn": "alarm", "verdictColumn": "answer",
                "useInTraining": True, **feedback,
            },
        }
    )  # fmt: skip


def labels(config: OrganizationConfig, machine: str = "A") -> str:
    frame = prepare(config).frame
    own = frame[frame["asset_id"] == machine]
    return "".join("." if label < 0 else str(label) for label in own["label"])


TARGET = "0000000000000100000"


def test_rows_near_a_confirmed_alarm_are_censored_and_those_before_a_failure_are_not(tmp_path: Path) -> None:
    plain = labels(configured(tmp_path, TARGET, [("A", 4, "true")], useInTraining=False))
    assert plain == "00000000000" + "11" + "." + "000" + ".."
    config = configured(tmp_path, TARGET, [("A", 4, "true"), ("A", 11, "true")])
    # two rows before and after each alarm; the failure at row 13 makes rows 11 and 12 positive, and they stay so
    assert labels(config) == "00" + "....." + "00" + ".." + "11" + "." + "000" + ".."
    assert labels(config, "B") == plain
    frame = prepare(config).frame
    assert (frame["status"][:7].astype(str).to_numpy() == np.array(["labelled"] * 2 + ["censored"] * 5)).all()


@pytest.mark.parametrize("word", ["false", "unknown"])
def test_other_answers_change_nothing(tmp_path: Path, word: str) -> None:
    assert labels(configured(tmp_path, TARGET, [("A", 4, word)])).startswith("00000000000")
    taken_back = [("A", 4, "true"), ("A", 4, word)]
    assert labels(configured(tmp_path, TARGET, taken_back)).startswith("00000000000")


def test_a_failure_list_and_answers_go_together(tmp_path: Path) -> None:
    config = configured(tmp_path, "0" * 19, [("A", 4, "true")])
    (tmp_path / "failures.csv").write_text(f"machine,begin\nA,{moment(13)}\n")
    record = {"events": {"path": str(tmp_path / "failures.csv"), "startColumn": "begin"}}
    both = OrganizationConfig.from_dict(config.to_dict() | {"failureConfig": record})
    assert labels(both) == "00" + "....." + "0000" + "11" + "." + "000" + ".."


def test_prepared_data_depends_on_answers_only_if_they_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "workspace"))
    for used in (True, False):
        config = configured(tmp_path, TARGET, [("A", 4, "true")], useInTraining=used)
        prepare_and_keep(config, for_config(config))
        (tmp_path / "answers.csv").write_text(f"machine,alarm,answer\nA,{moment(4)},false\n")
        assert is_current(config, for_config(config)) is not used
    changed = config.feedback_config and config.feedback_config.model_copy(update={"use_in_training": True})
    assert config.digest() != config.model_copy(update={"feedback_config": changed}).digest()
    assert config.digest() == config.model_copy(update={"feedback_config": None}).digest()


def test_answers_of_another_organisation_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rival = tmp_path / "workspace" / "artifacts" / "rival"
    rival.mkdir(parents=True)
    monkeypatch.setenv("ML_BASE_PATH", str(tmp_path / "workspace"))
    config = configured(rival, TARGET, [("A", 4, "true")])
    own = configured(tmp_path, TARGET, [])
    mixed = own.model_copy(update={"feedback_config": config.feedback_config})
    with pytest.raises(IsolationError):
        prepare_and_keep(mixed, for_config(mixed))
