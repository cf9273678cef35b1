"""The backend's default table: no failure column, a row a second, one bit per device that fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulation.furnace import ALARMS, COLUMNS, FAILURES, TABLE, furnace_rows, write_furnace
from tests.pipeline.backend import Json, run_here
from tests.pipeline.backend_serving import flat_request
from tests.pipeline.small_plant import write_json


@pytest.fixture(scope="module")
def furnace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("furnace") / "scada.sqlite"
    write_furnace(furnace_rows(days=0.5, hours_between_failures=0.6), path)
    return path


def request(furnace: Path, booleans: tuple[str, ...], **sections: Json) -> Json:
    wanted = flat_request(
        COLUMNS[:6],
        booleans,
        scadaDbConfig={"driver": "sqlite", "database": str(furnace), "table": TABLE},
        hyperparameters={"numLeaves": 7, "numIterations": 30},
        conversionConfig={"parityRows": 200},
        **sections,
    )
    del wanted["schemaConfig"]["assetColumn"]
    return wanted


def test_as_the_backend_sends_it_there_is_no_failure_to_learn_from(furnace: Path, root: Path, tmp_path: Path) -> None:
    file = write_json(tmp_path / "request.json", request(furnace, (*ALARMS, *FAILURES)))
    outcome = run_here("train_model", file, root=root)
    assert (outcome.exit_code, outcome.error["code"]) == (3, "COLUMN_MISSING")
    assert outcome.error["message"] == 'the table "jk2" has no column "failure_indicator"'
    assert "hz1hfail" in outcome.error["hint"]


def test_one_of_its_failure_bits_can_be_the_target(furnace: Path, root: Path, tmp_path: Path) -> None:
    wanted = request(furnace, ALARMS, dataConfig={"predictionHorizonSeconds": 600})
    wanted["targetColumn"] = "hz1hfail"
    outcome = run_here("train_model", write_json(tmp_path / "request.json", wanted), root=root)
    assert outcome.exit_code == 0, outcome.document
    assert "hz1pv_rolling_300s_mean" in outcome.document["features"]
    assert outcome.document["auc"] > 0.9


def test_its_failure_bits_together_are_a_target_with_modes(furnace: Path, root: Path, tmp_path: Path) -> None:
    heaters = [name for name in FAILURES if name.startswith("hz")]
    failures = {
        "columns": list(FAILURES),
        "modes": {"heater": heaters, "other": [name for name in FAILURES if name not in heaters]},
    }
    wanted = request(furnace, ALARMS, dataConfig={"predictionHorizonSeconds": 600}, failureConfig=failures)
    outcome = run_here("train_model", write_json(tmp_path / "request.json", wanted), root=root)
    assert outcome.exit_code == 0, outcome.document
    assert not set(FAILURES) & set(outcome.document["features"])
    assert outcome.document["auc"] > 0.8  # the bits but one come on at random, so nothing announces them
