"""Failures of several modes, from the data to an alert that names the component."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd

from ml.predict import load_model
from simulation.furnace import WEAR, wearing_furnace
from tests.pipeline.backend import run_here
from tests.pipeline.small_plant import PipelineRun, write_json


def test_every_step_knows_the_modes_and_the_model_of_all_failures_stays_as_it_was(
    furnace_modes: PipelineRun, root: Path
) -> None:
    for step, outcome in furnace_modes.outcomes.items():
        assert outcome.exit_code == 0, (step, outcome.document)
    version = furnace_modes.root / "models" / "furnace" / "versions" / "v1"
    described = json.loads((version / "metadata.json").read_text())["modes"]
    assert described["names"] == sorted(WEAR)
    assert described["parityRows"] > 4 * 2000
    listed = json.loads((version / "manifest.json").read_text())["files"]
    assert {"modes.onnx", "mode_1.txt", "mode_4.txt"} <= set(listed)

    one_mode = {**furnace_modes.config["failureConfig"], "modes": {"all": list(WEAR.values())}}
    file = write_json(root / "config.json", {**furnace_modes.config, "failureConfig": one_mode})
    assert run_here("train_model", file, root=root).exit_code == 0
    plain = root / "models" / "furnace" / "versions" / "v1"
    assert not (plain / "modes.onnx").exists()
    for name in ("model.txt", "model.onnx", "reasons.onnx"):
        assert _digest(plain / name) == _digest(version / name), name


def test_alerts_name_the_part_that_fails(furnace_modes: PipelineRun) -> None:
    model = load_model("furnace", root=furnace_modes.root)
    rows = wearing_furnace(days=0.5, seed=8)
    alerts = model.alerts(rows.drop(columns=list(WEAR.values())))
    named = right = 0
    for part, bit in WEAR.items():
        begins = rows["created_timestamp"][(rows[bit].diff() == 1)]
        for begin in begins:
            near = [each for each in alerts if begin - pd.Timedelta(minutes=10) <= each.end and each.start < begin]
            named += bool(near)
            right += any(each.component == part for each in near)
    assert named >= 15
    assert right >= 0.9 * named, alerts
    assert all(0 < (each.component_probability or 0) <= 1 for each in alerts)
    events = model.alert_events(rows, tracker := model.alert_tracker())
    assert tracker.cooldown_seconds == 300
    assert model.alert_events(rows, tracker) == [], "the same readings again tell nothing new"
    assert len([event for event in events if event.kind == "start"]) == len(alerts)


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
