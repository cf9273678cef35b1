"""A real scheduler and worker processes on loopback: the same bits as one process, whatever dies."""

from __future__ import annotations

import logging
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client
from sklearn.metrics import average_precision_score

from ml.config import OrganizationConfig
from ml.errors import IntegrityError, IsolationError
from ml.evaluation.drift.baseline import learn_baseline
from ml.features import FeatureEngineer
from ml.ingest.prepared import data as prepared
from ml.learning.folds.splits import split_of
from ml.learning.trained_model import TrainedModel
from ml.learning.training import train
from ml.progress import ProgressCallback, silent
from ml.scale.clients import SCHEDULER_VARIABLE
from ml.scale.partitioned import boosting, masks
from ml.scale.partitioned.engine import PartitionedEngine
from ml.scale.partitioned.stored import Stored
from ml.scale.partitioned.workers import DaskWorkers, ThisProcess, workers
from ml.windows.channels import physical_samples
from tests.dask_cluster import Cluster, dask_cluster
from tests.unit.scale.partitioned.stored_plant import INTERVAL, SECRET, config, plant, stored_in

QUALITY = 0.005  # of average precision
NARROW = ["asset_id", "timestamp", "segment", "target", "event", "label", "status"]


class Place:
    """A prepared plant and a cluster that sees it."""

    def __init__(self, processes: Cluster, client: Client, frame: pd.DataFrame, stored: Stored) -> None:
        self.processes, self.client, self.frame, self.stored = processes, client, frame, stored

    def engine(self, settings: OrganizationConfig, progress: ProgressCallback = silent) -> PartitionedEngine:
        return PartitionedEngine(DaskWorkers(self.client), settings, self.stored, self.frame[NARROW], progress)

    def kill_a_worker(self) -> None:
        address, pid = sorted(self.client.run(os.getpid).items())[-1]
        os.kill(pid, signal.SIGKILL)
        while address in self.client.nthreads():
            pass


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("cluster")
    frame = plant()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "ROW_GROUP_ROWS", 1_000)
        patch.setattr(masks, "PARTITION_ROWS", 1_500)
        patch.setattr(boosting, "RECOVERY_SECONDS", 0.5)
        stored = stored_in(folder, frame)
        with dask_cluster(folder) as processes, processes.client() as client:
            yield Place(processes, client, frame, stored)


def bits(model: TrainedModel, file: Path) -> tuple[bytes, Any, bytes]:
    model.estimator.save(file)
    return file.read_bytes(), model.choice.to_json(), model.held_out().tobytes()


def average_precision(model: TrainedModel, frame: pd.DataFrame) -> float:
    label = frame["label"].to_numpy()[model.parts.test]
    return float(average_precision_score(label, model.held_out()))


def test_one_worker_gives_the_model_of_one_process_to_the_bit(place: Place, tmp_path: Path) -> None:
    """Constants, selection, scaling, bins, trees, calibration and threshold, also after a refit."""
    settings = config(
        featureConfig={"scaling": "robust", "selection": {"method": "f_test", "k": 40}},
        training={"calibration": "auto", "refit": "validation"},
    )
    place.processes.bring_to(1, place.client)
    found, expected = train(settings, place.engine(settings), INTERVAL), train(settings, place.frame, INTERVAL)
    assert found.engineer.to_dict() == expected.engineer.to_dict()
    assert bits(found, tmp_path / "dask") == bits(expected, tmp_path / "local")
    assert found.suspicious == expected.suspicious


def test_without_a_scheduler_this_process_gives_the_model_of_the_local_engine_to_the_bit(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SCHEDULER_VARIABLE, raising=False)
    settings = config(featureConfig={"scaling": "robust", "selection": {"method": "f_test", "k": 40}})
    told: set[str] = set()
    with workers() as own:
        assert isinstance(own, ThisProcess)
        engine = PartitionedEngine(
            own, settings, place.stored, place.frame[NARROW], lambda done, total, message: told.add(message)
        )
        found, expected = train(settings, engine, INTERVAL), train(settings, place.frame, INTERVAL)
        engine.forget()
    assert found.engineer.to_dict() == expected.engineer.to_dict()
    assert bits(found, tmp_path / "partitions") == bits(expected, tmp_path / "local")
    assert told >= {"computing features", "binning features", "scoring"}


def test_workers_give_the_features_and_the_quality_of_one_process(place: Place) -> None:
    settings = config()
    place.processes.bring_to(3, place.client)
    expected = train(settings, place.frame, INTERVAL)
    found = train(settings, engine := place.engine(settings), INTERVAL)
    assert found.engineer.to_dict() == expected.engineer.to_dict()
    every = np.ones(len(place.frame), dtype=np.bool_)
    assert engine.features(found.engineer, every).tobytes("F") == expected.engineer.matrix(place.frame).tobytes("F")
    assert abs(average_precision(found, place.frame) - average_precision(expected, place.frame)) < QUALITY
    text = found.estimator.booster.model_to_string()  # type: ignore[attr-defined]
    assert "127.0.0.1" not in text

    schema = settings.schema_config
    baselines = engine.each_channel(learn_baseline, found.parts.train)
    samples = physical_samples(place.frame, schema, found.parts.train)
    assert baselines == {name: learn_baseline(values) for name, values in samples}
    excerpt = engine.excerpt()
    assert list(excerpt[list(schema.sensor_columns)].columns) == list(schema.sensor_columns)
    assert excerpt["segment"].nunique() >= place.frame["segment"].nunique()


def test_a_worker_killed_while_features_are_computed_changes_no_bit(place: Place) -> None:
    settings = config()
    place.processes.bring_to(3, place.client)
    killed: list[str] = []

    def kill_once(done: float, total: float, message: str) -> None:
        if message == "computing features" and 0 < done < total and not killed:
            place.kill_a_worker()
            killed.append(message)

    rows = split_of(settings, place.frame, FeatureEngineer(settings, INTERVAL)).train
    engineer = FeatureEngineer(settings, INTERVAL).fit(place.frame, rows=rows)
    found = place.engine(settings, kill_once).features(engineer, rows)
    assert killed
    assert found.tobytes("F") == engineer.matrix(place.frame, rows=rows).tobytes("F")


def test_a_worker_killed_while_trees_grow_costs_time_and_no_quality(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    settings = config()
    place.processes.bring_to(3, place.client)
    killed: list[float] = []

    def kill_once(done: float, _: float, message: str) -> None:
        if message == "fitting" and done > 3 and not killed:
            place.kill_a_worker()
            killed.append(done)

    with caplog.at_level(logging.WARNING):
        found = train(settings, place.engine(settings), INTERVAL, kill_once)
    assert killed
    assert "attempt 1 of" in caplog.text
    expected = train(settings, place.frame, INTERVAL)
    assert abs(average_precision(found, place.frame) - average_precision(expected, place.frame)) < QUALITY


def test_no_task_holds_a_secret_and_no_worker_keeps_anything(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.processes.bring_to(2, place.client)
    sent: list[bytes] = []

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **options: Any) -> Any:
            sent.append(pickle.dumps([each for each in arguments if not callable(each)]))
            return call(*arguments, **options)

        return noting

    for name in ("submit", "scatter"):
        monkeypatch.setattr(place.client, name, noted(getattr(place.client, name)))
    settings = config()
    engine = place.engine(settings)
    train(settings, engine, INTERVAL)
    engine.forget()
    assert any(b"pressure" in each for each in sent)
    assert [each for each in sent if SECRET.encode() in each or b"db.example" in each] == []

    assert _held(place.client) == dict.fromkeys(_held(place.client), 0)
    workers = place.client.run(os.getpid).values()
    assert [child.cmdline() for pid in workers for child in psutil.Process(pid).children(recursive=True)] == []


def _held(client: Client) -> dict[str, int]:
    """Results that each worker holds, once it has been told what nobody wants any more."""
    for _ in range(100):
        held = client.run(lambda dask_worker: len(dask_worker.data))
        if not any(held.values()):
            break
    return dict(held)


@pytest.mark.parametrize(
    ("change", "error"), [({"digest": "0" * 64}, IntegrityError), ({"organization_id": "plant_b"}, IsolationError)]
)
def test_a_worker_refuses_a_file_that_is_not_what_was_agreed_on(
    place: Place, change: dict[str, str], error: type[Exception]
) -> None:
    place.processes.bring_to(1, place.client)
    other = Stored(**{**vars(place.stored), **change})
    settings = config()
    engine = PartitionedEngine(DaskWorkers(place.client), settings, other, place.frame[NARROW], silent)
    with pytest.raises(error):
        engine.readings(np.arange(len(place.frame)) < 10)
