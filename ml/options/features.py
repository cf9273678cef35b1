"""`featureConfig`: which families of features are computed, with which parameters, and which are kept."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat

from ml.options.base import ColumnName, DistinctColumns, Section
from ml.options.schema import LONGEST_WINDOW

RollingStatistic = Literal["mean", "std", "min", "max", "median", "slope"]
Difference = Literal["rate", "acceleration", "percent"]
Interaction = Literal["product", "ratio"]
TimeCycle = Literal["hour", "weekday"]


class Family(Section):
    """A family that can be switched off; `true` and `false` are short for `{"enabled": ...}`."""

    enabled: bool = Field(default=True, description="Whether the family is computed.")


class ColumnFamily(Family):
    """A family that may be limited to some columns."""

    columns: DistinctColumns | None = Field(default=None, description="Columns to use. Default: all that fit.")


class RollingFamily(ColumnFamily):
    """Statistics over `rollingWindows`."""

    statistics: tuple[RollingStatistic, ...] = Field(
        default=("mean", "std", "min", "max", "median", "slope"), description="Statistics of each window."
    )


class DifferencesFamily(ColumnFamily):
    """Differences between neighbouring samples."""

    kinds: tuple[Difference, ...] = Field(default=("rate", "acceleration", "percent"), description="Which differences.")


class InteractionsFamily(Family):
    """Products and ratios of two sensors."""

    pairs: tuple[tuple[ColumnName, ColumnName], ...] | None = Field(
        default=None, description="Pairs of columns. Default: all pairs of the first three columns that have a role."
    )
    operations: tuple[Interaction, ...] = Field(default=("product", "ratio"), description="Which combinations.")


class TimeFamily(Family):
    """Cyclical time of day and week, in UTC."""

    enabled: bool = Field(default=False, description="Whether the family is computed.")
    cycles: tuple[TimeCycle, ...] = Field(default=("hour", "weekday"), description="Which cycles.")


class AnomalyFamily(ColumnFamily):
    """Distance from what was normal in training, and from the recent mean."""

    outlier_threshold: PositiveFloat = Field(default=3.0, description="|z| above which a reading is an outlier.")


class HistoryFamily(ColumnFamily):
    """Readings and rolling statistics against the asset's own long past."""

    enabled: bool | None = Field(  # type: ignore[assignment]
        default=None,
        description="Whether the family is computed. Default: where folds over the assets of the training part "
        "predict assets that they have not seen better with it.",
    )
    samples: Annotated[int, Field(ge=3, le=LONGEST_WINDOW)] | None = Field(
        default=None,
        description="Length of that past. Default: eight times the longest window, from 512 to 2048.",
    )


class SinceFamily(Family):
    """Time since failures and maintenance."""

    enabled: bool | None = Field(  # type: ignore[assignment]
        default=None,
        description="Whether the family is computed, where there are lists of events. Default: where folds over the "
        "assets of the training part predict assets that they have not seen better with it.",
    )


class RegimeFamily(Family):
    """Operating regimes learned from `operatingColumns`; sensors are z-scored within them."""

    count: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="Number of regimes. Default: chosen by the training data."
    )


def _switch(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


def _switchable(family: type[Family]) -> BeforeValidator:
    """Accept `true` and `false` for a family; the JSON Schema says so, too."""
    return BeforeValidator(_switch, json_schema_input_type=family | bool)


class FamiliesConfig(Section):
    """One entry per family of the catalogue."""

    raw: Annotated[ColumnFamily, _switchable(ColumnFamily)] = Field(
        default=ColumnFamily(), description="The reading itself."
    )
    lags: Annotated[ColumnFamily, _switchable(ColumnFamily)] = Field(
        default=ColumnFamily(), description="Readings `lagSeconds` ago."
    )
    rolling: Annotated[RollingFamily, _switchable(RollingFamily)] = Field(
        default=RollingFamily(), description="Window statistics."
    )
    differences: Annotated[DifferencesFamily, _switchable(DifferencesFamily)] = Field(
        default=DifferencesFamily(), description="Rate of change, acceleration, percentage change."
    )
    interactions: Annotated[InteractionsFamily, _switchable(InteractionsFamily)] = Field(
        default=InteractionsFamily(), description="Products and ratios of key sensors."
    )
    time: Annotated[TimeFamily, _switchable(TimeFamily)] = Field(
        default=TimeFamily(),
        description="Hour of day and day of week; off unless asked for: a short history teaches dates.",
    )
    anomaly: Annotated[AnomalyFamily, _switchable(AnomalyFamily)] = Field(
        default=AnomalyFamily(), description="z-score, outlier flag, distance from the rolling mean."
    )
    domain: Annotated[Family, _switchable(Family)] = Field(default=Family(), description="Physics by `columnRoles`.")
    boolean: Annotated[ColumnFamily, _switchable(ColumnFamily)] = Field(
        default=ColumnFamily(), description="Share of time on, changes, time since the last change."
    )
    categorical: Annotated[Family, _switchable(Family)] = Field(
        default=Family(), description="Words of `categoricalColumns`, changes, time since the last change."
    )
    history: Annotated[HistoryFamily, _switchable(HistoryFamily)] = Field(
        default=HistoryFamily(), description="Distance from the asset's own long past."
    )
    since: Annotated[SinceFamily, _switchable(SinceFamily)] = Field(
        default=SinceFamily(), description="Time since failures and maintenance."
    )
    regime: Annotated[RegimeFamily, _switchable(RegimeFamily)] = Field(
        default=RegimeFamily(), description="Operating regimes."
    )


class SelectionConfig(Section):
    """Keep the k best features, judged on the training part only."""

    method: Literal["none", "mutual_information", "f_test", "model_importance"] = Field(
        default="none", description="How features are ranked."
    )
    k: Annotated[int, Field(ge=1, le=10**6)] = Field(default=100, description="How many are kept.")


class FeatureConfig(Section):
    """What the model sees."""

    serving_profile: Literal["backend"] | None = Field(
        default=None,
        description='"backend": exactly the features that the backend\'s own server computes, by its rules and names, '
        "with 0 for what is missing, in place of the families; a request in the flat form gets it. Default: families.",
    )
    families: FamiliesConfig = Field(
        default=FamiliesConfig(), description="Feature families, where there is no profile."
    )
    selection: SelectionConfig = Field(default=SelectionConfig(), description="Feature selection.")
    scaling: Literal["none", "standard", "minmax", "robust"] = Field(
        default="none", description="Scaling of features; trees need none."
    )
