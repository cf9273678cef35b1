"""A trained version as later steps read it: checked against its manifest first, and without running anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ml.arrays import Float32s, Float64s
from ml.config import OrganizationConfig
from ml.errors import ConfigError, MissingArtifactError
from ml.export.engineer import engineer_of
from ml.export.metadata import ModelMetadata, read_metadata
from ml.export.package import METADATA_FILE
from ml.features import FeatureEngineer
from ml.learning import estimators
from ml.learning.estimators.base import Estimator
from ml.learning.events.failures import epoch_seconds
from ml.learning.held_out import HeldOut
from ml.learning.modes.models import ModeModels
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.manifest import verify
from ml.workspace.versions.store import is_current, recover


@dataclass(frozen=True)
class TrainedVersion:
    """The content of a version's folder.

    Attributes
    ----------
    config
        The part of the configuration it was trained with that features and splits depend on.
    """

    folder: Path
    metadata: ModelMetadata
    engineer: FeatureEngineer
    estimator: Estimator
    judged: HeldOut | None = None
    """Answers by models that have not seen the rows; None where this one has not."""
    modes: ModeModels | None = None
    """What tells modes of failure apart; None where nothing does."""

    @property
    def config(self) -> OrganizationConfig:
        """The configuration of data, features and training that the version was made with."""
        return self.engineer.config

    def predict(self, features: Float32s) -> Float64s:
        """Probability of a failure, float64 (n_rows,), of features that are not scaled."""
        return self.metadata.calibration.predict(self.estimator, self.engineer.scaling.apply(features))


def load_version(
    config: OrganizationConfig, paths: OrganizationPaths, model_file: Path | None = None
) -> TrainedVersion:
    """Read the version that `config` names.

    Raises MissingArtifactError if there is no such version, and IntegrityError if a file is not what the manifest says,
    or is of a newer format.

    Parameters
    ----------
    model_file
        Model to read in place of the version's own.
    """
    folder = paths.version(config.version)
    if not folder.is_dir() and paths.models.is_dir():
        recover(paths)
    if not folder.is_dir():
        raise MissingArtifactError(
            f'organisation "{config.organization_id}" has no version "{config.version}"',
            field="version",
            hint="train it with train_model.py, or name another version",
        )
    verify(folder, paths.organization_id, config.version)
    metadata = read_metadata(folder / METADATA_FILE)
    engineer = engineer_of(metadata)
    estimator_type = estimators.get(metadata.model_type)
    estimator = estimator_type.load(
        model_file or folder / estimator_type.model_file, engineer.config.training_config, names=metadata.features
    )
    held_out = HeldOut.load(folder, metadata.training.folds)
    modes = None
    if metadata.modes is not None:
        settings, n_modes = engineer.config.training_config, len(metadata.modes.names)
        modes = ModeModels.load(folder, n_modes, settings, names=metadata.features)
    return TrainedVersion(folder, metadata, engineer, estimator, held_out, modes)


def seen_spans(rows: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """First and last epoch second of each asset's rows."""
    seconds = pd.Series(epoch_seconds(rows["timestamp"]), index=rows.index).groupby(rows["asset_id"])
    return {str(asset): (int(part.min()), int(part.max())) for asset, part in seconds}


def refuse_published(config: OrganizationConfig, paths: OrganizationPaths) -> None:
    """Tell before hours of training, and not after, that the version is published and would have to change.

    Raises ConfigError if the version is the current one and was trained with another configuration.
    """
    if not is_current(paths, config.version):
        return
    if read_metadata(paths.version(config.version) / METADATA_FILE).config_digest != config.digest():
        raise ConfigError(
            f'version "{config.version}" is published and was trained with another configuration; it must not change',
            field="version",
            hint='choose a new "version"',
        )
