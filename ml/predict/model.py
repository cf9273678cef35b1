"""A version of a model as predictions need it: its ONNX file and the state of its features, behind the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml.arrays import Float32s, Int64s
from ml.cleaning.table import from_table
from ml.errors import BusyError, IntegrityError, MissingArtifactError
from ml.export.engineer import engineer_of
from ml.export.graph.model import INPUT
from ml.export.metadata import ModelMetadata, parse_metadata
from ml.export.modes import MODES_FILE, run_modes
from ml.export.onnx_runtime import onnxruntime
from ml.export.package import METADATA_FILE, MODEL_FILE, REASONS_FILE, TIMES_FILE
from ml.export.reasons.graph import CONTRIBUTIONS
from ml.export.session import BATCH_ROWS, Scorer, batches, open_model
from ml.export.times.graph import TIMES
from ml.features import FeatureEngineer
from ml.grid.regular import resolve_max_gap, to_grid
from ml.grid.running import off_rows
from ml.ingest.failures.since import times_since
from ml.predict.alert_tracker import AlertEvent, AlertTracker
from ml.predict.alerts import Alert, scored_rows
from ml.windows.parallel import available_cpus
from ml.workspace.paths import OrganizationPaths
from ml.workspace.safe_open import read_bytes
from ml.workspace.versions.manifest import MANIFEST, verify

Probabilities = Float32s
Labels = Int64s


@dataclass(frozen=True)
class LoadedModel:
    """A model that was read and checked; it changes no more, and threads may share it.

    Attributes
    ----------
    manifest_digest
        SHA-256 of the version's manifest, and so of all its files.
    """

    organization_id: str
    version: str
    manifest_digest: str
    metadata: ModelMetadata
    engineer: FeatureEngineer
    scorer: Scorer
    reasons_session: onnxruntime.InferenceSession | None = None
    times_session: onnxruntime.InferenceSession | None = None
    modes_session: onnxruntime.InferenceSession | None = None

    @property
    def max_gap(self) -> int:
        """Seconds that a reading is carried forward on the model's grid."""
        return resolve_max_gap(self.engineer.config.data_config.max_gap_seconds, self.engineer.interval)

    def predict(self, readings: pd.DataFrame, events: pd.DataFrame | None = None) -> pd.DataFrame:
        """The probability of a failure within the model's horizon, at every grid instant of a table of readings.

        Parameters
        ----------
        readings
            One row per reading, (n_readings, ...), with the columns that the model was trained on, in any order of
            rows; no target is needed. To predict for now, give at least the last ``metadata.window.look_back``
            sampling intervals: the rows after that many have their full history.
        events
            Failures and maintenance of all the assets' past, for a model with channels of the kind ``event``:
            ``asset_id`` (none: one asset), ``event`` as those channels name it, and ``timestamp``, when it ended.
            Without them the times since events are missing, of which the model knows as much as before a first event.

        Returns
        -------
        One row per asset and grid instant, by asset and time: ``asset_id``, ``timestamp`` (UTC), ``probability``
        (float32; NaN while the machine is off by the model's ``runningWhen``) and ``label`` (int64, 1 where the
        probability reaches the model's threshold). A model of normal behaviour has ``score`` in place of
        ``probability``: how far the machine is from normal, 0.5 at the limit.

        Raises
        ------
        MissingColumnError
            If a sensor, the asset or the time column is missing.
        DataError
            If there is no row, or a column cannot hold what the model was trained on.
        """
        return self.predict_grid(self.grid_of(readings, events))

    def grid_of(self, readings: pd.DataFrame, events: pd.DataFrame | None = None) -> pd.DataFrame:
        """The grid rows of a table of readings; see `predict`."""
        config = self.engineer.config
        frame = to_grid(
            from_table(readings, config).frame,
            schema=config.schema_config,
            interval=self.engineer.interval,
            max_gap=self.max_gap,
            aggregation=config.data_config.aggregation,
            flags=(),
            own_gaps=self.metadata.grid.own_gaps,
        )
        inputs = config.schema_config.event_inputs
        if inputs and events is not None:
            frame = frame.assign(**times_since(inputs, events, self.engineer.interval).columns(frame))
        return frame

    def predict_grid(self, frame: pd.DataFrame, *, skip: int = 0) -> pd.DataFrame:
        """As `predict`, of a grid frame; the first `skip` rows serve as history and are left out."""
        wanted = np.arange(len(frame)) >= skip
        probability, label = self.predict_features(self.engineer.matrix(frame, rows=wanted))
        off = off_rows(frame.iloc[skip:], self.metadata.running_when)
        if off.any():
            probability, label = np.where(off, np.float32(np.nan), probability), np.where(off, 0, label)
        scored = frame.iloc[skip:][["asset_id", "timestamp"]].reset_index(drop=True)
        return scored.assign(**{self.metadata.score_name: probability}, label=label)

    def predict_features(self, X: Float32s) -> tuple[Probabilities, Labels]:
        """Probability, float32 (n_rows,), and label, int64 (n_rows,), of features float32 (n_rows, n_features).

        The columns are ``metadata.features`` in this order, not scaled; NaN means missing.

        Raises
        ------
        DataError
            If the array has another type or width.
        """
        return self.scorer.score(X)

    def reasons(self, X: Float32s) -> pd.DataFrame:
        """What each sensor adds to the score (log-odds) of feature rows, a column per sensor; see `predict_features`.

        A column says how far the sensor moved the score from ``metadata.reasons.expected_score``; it is a reason of
        the model, not a cause in the machine. ``metadata.reasons.agreement`` says how close these are to exact ones.

        Raises
        ------
        MissingArtifactError
            If the model has no reasons.onnx, as those of model types without trees.
        """
        described = self.metadata.reasons
        if self.reasons_session is None or described is None:
            raise MissingArtifactError(
                f'version "{self.version}" has no reasons.onnx',
                hint="models of trees have it; convert the version again",
            )
        parts = [self.reasons_session.run([CONTRIBUTIONS], {INPUT: X[part]})[0] for part in batches(len(X), BATCH_ROWS)]
        empty = np.empty((0, len(described.sensors)), dtype=np.float32)
        return pd.DataFrame(np.concatenate([empty, *parts]), columns=list(described.sensors))

    def times_to_failure(self, X: Float32s) -> pd.DataFrame:
        """Seconds within which feature rows fail with 10, 50 and 90 %: float32 ``p10``, ``p50``, ``p90``.

        Infinite beyond ``metadata.time_to_failure.horizons_seconds``; ``metadata.time_to_failure.measured`` says how
        often the truth lay between p10 and p90. See `predict_features` for the rows.

        Raises
        ------
        MissingArtifactError
            If the model has no time_to_failure.onnx.
        """
        if self.times_session is None:
            raise MissingArtifactError(
                f'version "{self.version}" has no time_to_failure.onnx',
                hint='train with trainingConfig.timeToFailure "on"',
            )
        parts = [self.times_session.run([TIMES], {INPUT: X[part]})[0] for part in batches(len(X), BATCH_ROWS // 8)]
        return pd.DataFrame(np.concatenate([np.empty((0, 3), np.float32), *parts]), columns=["p10", "p50", "p90"])

    def modes(self, X: Float32s) -> pd.DataFrame:
        """Probability of each mode of failure, given a failure, of feature rows, a column per mode: float32.

        Times the row's probability it is that of this mode. Several can be likely at once; they need not sum to 1.

        Raises
        ------
        MissingArtifactError
            If the version tells no modes of failure apart.
        """
        described = self.metadata.modes
        if self.modes_session is None or described is None:
            raise MissingArtifactError(
                f'version "{self.version}" has no {MODES_FILE}',
                hint="train on data with modes of failure (failureConfig), each with enough failures",
            )
        return pd.DataFrame(run_modes(self.modes_session, X), columns=list(described.names))

    def alerts(
        self, readings: pd.DataFrame, events: pd.DataFrame | None = None, *, cooldown_seconds: int | None = None
    ) -> list[Alert]:
        """The alarms in a table of readings, by asset, component and time; see `predict` and `alert_events`.

        Parameters
        ----------
        cooldown_seconds
            As of `alert_tracker`.
        """
        tracker = self.alert_tracker(cooldown_seconds)
        told = self.alert_events(readings, tracker, events)
        ended = [event.alert for event in told if event.kind == "end"]
        return sorted([*ended, *tracker.close()], key=lambda alert: (alert.asset, alert.start, alert.component or ""))

    def alert_events(
        self, readings: pd.DataFrame, tracker: AlertTracker, events: pd.DataFrame | None = None
    ) -> list[AlertEvent]:
        """What a table of readings does to the alerts of a tracker, which is changed; see `predict`.

        Give the readings that have come since, and before them as many as a prediction looks back: rows that the
        tracker has seen are left out.
        """
        frame = self.grid_of(readings, events)
        scored = self.predict_grid(frame)
        alarm = scored["label"].to_numpy() == 1
        modes = reasons = times = None
        if alarm.any():
            X = self.engineer.matrix(frame, rows=alarm)
            modes = None if self.modes_session is None else self.modes(X)
            reasons = None if self.reasons_session is None else self.reasons(X)
            times = None if self.times_session is None else self.times_to_failure(X)
        name = self.metadata.score_name
        return tracker.take(scored_rows(scored, modes, reasons, times, version=self.version, score_name=name))

    def alert_tracker(self, cooldown_seconds: int | None = None) -> AlertTracker:
        """A tracker of alerts without any yet.

        Parameters
        ----------
        cooldown_seconds
            Alarm rows of one asset and component that are at most so far apart are one alert; never less than the
            sampling interval. Default: the ``validationConfig.alarmCooldownSeconds`` of training.
        """
        configured = self.metadata.threshold_choice.get("alarmCooldownSeconds", 0)
        cooldown = int(str(configured)) if cooldown_seconds is None else cooldown_seconds
        return AlertTracker(max(cooldown, self.engineer.interval))


def manifest_digest(folder: Path, version: str) -> str:
    """SHA-256 of a version's manifest; raises MissingArtifactError where there is none."""
    try:
        return hashlib.sha256(read_bytes(folder / MANIFEST)).hexdigest()
    except FileNotFoundError:
        raise MissingArtifactError(
            f'there is no version "{version}", or it is not complete', hint="train it, or name another version"
        ) from None
    except OSError as error:
        raise IntegrityError(f'the manifest of version "{version}" cannot be read: {error.strerror}') from error


def read_model(paths: OrganizationPaths, version: str) -> LoadedModel:
    """Check every byte of a version against its manifest, and open its model; nothing in it is executed.

    Raises as `ml.predict.load_model`.
    """
    folder = paths.version(version)
    digest = manifest_digest(folder, version)
    files: Mapping[str, Any] = verify(folder, paths.organization_id, version)["files"]
    if MODEL_FILE not in files:
        raise MissingArtifactError(f'version "{version}" has no {MODEL_FILE}', hint="run convert_to_onnx.py")
    model, description = (_checked_content(folder, name, files) for name in (MODEL_FILE, METADATA_FILE))
    if manifest_digest(folder, version) != digest:
        raise BusyError(f'version "{version}" was replaced while it was read', hint="try again")
    metadata = parse_metadata(description, METADATA_FILE)
    if (metadata.organization_id, metadata.version) != (paths.organization_id, version):
        raise IntegrityError(f'the {METADATA_FILE} of version "{version}" belongs to another organisation or version')
    scorer = Scorer(model, threads=available_cpus())
    if scorer.n_features != len(metadata.features):
        raise IntegrityError(
            f"{MODEL_FILE} takes {scorer.n_features} features, but {METADATA_FILE} names {len(metadata.features)}"
        )
    reasons, times, modes = (
        open_model(_checked_content(folder, name, files)) if name in files else None
        for name in (REASONS_FILE, TIMES_FILE, MODES_FILE)
    )
    engineer = engineer_of(metadata)
    return LoadedModel(paths.organization_id, version, digest, metadata, engineer, scorer, reasons, times, modes)


def _checked_content(folder: Path, name: str, files: Mapping[str, Any]) -> bytes:
    """What is used is what was checked: the bytes read here must have the listed hash."""
    try:
        content = read_bytes(folder / name)
    except OSError as error:
        raise BusyError(f"{name} of {folder.name} went away while it was read", hint="try again") from error
    if name not in files or hashlib.sha256(content).hexdigest() != files[name]["sha256"]:
        raise IntegrityError(f"{name} of {folder.name} is not what its manifest says")
    return content
