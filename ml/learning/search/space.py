"""Searchable parameters: the ranges of a configuration, checked, as points of a grid and as Optuna suggestions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import numpy as np

from ml.errors import ConfigError
from ml.learning.estimators.base import Estimator
from ml.learning.search.feature_sets import FEATURE_KEYS
from ml.options.learning import ParameterValue, SearchChoice, SearchRange, TrainingConfig

if TYPE_CHECKING:
    from optuna.trial import Trial

GRID_POINTS = 3  # of an interval: both ends and the middle

Space = dict[str, SearchRange]


def checked_space(
    estimator: type[Estimator], training: TrainingConfig, given: Mapping[str, SearchRange] | None
) -> Space:
    """The configured space, or else the model type's own, with every choice and both ends of each interval tried.

    Raises ConfigError if a parameter is unknown, a value is not allowed, or the space is empty.
    """
    if given is not None and not given:
        raise ConfigError("tuningConfig.searchSpace is empty", field="tuningConfig.searchSpace")
    space = dict(given or estimator.search_space())
    for name, values in space.items():
        if name in FEATURE_KEYS:
            continue  # not the model's to check
        for value in values.choices or (values.low, values.high):
            try:
                estimator.with_parameters(training, {name: value})
            except ConfigError as error:
                field = f"tuningConfig.searchSpace.{name}"
                raise ConfigError(f"{field}: {error.message}", field=field, hint=error.hint) from None
    return space


def grid_points(estimator: type[Estimator], space: Space) -> dict[str, list[SearchChoice]]:
    """The values that a grid search combines: all choices; of an interval both ends and the (geometric) middle."""
    return {
        name: list(values.choices)
        if values.choices
        else _spaced(*_interval(values), values.log, _is_integer(estimator, name))
        for name, values in space.items()
    }


def grid_order(points: Mapping[str, Sequence[SearchChoice]], seed: int) -> Iterator[dict[str, SearchChoice]]:
    """Every combination once, in an order that `seed` decides; the table of all of them is never made."""
    sizes = [len(values) for values in points.values()]
    total, random = math.prod(sizes), Random(seed)
    seen: set[int] = set()
    while len(seen) < total:
        index = random.randrange(total)
        if index not in seen:
            seen.add(index)
            places = np.unravel_index(index, sizes)
            yield {name: values[int(place)] for (name, values), place in zip(points.items(), places, strict=True)}


def suggest(trial: Trial, estimator: type[Estimator], space: Space) -> dict[str, SearchChoice]:
    """One value for each parameter, from the trial's sampler."""
    return {name: _suggest_one(trial, name, values, _is_integer(estimator, name)) for name, values in space.items()}


def distributions(estimator: type[Estimator], space: Space) -> dict[str, Any]:
    """The space as Optuna's distributions, equal to those that `suggest` makes."""
    from optuna.trial import FixedTrial

    corner = {name: stored(values.choices[0]) if values.choices else values.low for name, values in space.items()}
    trial = FixedTrial(corner)
    suggest(trial, estimator, space)
    return dict(trial.distributions)


def stored(value: Any) -> Any:
    """A value as Optuna stores it, which knows no lists."""
    return json.dumps(value) if isinstance(value, tuple | list) else value


def contains(values: SearchRange, value: Any) -> bool:
    """Whether the range could have produced the value."""
    if values.choices is not None:
        return any(value == choice and type(value) is type(choice) for choice in values.choices)
    low, high = _interval(values)
    return isinstance(value, int | float) and low <= value <= high


def _suggest_one(trial: Trial, name: str, values: SearchRange, integer: bool) -> SearchChoice:
    if values.choices is not None:
        lists = {stored(choice): choice for choice in values.choices if isinstance(choice, tuple)}
        chosen: ParameterValue = trial.suggest_categorical(name, [stored(choice) for choice in values.choices])
        return lists.get(str(chosen), chosen)
    low, high = _interval(values)
    if integer:
        return int(trial.suggest_int(name, int(low), int(high), log=values.log))
    return float(trial.suggest_float(name, low, high, log=values.log))


def _interval(values: SearchRange) -> tuple[float, float]:
    if values.low is None or values.high is None:
        raise ConfigError('a search range needs "choices", or "low" and "high"', field="tuningConfig.searchSpace")
    return values.low, values.high


def _spaced(low: float, high: float, log: bool, integer: bool) -> list[SearchChoice]:
    points = np.geomspace(low, high, GRID_POINTS) if log else np.linspace(low, high, GRID_POINTS)
    if integer:
        return list(dict.fromkeys(round(point) for point in points.tolist()))
    return list(dict.fromkeys([low, *points[1:-1].tolist(), high]))


def _is_integer(estimator: type[Estimator], name: str) -> bool:
    """Whether the model type declares the parameter as an integer."""
    fields = estimator.params_type.model_fields
    field = next((field for key, field in fields.items() if name in (key, field.alias)), None)
    return field is not None and int in _plain_types(field.annotation)


def _plain_types(annotation: Any) -> set[Any]:
    """The types that a field admits, without their constraints."""
    if get_origin(annotation) is Annotated:
        return _plain_types(get_args(annotation)[0])
    parts = get_args(annotation)
    return set().union(*(_plain_types(part) for part in parts)) if parts else {annotation}
