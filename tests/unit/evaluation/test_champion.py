"""When the published version can be compared with a candidate, and what is said when it cannot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.config import OrganizationConfig
from ml.evaluation import champion
from ml.evaluation.comparison import Champion
from ml.evaluation.rows import EvaluatedData
from ml.learning.held_out import HeldOut, HeldOutFold

HOUR = 3600
DAYS = 20
PLANT: dict[str, Any] = {
    "organizationId": "plant",
    "version": "v2",
    "schemaConfig": {"continuousColumns": ["heat"]},
    "dataConfig": {"predictionHorizonSeconds": 2 * HOUR, "minFailureEvents": 3},
}


def config(**sections: Any) -> OrganizationConfig:
    return OrganizationConfig.from_dict(
        PLANT | {name: PLANT.get(name, {}) | change for name, change in sections.items()}
    )


def plant_rows() -> EvaluatedData:
    """A failure at every midnight; the two rows before it are positive."""
    time = pd.date_range("2024-01-01", periods=24 * DAYS, freq="h", tz="UTC")
    inside = np.arange(24 * DAYS) % 24 == 23
    label = np.where(inside, -1, np.isin(np.arange(24 * DAYS) % 24, (21, 22))).astype(np.int8)
    frame = pd.DataFrame(
        {
            "asset_id": "pump",
            "timestamp": time,
            "segment": 0,
            "heat": np.float32(label == 1),
            "label": label,
            "target": inside.astype(np.int8),
            "event": np.where(inside, np.arange(24 * DAYS) // 24, -1).astype(np.int32),
        }
    )
    return EvaluatedData(frame, label >= 0, "a file", "0" * 64, 2 * HOUR, None, {})


def version(
    *,
    interval: int = HOUR,
    horizon: int = 2 * HOUR,
    channels: tuple[str, ...] = ("heat",),
    seen_days: int = 0,
    judged: HeldOut | None = None,
    **data: Any,
) -> Any:
    last = 1_704_067_200 + seen_days * 86_400 - 1
    return SimpleNamespace(
        metadata=SimpleNamespace(
            horizon_seconds=horizon,
            threshold=0.5,
            grid=SimpleNamespace(own_gaps={}),
            data=SimpleNamespace(seen={"pump": (0, last)} if seen_days else {}),
        ),
        engineer=SimpleNamespace(
            interval=interval, channels=channels, matrix=lambda frame, rows: frame.loc[rows, ["heat"]].to_numpy()
        ),
        config=config(dataConfig=data),
        judged=judged,
    )


def compare(monkeypatch: pytest.MonkeyPatch, published: Any, probability: Any, settings: Any = None) -> Champion | None:
    """The published model answers with the reading of ``heat``, which is the label."""
    monkeypatch.setattr(champion, "current_version", lambda paths: None if published is None else "v1")
    monkeypatch.setattr(champion, "load_version", lambda config, paths: published)
    monkeypatch.setattr(champion, "shipped_model", lambda *arguments: b"")
    answer = SimpleNamespace(probability=lambda features: features[:, 0])
    monkeypatch.setattr(champion, "Scorer", lambda content, threads: answer)
    paths: Any = None
    return champion.compare_with_published(settings or config(), paths, version(), plant_rows(), probability, 0.5)


def perfect() -> Any:
    rows = plant_rows()
    return (rows.label == 1).astype(np.float32)


def noise() -> Any:
    return np.random.default_rng(1).random(len(plant_rows().label)).astype(np.float32)


def test_a_candidate_of_noise_is_worse_than_a_perfect_published_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(monkeypatch, version(), noise())
    assert found is not None
    assert found.average_precision == 1.0
    assert found.worse
    assert found.interval is not None
    assert found.interval[1] < -0.5
    assert found.events is not None
    assert (found.events["detected"], found.events["failures"]) == (DAYS, DAYS)


def test_equal_models_are_equal_on_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(monkeypatch, version(), perfect())
    assert found is not None
    assert (found.interval, found.difference, found.worse) == ((0.0, 0.0), 0.0, False)


def test_what_the_published_version_was_trained_on_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare(monkeypatch, version(seen_days=10), noise())
    assert found is not None
    # 23 rows a day have a label; the horizon reaches two hours into the eleventh day, and its first row is one of them.
    assert found.rows == 23 * 10 - 2
    assert found.skipped is None


def test_answers_by_models_that_had_not_seen_the_rows_stand_in_for_a_published_version_that_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = plant_rows()
    kept = HeldOut.of(rows.frame, [HeldOutFold(np.flatnonzero(rows.scored), noise(), 0.5, 10)])
    found = compare(monkeypatch, version(seen_days=DAYS + 1, judged=kept), noise())
    assert found is not None
    assert (found.skipped, found.rows, found.difference, found.interval) == (None, len(rows.label), 0.0, (0.0, 0.0))


@pytest.mark.parametrize(
    ("published", "reason"),
    [
        (version(horizon=HOUR), "it looks 3600 s ahead, this one 7200 s"),
        (version(interval=60), "it reads a grid of 60 s, this one of 3600 s"),
        (version(channels=("heat", "flow")), "it reads flow, which the test rows do not have"),
        (version(aggregation="mean"), "its grid was made with another dataConfig (aggregation)"),
        (version(seen_days=18), "hold 2 failures, and at least 3 are needed"),
        (version(seen_days=DAYS + 1), "it was trained on all but 0 of the test rows"),
    ],
    ids=["horizon", "interval", "sensor", "grid", "few failures", "no rows"],
)
def test_what_cannot_be_compared_is_said_and_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, published: Any, reason: str
) -> None:
    found = compare(monkeypatch, published, noise())
    assert found is not None
    assert found.skipped is not None
    assert reason in found.skipped
    assert (found.worse, found.interval, found.difference) == (False, None, None)


def test_there_is_no_comparison_where_nothing_is_published_or_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(monkeypatch, None, noise()) is None
    assert compare(monkeypatch, version(), noise(), config(validationConfig={"champion": "ignore"})) is None
    assert compare(monkeypatch, version(), noise(), config().model_copy(update={"version": "v1"})) is None
