"""A database password leaves no trace: not on a stream, not in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.backend import Json, spawn
from tests.pipeline.small_plant import plant_config, write_json

PASSWORD, USER = "Tr0ub4dor-canary", "scada-reader-canary"
LIGHT = {"threads": 1, "lgbParams": {"numLeaves": 4, "numIterations": 5}}


def config(database: Path, root: Path, secret: Json) -> Path:
    document = plant_config(database, trainingConfig=LIGHT, tuningConfig={"nTrials": 1, "cvFolds": 2})
    document["scadaDbConfig"] |= {"user": USER, **secret}
    return write_json(root.parent / "config.json", document)


def files_with(text: str, root: Path) -> list[str]:
    return [str(path) for path in root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("secret", "steps"),
    [
        ({"password": PASSWORD}, ["hyperparameter_tuning", "train_model"]),
        ({"passwordEnv": "SCADA"}, ["hyperparameter_tuning"]),
    ],
    ids=["given", "named"],
)
def test_the_password_is_nowhere_after_a_run(secret: Json, steps: list[str], root: Path, database: Path) -> None:
    file = config(database, root, secret)
    for step in steps:
        outcome = spawn(step, file, root=root, env={"EAGLE_SECRET_plant_a__SCADA": PASSWORD})
        assert outcome.exit_code == 0, outcome.document
        assert PASSWORD not in outcome.stdout_text + outcome.stderr_text
    assert files_with(USER, root), "the user's name is written, so a password written beside it would be found"
    assert files_with(PASSWORD, root) == []


def test_the_password_is_not_in_an_error_that_quotes_its_surroundings(root: Path, database: Path) -> None:
    document = plant_config(database)
    document["scadaDbConfig"] |= {"password": PASSWORD, "passwordEnv": "SCADA"}
    outcome = spawn("data_prep", write_json(root.parent / "config.json", document), root=root)
    assert outcome.exit_code == 2
    assert "exclude each other" in outcome.error["message"]
    assert PASSWORD not in outcome.stdout_text + outcome.stderr_text


def test_a_password_of_the_wrong_type_is_not_quoted(root: Path, database: Path) -> None:
    document = plant_config(database)
    document["scadaDbConfig"]["password"] = [PASSWORD]
    outcome = spawn("data_prep", write_json(root.parent / "config.json", document), root=root)
    assert (outcome.exit_code, outcome.error["field"]) == (2, "scadaDbConfig.password")
    assert PASSWORD not in outcome.stdout_text + outcome.stderr_text


def test_the_password_is_redacted_where_a_failure_repeats_it(root: Path) -> None:
    """The database's path holds the password, so the message about the missing file would show it."""
    document = plant_config(root.parent / f"{PASSWORD}.sqlite")
    document["scadaDbConfig"]["password"] = PASSWORD
    outcome = spawn("data_prep", write_json(root.parent / "config.json", document), root=root)
    assert outcome.exit_code == 3
    assert ".sqlite" in outcome.error["message"]
    assert PASSWORD not in outcome.stdout_text + outcome.stderr_text
    assert files_with(PASSWORD, root) == []
