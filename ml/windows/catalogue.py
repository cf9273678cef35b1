"""The catalogue: every feature family, declared once.

A family says which features it makes of an organisation's columns. Names, order, look-back and documentation all
follow from the entries here; adding a family means adding one entry.

A name reads ``<channel>__<function>__<parameter>``, such as ``temperature__mean__w=20``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from ml.config import OrganizationConfig
from ml.errors import ConfigError
from ml.options.base import nearest
from ml.options.features import FamiliesConfig
from ml.options.schema import ColumnRole
from ml.windows import defaults
from ml.windows import operations as ops
from ml.windows.operations import Operation, ServedStatistic

CATEGORY = "__category"
"""End of the name of a feature that is a category."""
_KEY_COLUMNS = 3  # interactions grow with the square of the columns


@dataclass(frozen=True)
class Feature:
    """One column that the model sees."""

    name: str
    operation: Operation


@dataclass(frozen=True)
class Request:
    """What the families are asked for: an organisation's columns and parameters, in samples."""

    config: OrganizationConfig
    interval: int
    windows: tuple[int, ...]
    lags: tuple[int, ...]

    @classmethod
    def of(cls, config: OrganizationConfig, interval: int) -> Request:
        """The request of a configuration on a grid of `interval` seconds."""
        schema, data = config.schema_config, config.data_config
        return cls(
            config,
            interval,
            defaults.rolling_windows(schema, data, interval),
            defaults.lag_steps(schema, data, interval),
        )

    @property
    def families(self) -> FamiliesConfig:
        """The organisation's switches and parameters."""
        return self.config.feature_config.families

    def continuous(self, columns: tuple[str, ...] | None, family: str) -> tuple[str, ...]:
        """The continuous channels that a family works on, after its own `columns` limit."""
        return self._limit(self.config.schema_config.continuous_channels, columns, family)

    def sensors(self, columns: tuple[str, ...] | None, family: str) -> tuple[str, ...]:
        """The same for all channels but categorical ones and times since events."""
        schema = self.config.schema_config
        others = {*schema.categorical_columns, *(schema.event_inputs or ())}
        present = tuple(name for name in schema.channels if name not in others)
        return self._limit(present, columns, family)

    def categorical(self) -> tuple[str, ...]:
        """The categorical columns, in the order of the channels."""
        return tuple(sorted(self.config.schema_config.categorical_columns))

    def booleans(self, columns: tuple[str, ...] | None, family: str) -> tuple[str, ...]:
        """The same for boolean columns."""
        return self._limit(self.config.schema_config.boolean_columns, columns, family)

    def with_role(self, role: ColumnRole) -> list[str]:
        """Continuous columns of that role, in the schema's order."""
        schema = self.config.schema_config
        return [name for name in schema.continuous_columns if schema.column_roles.get(name) == role]

    def _limit(self, present: tuple[str, ...], wanted: tuple[str, ...] | None, family: str) -> tuple[str, ...]:
        for name in wanted or ():
            self.require(name, present, f"featureConfig.families.{family}.columns")
        return present if wanted is None else tuple(name for name in present if name in wanted)

    @staticmethod
    def require(name: str, present: tuple[str, ...], field: str) -> None:
        """Refuse a column that does not exist, or is not of the kind the family works on."""
        if name not in present:
            guess = nearest(name, present)
            raise ConfigError(
                f"{field} names {name}, which this family cannot use; it can use {', '.join(present) or 'none'}",
                field=field,
                hint=f"did you mean {guess}?" if guess else None,
            )


@dataclass(frozen=True)
class Family:
    """One entry: its name, which is also its configuration key, what it is for, its operations, its features."""

    name: str
    summary: str
    operations: tuple[type[Operation], ...]
    features: Callable[[Request], Iterable[Feature]]


def _raw(request: Request) -> Iterator[Feature]:
    for name in request.sensors(request.families.raw.columns, "raw"):
        yield Feature(f"{name}__value", ops.Value(name))


def _lags(request: Request) -> Iterator[Feature]:
    for name in request.sensors(request.families.lags.columns, "lags"):
        for steps in request.lags:
            yield Feature(f"{name}__lag__{steps * request.interval}s", ops.Lag(name, steps))


def _rolling(request: Request) -> Iterator[Feature]:
    family = request.families.rolling
    for name in request.continuous(family.columns, "rolling"):
        for window in request.windows:
            for statistic in family.statistics:
                yield Feature(f"{name}__{statistic}__w={window}", ops.Rolling(name, statistic, window))


_DIFFERENCES: dict[str, Callable[[str], Operation]] = {
    "rate": ops.Rate,
    "acceleration": ops.Acceleration,
    "percent": ops.Percent,
}


def _differences(request: Request) -> Iterator[Feature]:
    family = request.families.differences
    for name in request.continuous(family.columns, "differences"):
        for kind in family.kinds:
            yield Feature(f"{name}__{kind}", _DIFFERENCES[kind](name))


def _interactions(request: Request) -> Iterator[Feature]:
    family = request.families.interactions
    for left, right in family.pairs if family.pairs is not None else _key_pairs(request):
        for name in (left, right):
            Request.require(
                name, request.config.schema_config.continuous_channels, "featureConfig.families.interactions.pairs"
            )
        for operation in family.operations:
            yield Feature(
                f"{left}__{operation}__{right}",
                ops.Product(left, right) if operation == "product" else ops.Ratio(left, right),
            )


def _key_pairs(request: Request) -> Iterator[tuple[str, str]]:
    """All pairs of the first columns with a role, which somebody thought worth describing."""
    schema = request.config.schema_config
    yield from combinations(
        [name for name in schema.continuous_columns if name in schema.column_roles][:_KEY_COLUMNS], 2
    )


def _time(request: Request) -> Iterator[Feature]:
    for cycle in request.families.time.cycles:
        yield Feature(f"time__{cycle}_sin", ops.Cycle(cycle, "sin"))
        yield Feature(f"time__{cycle}_cos", ops.Cycle(cycle, "cos"))


def _anomaly(request: Request) -> Iterator[Feature]:
    family = request.families.anomaly
    longest = request.windows[-1]
    for name in request.continuous(family.columns, "anomaly"):
        yield Feature(f"{name}__zscore", ops.ZScore(name))
        yield Feature(f"{name}__outlier", ops.Outlier(name, family.outlier_threshold))
        yield Feature(f"{name}__distance__w={longest}", ops.MeanDistance(name, longest))


def _domain(request: Request) -> Iterator[Feature]:
    role = request.with_role
    for voltage, current in zip(role("voltage"), role("current"), strict=False):
        yield Feature(f"{voltage}__electrical_power__{current}", ops.Product(voltage, current))
    supplies: list[tuple[str, ...]] = [(power,) for power in role("power")]
    supplies = supplies or list(zip(role("voltage"), role("current"), strict=False))
    for number, (pressure, flow) in enumerate(zip(role("pressure"), role("flow"), strict=False)):
        yield Feature(f"{pressure}__hydraulic_power__{flow}", ops.Product(pressure, flow))
        if supplies:
            supply = supplies[min(number, len(supplies) - 1)]
            yield Feature(f"{pressure}__flow_efficiency__{flow}", ops.Efficiency(pressure, flow, supply))
    for temperature in role("temperature"):
        yield Feature(f"{temperature}__stress", ops.Stress(temperature))
    short, long = request.windows[0], request.windows[-1]
    for vibration in role("vibration"):
        if short < long:
            yield Feature(f"{vibration}__trend__w={short}-{long}", ops.Trend(vibration, short, long))
        yield Feature(f"{vibration}__health__w={long}", ops.Health(vibration, long))


def _boolean(request: Request) -> Iterator[Feature]:
    longest = request.windows[-1]
    for name in request.booleans(request.families.boolean.columns, "boolean"):
        for window in request.windows:
            yield Feature(f"{name}__share_on__w={window}", ops.Rolling(name, "mean", window))
            yield Feature(f"{name}__changes__w={window}", ops.Changes(name, window))
        yield Feature(f"{name}__since_change__w={longest}", ops.SinceChange(name, longest))


def _categorical(request: Request) -> Iterator[Feature]:
    longest = request.windows[-1]
    for name in request.categorical():
        yield Feature(f"{name}{CATEGORY}", ops.Value(name))
        yield Feature(f"{name}__changes__w={longest}", ops.Changes(name, longest))
        yield Feature(f"{name}__since_change__w={longest}", ops.SinceChange(name, longest))


def _history(request: Request) -> Iterator[Feature]:
    family = request.families.history
    long = family.samples or defaults.history_samples(request.windows)
    shorter = [window for window in request.windows if window < long]
    for name in request.continuous(family.columns, "history"):
        yield Feature(f"{name}__history__w={long}", ops.History(name, "mean", 1, long))
        for statistic in ("mean", "std"):
            for short in shorter:
                yield Feature(
                    f"{name}__history_{statistic}__w={short}-{long}", ops.History(name, statistic, short, long)
                )


def _since(request: Request) -> Iterator[Feature]:
    for name in sorted(request.config.schema_config.event_inputs or ()):
        yield Feature(f"{name}__since", ops.Since(name))


def _regime(request: Request) -> Iterator[Feature]:
    if operating := request.config.schema_config.operating_columns:
        yield Feature("operating_regime", ops.Regime(operating))


FAMILIES: tuple[Family, ...] = (
    Family("raw", "the reading itself", (ops.Value,), _raw),
    Family("lags", "readings `lagSeconds` ago", (ops.Lag,), _lags),
    Family("rolling", "statistics of the last `rollingWindows` samples", (ops.Rolling,), _rolling),
    Family("differences", "change between samples", (ops.Rate, ops.Acceleration, ops.Percent), _differences),
    Family("interactions", "pairs of key sensors", (ops.Product, ops.Ratio), _interactions),
    Family("time", "cyclical time, UTC", (ops.Cycle,), _time),
    Family(
        "anomaly", "distance from what training found normal", (ops.ZScore, ops.Outlier, ops.MeanDistance), _anomaly
    ),
    Family(
        "domain",
        "physics by `columnRoles`: electrical and hydraulic power, flow efficiency, temperature stress, vibration",
        (ops.Product, ops.Efficiency, ops.Stress, ops.Trend, ops.Health),
        _domain,
    ),
    Family(
        "boolean",
        "share of time on, number of changes, time since the last change",
        (ops.Rolling, ops.Changes, ops.SinceChange),
        _boolean,
    ),
    Family(
        "categorical",
        "the code of a word, which LightGBM splits by sets of words; changes, time since the last change",
        (ops.Value, ops.Changes, ops.SinceChange),
        _categorical,
    ),
    Family(
        "history",
        "readings and rolling statistics against the asset's own long past; on where unseen assets of the training "
        "part are predicted better with it",
        (ops.History,),
        _history,
    ),
    Family(
        "since",
        "time since failures and maintenance of each kind, and of a component's life; on as *history* is",
        (ops.Since,),
        _since,
    ),
    Family("regime", "operating regime; where on, sensors are z-scored within it", (ops.Regime,), _regime),
)


def watched_channels(config: OrganizationConfig) -> tuple[str, ...]:
    """Channels that a model of normal behaviour reads: continuous ones, and what tells that the machine runs."""
    schema = config.schema_config
    running = () if schema.running_when is None else (schema.running_when.column,)
    return tuple(dict.fromkeys((*schema.continuous_channels, *running)))


def sample_name(channel: str, steps: int) -> str:
    """Name of the feature that holds a channel so many samples ago."""
    return f"{channel}__sample__{steps}"


def _samples(request: Request) -> Iterator[Feature]:
    config = request.config
    horizon = config.data_config.prediction_horizon_seconds
    recent, baseline = config.training_config.normal_behaviour.samples(horizon, request.interval)
    for name in watched_channels(config):
        for steps in (*recent, *baseline):
            yield Feature(sample_name(name, steps), ops.Sample(name, steps))


SAMPLES = Family(
    "samples",
    "readings over the time that deviations persist, of which a model of normal behaviour makes its score",
    (ops.Sample,),
    _samples,
)
"""What the model type normal_behaviour reads, in place of the families."""

_SERVED_STATISTICS: tuple[ServedStatistic, ...] = ("mean", "std", "min", "max", "range")


def _backend(request: Request) -> Iterator[Feature]:
    schema, interval = request.config.schema_config, request.interval
    lags, windows = defaults.served_lags(request.config, interval), defaults.served_windows(request.config, interval)
    for name in schema.sensor_columns:
        yield Feature(name, ops.ServedValue(name))
        for seconds, steps in lags.items():
            yield Feature(f"{name}_lag_{seconds}s", ops.ServedLag(name, steps))
    for seconds, window in windows.items():
        for name in schema.continuous_columns:
            for statistic in _SERVED_STATISTICS:
                yield Feature(f"{name}_rolling_{seconds}s_{statistic}", ops.ServedRolling(name, statistic, window))
        for name in schema.boolean_columns:
            yield Feature(f"{name}_rolling_{seconds}s_rate", ops.ServedShare(name, "rate", window))
            yield Feature(f"{name}_rolling_{seconds}s_count", ops.ServedShare(name, "count", window))


PROFILES: dict[str, Family] = {
    "backend": Family(
        "backend",
        "all that the backend's server computes of each sensor, under its names; seconds stand in the names",
        (ops.ServedValue, ops.ServedLag, ops.ServedRolling, ops.ServedShare),
        _backend,
    )
}
"""Serving profile -> the features that it has in place of the families."""


def list_features(config: OrganizationConfig, interval: int) -> list[Feature]:
    """Every feature that a configuration asks for, in order, before selection.

    Raises ConfigError if a family names a column that is not there, if no feature is left, or if two would have the
    same name.
    """
    if config.feature_config.serving_profile is not None:
        return _served(config, interval)
    if config.training_config.model_type == "normal_behaviour":
        return list(_samples(Request(config, interval, (), ())))
    request = Request.of(config, interval)
    features = [
        feature
        for family in FAMILIES
        if getattr(request.families, family.name).enabled
        for feature in family.features(request)
    ]
    if not features:
        raise ConfigError("featureConfig.families switches every feature off", field="featureConfig.families")
    return features


def _served(config: OrganizationConfig, interval: int) -> list[Feature]:
    features = list(PROFILES[config.feature_config.serving_profile or ""].features(Request(config, interval, (), ())))
    seen: set[str] = set()
    for feature in features:
        if feature.name in seen:
            raise ConfigError(
                f'two features would have the name "{feature.name}", and the backend\'s server knows features by name',
                field="schemaConfig.continuousColumns",
                hint="give that column another name with columnMapping",
            )
        seen.add(feature.name)
    return features
