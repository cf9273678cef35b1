"""The feature engineer that ``metadata.json`` holds, checked against what the metadata says of it elsewhere."""

from __future__ import annotations

from ml.errors import IntegrityError
from ml.export.metadata import ModelMetadata
from ml.features import FeatureEngineer


def engineer_of(metadata: ModelMetadata) -> FeatureEngineer:
    """The engineer of a model; raises IntegrityError if its state is damaged or does not agree with the metadata."""
    engineer = FeatureEngineer.from_dict(metadata.engine)
    pairs = {
        "organizationId": (metadata.organization_id, engineer.config.organization_id),
        "samplingIntervalSeconds": (metadata.sampling_interval_seconds, engineer.interval),
        "features": (metadata.features, tuple(engineer.get_feature_names_out())),
        "window.lookBack": (metadata.window.look_back, engineer.look_back),
        "window.channels": (tuple(channel.name for channel in metadata.window.channels), engineer.channels),
        "differences": (
            [(each.name, each.value, each.set_point) for each in metadata.differences],
            [(name, pair.value, pair.set_point) for name, pair in engineer.config.schema_config.differences.items()],
        ),
        "runningWhen": (metadata.running_when, engineer.config.schema_config.running),
        "horizonSeconds": (metadata.horizon_seconds, engineer.config.data_config.prediction_horizon_seconds),
    }
    for name, (told, found) in pairs.items():
        if told != found:
            raise IntegrityError(f"the metadata is damaged: {name} does not agree with engine", field=name)
    return engineer
