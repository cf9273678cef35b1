"""Windows, lags and families as something that a search may vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from ml.arrays import Bools, Float32s
from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.features import FeatureEngineer
from ml.learning.folds.fitting import Fold
from ml.options.base import explain, nearest
from ml.options.features import FamiliesConfig
from ml.options.learning import SearchRange
from ml.options.schema import SchemaConfig

SCHEMA_KEYS = {"rollingWindows": "rolling_windows", "lagSeconds": "lag_seconds"}
FAMILIES_KEY = "families"
FEATURE_KEYS = (*SCHEMA_KEYS, FAMILIES_KEY)
"""Keys of ``tuningConfig.searchSpace`` that are no parameters of the model."""


@dataclass(frozen=True)
class FeatureTable:
    """Features of the rows that are searched on, float32 of shape (n_rows, n_features), and their names."""

    X: Float32s
    names: list[str]

    def table(self, values: Mapping[str, Any]) -> FeatureTable:  # noqa: ARG002 - nothing to choose from
        """This table."""
        return self

    def current(self) -> dict[str, Any]:
        """No searched key has a value."""
        return {}


class FeatureSets:
    """The tables of different sets of features, each exactly what `FeatureEngineer` computes under that configuration.

    A table is computed when it is asked for. Tables are not columns of one union, because the same name may mean other
    numbers: where operating regimes are on, every sensor is normalised by them.

    Parameters
    ----------
    config
        The configuration to start from.
    frame
        Grid frame.
    interval
        Grid spacing in seconds.
    fit_rows
        (n_frame_rows,), rows that constants of the features are learned on.
    rows
        (n_frame_rows,), rows of the tables.
    """

    def __init__(
        self,
        config: OrganizationConfig,
        frame: pd.DataFrame,
        interval: int,
        fit_rows: Bools,
        rows: Bools,
    ) -> None:
        self._config, self._frame, self._interval = config, frame, interval
        self._fit_rows, self._rows = fit_rows, rows

    def table(self, values: Mapping[str, Any]) -> FeatureTable:
        """The features under some values of `FEATURE_KEYS`; those not named are as configured."""
        engineer = FeatureEngineer(with_features(self._config, values), self._interval)
        engineer.fit(self._frame, rows=self._fit_rows)
        matrix = engineer.scaling.apply(engineer.matrix(self._frame, rows=self._rows))
        return FeatureTable(matrix, engineer.get_feature_names_out())

    def current(self) -> dict[str, Any]:
        """The configured value of each of `FEATURE_KEYS`."""
        families = self._config.feature_config.families
        values: dict[str, Any] = {key: getattr(self._config.schema_config, name) for key, name in SCHEMA_KEYS.items()}
        return values | {FAMILIES_KEY: tuple(name for name, family in families if family.enabled)}


FeatureSource = FeatureTable | FeatureSets
"""Where a search gets its features: one table, or one for each choice."""


@dataclass(frozen=True)
class SearchRows:
    """The rows that a search is about.

    Attributes
    ----------
    features
        Of (n_rows,) rows.
    labels
        0 and 1, shape (n_rows,).
    folds
        ``(train, held_out)`` row positions, ascending, as from `ml.learning.folds.splits.EventFolds`.
    """

    features: FeatureSource
    labels: npt.NDArray[Any]
    folds: Sequence[Fold]


def with_features(config: OrganizationConfig, values: Mapping[str, Any]) -> OrganizationConfig:
    """The configuration with other windows, lags or families: those named are on, and keep their own parameters.

    Raises ConfigError if a value is not allowed there.
    """
    schema = {SCHEMA_KEYS[key]: value for key, value in values.items() if key in SCHEMA_KEYS}
    if schema:
        data = config.schema_config.model_dump(by_alias=True) | {
            key: values[key] for key in SCHEMA_KEYS if key in values
        }
        try:
            config = config.model_copy(update={"schema_config": SchemaConfig.model_validate(data)})
        except ValidationError as failure:
            raise explain(failure, SchemaConfig) from None
    if FAMILIES_KEY in values:
        features = config.feature_config.model_copy(
            update={"families": _switched(config.feature_config.families, values[FAMILIES_KEY])}
        )
        config = config.model_copy(update={"feature_config": features})
    return config


def checked_choices(config: OrganizationConfig, interval: int, space: Mapping[str, SearchRange]) -> int:
    """Try every choice of windows, lags and families; returns the longest look-back of any, in samples.

    Raises ConfigError if a value is not allowed, or leaves no feature.
    """
    if FAMILIES_KEY in space and config.feature_config.serving_profile is not None:
        raise ConfigError(
            f'families have no meaning under featureConfig.servingProfile "{config.feature_config.serving_profile}"',
            field=f"tuningConfig.searchSpace.{FAMILIES_KEY}",
            hint="leave them out of the search, or set featureConfig.servingProfile to null",
        )
    longest = {FAMILIES_KEY: FeatureEngineer(config, interval).look_back}
    for key in FEATURE_KEYS:
        for choice in _choices(key, space):
            try:
                look_back = FeatureEngineer(with_features(config, {key: choice}), interval).look_back
            except ConfigError as error:
                field = f"tuningConfig.searchSpace.{key}"
                raise ConfigError(f"{field}: {error.message}", field=field, hint=error.hint) from None
            longest[key] = max(longest.get(key, 0), look_back)
    return max(longest.values())


def _choices(key: str, space: Mapping[str, SearchRange]) -> tuple[Any, ...]:
    if key not in space:
        return ()
    choices = space[key].choices
    if choices is None or not all(isinstance(choice, tuple) for choice in choices):
        field = f"tuningConfig.searchSpace.{key}"
        example = '["raw", "rolling"]' if key == FAMILIES_KEY else "[5, 10, 20]"
        raise ConfigError(f'{field} needs "choices" that are lists', field=field, hint=f"such as {example}")
    return choices


def _switched(families: FamiliesConfig, wanted: tuple[Any, ...]) -> FamiliesConfig:
    known = list(FamiliesConfig.model_fields)
    for name in wanted:
        if name not in known:
            guess = nearest(str(name), known)
            raise ConfigError(
                f'there is no family "{name}"; known are {", ".join(known)}',
                hint=f'did you mean "{guess}"?' if guess else None,
            )
    return families.model_copy(
        update={name: getattr(families, name).model_copy(update={"enabled": name in wanted}) for name in known}
    )
