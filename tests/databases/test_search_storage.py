"""Finished trials in PostgreSQL: a search goes on from them, sees nobody else's, and shows its password to nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from ml.errors import ConfigError, SourceError, StoppedError
from ml.learning.search.feature_sets import FeatureTable, SearchRows
from ml.learning.search.search import SearchResult, search
from ml.options.learning import TrainingConfig, TuningConfig
from ml.scripts import hyperparameter_tuning
from simulation.database import write_sqlite
from tests.databases.server import Database
from tests.pipeline.small_plant import plant_config, simulate_small_plant, write_json
from tests.unit.learning.feature_tables import feature_table, names

PASSWORD, SCADA_PASSWORD = "Tr0ub4dor-canary", "another-canary"
VARIABLE = "EAGLE_SECRET_plant_a__SEARCH"
SPACE = {"learningRate": {"low": 0.02, "high": 0.3, "log": True}, "minDataInLeaf": {"low": 5, "high": 150}}


@pytest.fixture
def storage(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """`tuningConfig` of a database whose role may create tables; its password is in the environment."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    monkeypatch.setenv(VARIABLE.replace("plant_a", "plant_b"), PASSWORD)
    role = sql.Identifier(database.reader)
    database.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(PASSWORD)))
    database.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))
    url = f"postgresql://{database.reader}@127.0.0.1:{database.server.port}/{database.name}"
    yield {"storage": url, "storagePasswordEnv": "SEARCH"}
    database.execute(sql.SQL("DROP OWNED BY {}").format(role))


def run(storage: dict[str, str], owner: str = "plant_a/v1", **options: Any) -> SearchResult:
    X, y = feature_table(300)
    third = np.arange(300) % 3
    folds = [(np.flatnonzero(third != number), np.flatnonzero(third == number)) for number in range(3)]
    training = TrainingConfig.model_validate({"threads": 1, "lgbParams": {"numIterations": 30}})
    tuning = TuningConfig.model_validate({"nTrials": 8, "workers": 3, "searchSpace": SPACE, **storage})
    return search(SearchRows(FeatureTable(X, names()), y, folds), training, tuning, owner=owner, **options)


def outcome(result: SearchResult) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in result.trials]


def stop_at(done: float) -> Callable[[float, float, str], None]:
    def stop(now: float, *_: Any) -> None:
        if now >= done:
            raise StoppedError("stopped")

    return stop


def test_a_stopped_search_goes_on_from_the_database(storage: dict[str, str], tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    undisturbed = run({}, storage_path=journal)
    with pytest.raises(StoppedError):
        run(storage, progress=stop_at(4.5))
    seen: list[float] = []
    resumed = run(storage, progress=lambda done, *_: seen.append(done))
    assert min(seen) > 4
    assert outcome(resumed) == outcome(undisturbed)  # also bit by bit: PostgreSQL keeps float64
    assert (resumed.best, resumed.importances) == (undisturbed.best, undisturbed.importances)


def test_organisations_with_equal_data_share_nothing(storage: dict[str, str], database: Database) -> None:
    run(storage)
    seen: list[float] = []
    run(storage, owner="plant_b/v1", progress=lambda done, *_: seen.append(done))
    assert min(seen) < 1
    studies = database.execute("SELECT study_name, count(*) FROM trials JOIN studies USING (study_id) GROUP BY 1")
    trials = {name.rpartition("/")[0]: count for name, count in studies}
    assert trials == {"plant_a/v1": 8, "plant_b/v1": 8}


def test_two_searches_may_make_the_tables_of_an_empty_database_at_once(storage: dict[str, str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda owner: run(storage, owner), ["plant_a/v1", "plant_b/v1"]))
    assert outcome(results[0]) == outcome(results[1])


def test_what_the_database_refuses_is_told_without_the_password(
    storage: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD[::-1])
    with pytest.raises(SourceError, match="password authentication failed") as refused:
        run(storage)
    assert refused.value.field == "tuningConfig.storage"
    assert PASSWORD[::-1] not in str(refused.value.to_json())
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigError, match=VARIABLE):
        run(storage)
    with pytest.raises(SourceError, match="refuses"):
        run({"storage": "postgresql://nobody@127.0.0.1:1/nowhere"})


@pytest.mark.usefixtures("several_threads")
def test_no_password_reaches_a_stream_or_a_file(
    storage: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    write_sqlite(simulate_small_plant(), tmp_path / "scada.sqlite")
    config = plant_config(tmp_path / "scada.sqlite", tuningConfig={"nTrials": 3, "workers": 2, **storage})
    config["scadaDbConfig"] |= {"user": "reader", "password": SCADA_PASSWORD}
    config["trainingConfig"] |= {"threads": 2, "lgbParams": {"numLeaves": 4, "numIterations": 5}}
    config["schemaConfig"] |= {"lagSeconds": [1800], "rollingWindows": [4]}
    monkeypatch.setenv("ML_BASE_PATH", str(root))
    file = str(write_json(tmp_path / "config.json", config))
    assert hyperparameter_tuning.main([file]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["trials"] == 3
    monkeypatch.setenv(VARIABLE, "wrong-" + PASSWORD)
    assert hyperparameter_tuning.main([file]) == SourceError.exit_code
    refused = capfd.readouterr()
    assert "password authentication failed" in refused.out
    contents = [text.encode() for text in (*told, *refused)]
    contents += [path.read_bytes() for path in root.rglob("*") if path.is_file()]
    for secret in (PASSWORD, SCADA_PASSWORD):
        assert [content for content in contents if secret.encode() in content] == []
