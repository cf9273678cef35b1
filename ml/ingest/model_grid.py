"""Readings from elsewhere on the grid of a trained model."""

from __future__ import annotations

from ml.config import OrganizationConfig

_SENSORS = (
    "continuous_columns",
    "boolean_columns",
    "categorical_columns",
    "column_units",
    "convert_to",
    "counter_columns",
    "operating_columns",
    "set_point_pairs",
    "running_when",
    "event_inputs",
)
_GRID = ("aggregation", "max_gap_seconds", "during_failure", "recovery_seconds", "prediction_horizon_seconds")


def on_grid_of(trained: OrganizationConfig, config: OrganizationConfig) -> OrganizationConfig:
    """`config` with the sensors and the grid that a model was trained on; where columns are in a file, it says."""
    schema = {name: getattr(trained.schema_config, name) for name in _SENSORS}
    data = {name: getattr(trained.data_config, name) for name in _GRID}
    return config.model_copy(
        update={
            "schema_config": config.schema_config.model_copy(update=schema),
            "data_config": config.data_config.model_copy(update=data),
        }
    )
