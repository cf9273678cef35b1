"""The parts of the engine that need no cluster."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from ml.config import OrganizationConfig
from ml.errors import ConfigError, StorageError
from ml.scale.partitioned import members
from ml.scale.partitioned.boosting import free_ports
from ml.scale.partitioned.exchange import TOKEN_BYTES, Exchange
from ml.scale.partitioned.masks import Mask, partitions, shares
from ml.scale.partitioned.stopping_metric import summed_metric

TOKEN = bytes(TOKEN_BYTES)


def some_rows(n_rows: int = 1_003) -> np.ndarray:
    return np.random.default_rng(0).random(n_rows) < 0.3


@pytest.mark.parametrize("count", [1, 2, 7])
def test_shares_are_runs_of_equally_many_wanted_rows(count: int) -> None:
    rows = some_rows()
    found = shares(rows, count)
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]
    assert (np.concatenate([part.wanted for part in found]) == rows).all()
    sizes = [int(part.wanted.sum()) for part in found]
    assert max(sizes) - min(sizes) <= 1


def test_partitions_hold_all_wanted_rows_and_a_mask_starts_where_its_history_does() -> None:
    rows = some_rows(600_000)
    rows[262_144:524_288] = False
    found = list(partitions(rows))
    assert [part.start for part in found] == [0, 524_288]
    assert sum(int(part.wanted.sum()) for part in found) == rows.sum()
    part = Mask.of(rows, 10, 20)
    assert part.after(4).tolist() == [False] * 6 + rows[10:20].tolist()


class Labels:
    """A data set of which a metric asks the labels only."""

    def __init__(self, label: np.ndarray) -> None:
        self._label = label

    def get_label(self) -> np.ndarray:
        return self._label


@pytest.mark.parametrize(
    ("name", "expected", "tolerance"),
    [
        ("binary_logloss", log_loss, 1e-12),
        ("binary_error", lambda label, chance: ((chance > 0.5) != label).mean(), 1e-12),
        ("auc", roc_auc_score, 1e-4),
        ("average_precision", average_precision_score, 1e-4),
    ],
)
def test_a_metric_in_parts_is_the_metric_of_all_rows(name: str, expected: Any, tolerance: float) -> None:
    random = np.random.default_rng(1)
    label = random.random(9_000) < 0.1
    chance = 1 / (1 + np.exp(-(random.normal(size=9_000) + 2 * label)))
    thirds = [slice(0, 1_000), slice(1_000, 5_000), slice(5_000, 9_000)]
    parts: list[np.ndarray] = []

    def keep(values: np.ndarray) -> np.ndarray:
        parts.append(values)
        return np.sum(parts, axis=0)

    for part in thirds:
        told, value, more_is_better = summed_metric(name, keep)(chance[part], Labels(label[part]))
    assert told == name
    assert value == pytest.approx(expected(label, chance), abs=tolerance)
    assert more_is_better == (name in {"auc", "average_precision"})


def test_members_see_the_same_sum_and_strangers_none() -> None:
    (port,) = free_ports(1)
    address = ("127.0.0.1", port)

    def member(rank: int) -> list[float]:
        with Exchange(address, rank, 3, TOKEN, seconds=20) as exchange:
            return [float(exchange.sum([rank + 0.1, 1.0])[0]) for _ in range(2)]

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(member, 0)]
        with (
            Exchange(address, 2, 3, b"?" * TOKEN_BYTES, seconds=20) as stranger,
            pytest.raises(OSError, match=r"gone|reset|[Bb]roken"),
        ):
            stranger.sum([1.0, 1.0])
        found += [pool.submit(member, rank) for rank in (1, 2)]
        sums = {tuple(each.result()) for each in found}
    assert sums == {(3.3000000000000003, 3.3000000000000003)}


def test_a_member_that_is_gone_is_noticed_at_once() -> None:
    (port,) = free_ports(1)
    address = ("127.0.0.1", port)

    def leaving() -> None:
        with Exchange(address, 1, 2, TOKEN, seconds=20):
            pass

    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(leaving)
        with Exchange(address, 0, 2, TOKEN, seconds=20) as exchange:
            left.result()
            with pytest.raises(ConnectionError, match=r"gone|reset"):
                exchange.sum([1.0])


def sleeping() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "import sys, time; sys.stdin.read(); time.sleep(60)"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def watched(process: subprocess.Popen[bytes], limit: int | None, *, wanted: bool) -> dict[str, Any]:
    with process:
        try:
            return members._last_word(process, None, limit, lambda _: None, lambda: wanted)  # type: ignore[arg-type]
        finally:
            process.kill()


def test_a_member_that_outgrows_its_worker_is_ended() -> None:
    with pytest.raises(StorageError, match="more than its 0 MB"):
        watched(process := sleeping(), 1, wanted=True)
    assert process.poll() is not None


def test_a_member_that_nobody_wants_any_more_is_ended() -> None:
    assert watched(process := sleeping(), None, wanted=False) == {}
    assert process.poll() is not None


def test_only_lightgbm_grows_trees_on_a_cluster() -> None:
    wanted = {"organizationId": "plant_a", "schemaConfig": {"continuousColumns": ["a"]}}
    with pytest.raises(ConfigError, match='modelType is "random_forest"') as refused:
        OrganizationConfig.from_dict({**wanted, "trainingConfig": {"engine": "dask", "modelType": "random_forest"}})
    assert refused.value.field == "trainingConfig"
