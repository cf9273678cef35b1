"""Which rows a version is evaluated on, the part that training held out or a file of test data, and what they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.errors import ConfigError, DataError, NoRowsError, TooFewFailuresError
from ml.evaluation.model_version import TrainedVersion
from ml.ingest import inputs
from ml.ingest.model_grid import on_grid_of
from ml.ingest.prepared.fingerprint import read_fingerprint
from ml.learning.events.failures import epoch_seconds, failure_numbers
from ml.learning.folds.splits import Parts, split_of
from ml.learning.held_out import HeldOut
from ml.workspace.paths import OrganizationPaths


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows that the verdict rests on."""

    source: str
    """Where they come from, in words: the held-out part, or the name of a file."""
    rows: int
    positives: int
    assets: int
    events: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The description under its JSON names."""
        return {
            "source": self.source,
            "rows": self.rows,
            "positives": self.positives,
            "events": self.events,
            "assets": self.assets,
            "from": self.start and self.start.isoformat(),
            "to": self.end and self.end.isoformat(),
            "digest": self.digest,
        }


@dataclass(frozen=True)
class EvaluatedData:
    """A grid frame with the rows that the verdict rests on marked as `scored`; the others are their history.

    Attributes
    ----------
    parts
        How training divided the rows of the frame; None for a file of other rows, and after a backtest.
    judged
        Answers on the scored rows by models that have not seen them, where the shipped one has; else None.
    """

    frame: pd.DataFrame
    scored: Bools
    source: str
    digest: str
    horizon: int
    parts: Parts | None
    summary: dict[str, Any]
    judged: HeldOut | None = None

    @property
    def split(self) -> dict[str, Any] | None:
        """How training divided the rows; None for a file of other rows, and after a backtest."""
        return None if self.parts is None else self.parts.describe()

    @property
    def label(self) -> npt.NDArray[np.int8]:
        """Labels of the scored rows."""
        return np.asarray(self.frame["label"], dtype=np.int8)[self.scored]

    @property
    def table(self) -> pd.DataFrame:
        """The scored rows."""
        return self.frame.loc[self.scored]

    def describe(self) -> EvaluatedRows:
        """The scored rows for the report."""
        table = self.table
        numbers = failure_numbers(self.frame, self.horizon)[self.scored]
        return EvaluatedRows(
            source=self._origin(),
            rows=len(table),
            positives=int((self.label == 1).sum()),
            assets=int(table["asset_id"].nunique()),
            events=int(np.unique(numbers[numbers >= 0]).size),
            start=table["timestamp"].min().to_pydatetime(),
            end=table["timestamp"].max().to_pydatetime(),
            digest=self.digest,
        )

    def _origin(self) -> str:
        if self.parts is not None:
            return f"held-out part of {self.source}"
        if self.judged is not None:
            return f"{self.source}, each row by one of {len(self.judged.parts)} models that have not seen it"
        return self.source


def evaluated_data(
    config: OrganizationConfig, paths: OrganizationPaths, trained: TrainedVersion, test_data: str | None
) -> EvaluatedData:
    """The test part that training held out, or the labelled rows of a file.

    Raises
    ------
    ConfigError
        If the configuration's horizon is not the model's.
    NoRowsError, TooFewFailuresError
        If there are no rows, or rows of one class only.
    DataError
        If the prepared data is not what the version was trained on, so that its test part could have been seen.
    IsolationError
        If the file is another organisation's.
    """
    horizon = config.data_config.prediction_horizon_seconds
    if config.data_config.label_column is None and horizon != trained.metadata.horizon_seconds:
        raise ConfigError(
            f"the model was trained for a horizon of {trained.metadata.horizon_seconds} s, the configuration says "
            f"{horizon}",
            field="dataConfig.predictionHorizonSeconds",
            hint=f"set it to {trained.metadata.horizon_seconds}, or train a version for the other horizon",
        )
    source = inputs.kept_data(config, paths) if test_data is None else _named_data(config, paths, trained, test_data)
    parts = judged = None
    if source.digest == trained.metadata.data.digest:
        judged = trained.judged
        if trained.metadata.training.scheme == "holdout":
            parts = split_of(trained.config, source.data.frame, trained.engineer)
        if judged is not None:
            scored = judged.mask(len(source.data.frame))
        elif parts is not None and trained.metadata.training.seen != "all":
            scored = parts.test
        else:
            scored = np.zeros(len(source.data.frame), dtype=np.bool_)
    elif test_data is None:
        raise DataError(
            f'the prepared data is not the data that version "{config.version}" was trained on, so its test part '
            "could hold rows that the model has seen",
            hint="train the version again, or name a file with test data",
        )
    else:
        scored = (source.data.frame["label"] >= 0).to_numpy() & ~rows_seen(source.data.frame, trained)
    if not scored.any():
        raise NoRowsError(
            "no rows to validate on: there is no labelled row that the model has not been trained on",
            hint="set dataConfig.testSplit, or name a file with other test data",
        )
    rows = EvaluatedData(
        source.data.frame, scored, source.source, source.digest, horizon, parts, source.data.summary, judged
    )
    positives = int((rows.label == 1).sum())
    if positives in (0, rows.label.size) and trained.metadata.score_kind == "probability":
        raise TooFewFailuresError(
            f"the {rows.label.size} test rows hold one class only ({positives} are positive) and evaluate nothing",
            hint="give test data with rows before failures and rows of healthy operation",
        )
    return rows


def _named_data(
    config: OrganizationConfig, paths: OrganizationPaths, trained: TrainedVersion, test_data: str
) -> inputs.Input:
    """A file of test data on the model's own grid; where columns and labels are in it, the configuration says."""
    file = paths.readable_file(test_data, "the test data")
    metadata, like_training = trained.metadata, on_grid_of(trained.config, config)
    source = inputs.external_data(
        like_training,
        paths,
        file,
        interval=metadata.sampling_interval_seconds,
        own_gaps=metadata.grid.own_gaps,
    )
    fingerprint = read_fingerprint(file)
    if source.data.interval != metadata.sampling_interval_seconds:
        raise DataError(
            f"the test data was prepared on a grid of {source.data.interval} s; the model was trained on "
            f"{metadata.sampling_interval_seconds} s",
            hint="prepare it again with the same dataConfig.samplingIntervalSeconds",
        )
    if fingerprint is not None and fingerprint.horizon != metadata.horizon_seconds:
        raise DataError(
            f"the test data was prepared for a horizon of {fingerprint.horizon} s; the model was trained for "
            f"{metadata.horizon_seconds} s",
            hint="prepare it again with the same dataConfig.predictionHorizonSeconds",
        )
    return source


def rows_seen(frame: pd.DataFrame, trained: TrainedVersion) -> Bools:
    """Rows of the assets and times that the version was fitted on, or whose labels it knew."""
    spans = trained.metadata.data.seen
    asset = frame["asset_id"]
    seconds = epoch_seconds(frame["timestamp"])
    first = asset.map({name: span[0] for name, span in spans.items()}).to_numpy(dtype=np.float64)
    last = asset.map({name: span[1] for name, span in spans.items()}).to_numpy(dtype=np.float64)
    return np.asarray((seconds >= first) & (seconds <= last + trained.metadata.horizon_seconds), dtype=np.bool_)
