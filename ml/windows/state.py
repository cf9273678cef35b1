"""The stored state of fitted features: what is allowed in it, so that a damaged one is refused where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, JsonValue, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ml.config import OrganizationConfig
from ml.errors import EagleError, IntegrityError
from ml.options.base import PositiveSeconds, Section, explain

STATE_FORMAT: Literal[1] = 1
_LARGEST_FLOAT32 = 3.4028234663852886e38

_Float32 = Annotated[float, Field(ge=-_LARGEST_FLOAT32, le=_LARGEST_FLOAT32)]
_Deviation = Annotated[float, Field(ge=0)]
Pair = tuple[FiniteFloat, _Deviation]
"""Mean and standard deviation of a channel."""


class RegimesState(Section):
    """m operating columns, k centroids, and for each channel k constants and one for rows of no known regime."""

    columns: tuple[str, ...] = Field(min_length=1)
    scaling: tuple[Pair, ...]
    centroids: tuple[tuple[FiniteFloat, ...], ...] = Field(min_length=1)
    constants: dict[str, tuple[Pair, ...]]

    @model_validator(mode="after")
    def shapes_agree(self) -> Self:
        """One scaling and one coordinate per column, one constant per regime and one more."""
        width, count = len(self.columns), len(self.centroids)
        if len(self.scaling) != width or any(len(point) != width for point in self.centroids):
            raise PydanticCustomError("regimes", "scaling and centroids must have one entry per operating column")
        if any(len(row) != count + 1 for row in self.constants.values()):
            raise PydanticCustomError("regimes", "constants must have one pair more than there are centroids")
        return self


class ScalingState(Section):
    """A scaler's constants per feature; none for the method "none"."""

    method: Literal["none", "standard", "minmax", "robust"]
    center: tuple[_Float32, ...]
    scale: tuple[Annotated[_Float32, Field(gt=0)], ...]


class EngineerState(Section):
    """What `FeatureEngineer.to_dict` writes; the configuration in it has rules of its own."""

    format_version: Literal[1]
    config: dict[str, JsonValue]
    interval: PositiveSeconds
    constants: dict[str, Pair]
    sensors: dict[str, Pair]
    regimes: RegimesState | None
    features: tuple[str, ...] = Field(min_length=1)
    scaling: ScalingState

    @model_validator(mode="after")
    def one_constant_per_feature(self) -> Self:
        """A scaler, where there is one, has a constant for every feature, and no feature comes twice."""
        expected = 0 if self.scaling.method == "none" else len(self.features)
        if {len(self.scaling.center), len(self.scaling.scale)} != {expected}:
            raise PydanticCustomError("scaling", "scaling must hold {n} centers and scales", {"n": expected})
        if len(set(self.features)) != len(self.features):
            raise PydanticCustomError("features", "features must not name one twice")
        return self


def read_state(data: Mapping[str, Any]) -> tuple[EngineerState, OrganizationConfig]:
    """The state in `data` and the configuration in it, which agree with each other.

    Raises IntegrityError if something is missing, not allowed, or does not agree; or the state is of another format.
    """
    if data.get("formatVersion") != STATE_FORMAT:
        raise IntegrityError(
            f"the stored features have format {str(data.get('formatVersion'))[:20]}; this release reads {STATE_FORMAT}",
            hint="use the release that trained the model, or train again",
        )
    try:
        state = EngineerState.model_validate(data)
        config = OrganizationConfig.from_dict(state.config)
    except ValidationError as failure:
        raise IntegrityError(f"the stored features are damaged: {explain(failure, EngineerState).message}") from failure
    except EagleError as error:
        raise IntegrityError(f"the stored features are damaged: {error.message}") from error
    problem = _disagreement(state, config)
    if problem is not None:
        raise IntegrityError(f"the stored features are damaged: {problem}")
    return state, config


def _disagreement(state: EngineerState, config: OrganizationConfig) -> str | None:
    schema, configured = config.schema_config, config.data_config.sampling_interval_seconds
    if configured not in (None, state.interval):
        return f"the interval is {state.interval} s, and {configured} s in their configuration"
    if {*state.constants} != {*schema.continuous_channels} or {*state.sensors} != {*schema.continuous_channels}:
        return "the constants are not those of the continuous channels"
    if state.regimes is None:
        return None
    normalised = {*schema.continuous_channels} - {*schema.operating_columns}
    if state.regimes.columns != schema.operating_columns or {*state.regimes.constants} != normalised:
        return "the regimes are not those of the operating columns"
    return None
