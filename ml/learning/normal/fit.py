"""A model of normal behaviour from a history: out of fold first, for spreads and limits, then on all healthy rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ml.arrays import Bools, Float64s, Int64s, spread
from ml.config import OrganizationConfig
from ml.errors import NoRowsError
from ml.export.graph.normal import Expectation, NormalForm, RunsWhen, residuals_of
from ml.learning.normal.expectation import fit_expectation, trimmed_moments
from ml.learning.normal.history import History
from ml.learning.normal.limits import Curve, limits_for
from ml.windows.catalogue import sample_name

_FITTED_ROWS = 200_000  # of all healthy rows, at even distances: a polynomial of a few columns needs no more
_CONTEXT_ROWS = 20_000
_LEAST_ROWS = 50
_RESOLUTION = 1e-8  # of a reading: what is left of a constant one is rounding
_WORTH_ITS_NAME = 0.5  # of what the best explains: what a machine is asked to do reaches its sensors late and noisy
_LOAD_WORDS = re.compile(r"set_?point|load|demand|speed|rpm|throttle|ambient|outdoor|wind|regime|setting|_sp$|_sv$")
FOLLOWS = 0.5
"""Mean share of the other sensors' variance from which on a column seems to drive them."""


@dataclass(frozen=True)
class FittedNormal:
    """A form and how it came out.

    Attributes
    ----------
    sensors
        Names, in the order of the form.
    value
        float32 (n_rows,), score / (score + 1) of every row, by residuals and limits from other blocks.
    squares
        (n_rows, n_sensors): squared deviations of these.
    fit
        Per sensor: share of the variance of healthy rows that the expectation explains out of fold, and the spread of
        residuals in the sensor's unit.
    left_out
        Sensors that do not vary, or have too few readings.
    """

    form: NormalForm
    sensors: tuple[str, ...]
    value: Float64s
    squares: Float64s
    fit: dict[str, dict[str, Any]]
    left_out: tuple[str, ...]


def sensor_groups(config: OrganizationConfig) -> dict[tuple[str, ...], list[str]]:
    """Operating columns -> the continuous channels that depend on them."""
    schema, settings = config.schema_config, config.training_config.normal_behaviour
    own = {name: group.operating_columns for group in settings.column_groups.values() for name in group.columns}
    operating = {*schema.operating_columns, *(name for names in own.values() for name in names)}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in schema.continuous_channels:
        if name not in operating or name in own:
            groups.setdefault(own.get(name, schema.operating_columns), []).append(name)
    return groups


def fit_normal(
    config: OrganizationConfig,
    history: History,
    interval: int,
    names: list[str],
    *,
    curve: Curve,
    rate: float,
    judged: Bools,
) -> FittedNormal:
    """Fit expectations, spreads and limits.

    Raises NoRowsError if no sensor can be watched.

    Parameters
    ----------
    names
        The features, in order, that the form will be given.
    curve, rate
        False alarms of some rows, and how many per asset-day are aimed at.
    judged
        Rows that limits are set on, (n_rows,).
    """
    groups = sensor_groups(config)
    runs_when = _runs_when(config, history.channels)

    def fitted(rows: Bools) -> tuple[Expectation, ...]:
        with threadpool_limits(limits=1):  # sums of several threads have other bits
            return fit_expectation(history.values[spread(rows, _FITTED_ROWS)], history.channels, groups)

    residual = history.out_of_fold(fitted, runs_when) if groups else np.empty((len(history.healthy), 0))
    center, width = trimmed_moments(residual[history.healthy])
    width = np.where(width > _RESOLUTION * _largest_readings(history, groups), width, 0.0)
    enough = (~np.isnan(residual[history.healthy])).sum(axis=0) >= _LEAST_ROWS
    sensors = np.array([name for members in groups.values() for name in members])
    kept = (width > 0) & enough
    if not kept.any():
        raise NoRowsError(
            "no sensor can be watched: none of the continuous columns beside the operating columns varies and has "
            "enough healthy readings together with these",
            field="schemaConfig.continuousColumns",
            hint="name more sensors, or other operating columns, and look at the data summary",
        )
    samples = config.training_config.normal_behaviour.samples(config.data_config.prediction_horizon_seconds, interval)
    form = NormalForm(
        n_features=len(names),
        places=_places(names, history.channels, (*samples[0], *samples[1])),
        recent=len(samples[0]),
        groups=_only(fitted(history.healthy), kept),
        center=center[kept],
        spread=width[kept],
        mean_center=np.zeros(kept.sum()),
        mean_spread=np.ones(kept.sum()),
        mean_limit=1.0,
        single_limit=1.0,
        runs_when=runs_when,
    )
    mean, count = history.means(form, form.clipped(residual[:, kept]), (*samples[0], *samples[1]))
    usual = mean[history.healthy & (count >= form.fewest).all(axis=1)]
    mean_center, mean_spread = trimmed_moments(usual if len(usual) else mean[history.healthy])
    form = replace(form, mean_center=mean_center, mean_spread=np.where(mean_spread > 0, mean_spread, 1.0))
    of_mean, largest, squares = form.combine(mean, count)
    value = np.empty(len(of_mean))
    asset_day = None if history.is_clean else history.asset_day
    for block in np.unique(history.block):
        own = history.block == block
        others = judged & ~own
        limits = limits_for(of_mean, largest, others if others.any() else judged, curve, rate, asset_day)
        score = np.maximum(of_mean[own] / limits[0], largest[own] / limits[1])
        value[own] = score / (score + 1)
    limits = limits_for(of_mean, largest, judged, curve, rate, asset_day)
    return FittedNormal(
        replace(form, mean_limit=limits[0], single_limit=limits[1]),
        tuple(sensors[kept].tolist()),
        value.astype(np.float32),
        squares,
        _fit_of_sensors(history, residual[:, kept], tuple(sensors[kept].tolist())),
        tuple(sensors[~kept].tolist()),
    )


def driving_column(history: History, sensors: tuple[str, ...]) -> tuple[str, float] | None:
    """Of sensors without operating columns, the one that seems to drive the others, and what share it explains.

    Sensors that one load drives explain one another as well, often better than it, so a name that speaks of a load wins
    where its column explains at least half as much.
    """
    found: dict[str, float] = {}
    values = history.values[spread(history.healthy, _CONTEXT_ROWS)]
    for name in sensors if len(sensors) > 1 else ():
        others = [other for other in sensors if other != name]
        with threadpool_limits(limits=1):
            rest = residuals_of(fit_expectation(values, history.channels, {(name,): others}), values, None)
        own = values[:, [history.channels.index(other) for other in others]]
        found[name] = float(np.mean(_explained(own, rest)))
    best = max(found.values(), default=0.0)
    if best < FOLLOWS:
        return None
    near = [name for name in found if found[name] >= _WORTH_ITS_NAME * best]
    chosen = next((name for name in near if _LOAD_WORDS.search(name.lower())), max(near, key=lambda name: found[name]))
    return chosen, found[chosen]


def _largest_readings(history: History, groups: dict[tuple[str, ...], list[str]]) -> Float64s:
    """The largest healthy reading of each sensor, without its sign; 0 where there is none."""
    place = [history.channels.index(name) for members in groups.values() for name in members]
    return np.asarray(np.abs(np.nan_to_num(history.values[history.healthy][:, place])).max(axis=0, initial=0.0))


def _explained(readings: Float64s, residual: Float64s) -> Float64s:
    """Share of the variance of each column that is not left in the residuals, 0 at least, and for a constant one."""
    known = ~(np.isnan(readings) | np.isnan(residual))
    shares = np.zeros(readings.shape[1])
    for at in range(readings.shape[1]):
        reading, rest = readings[known[:, at], at], residual[known[:, at], at]
        if len(reading) and reading.var() > 0:
            shares[at] = max(0.0, 1 - float(rest.var() / reading.var()))
    return shares


def _fit_of_sensors(history: History, residual: Float64s, sensors: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    healthy = history.healthy
    readings = history.values[healthy][:, [history.channels.index(name) for name in sensors]]
    explained = _explained(readings, residual[healthy])
    width = np.nan_to_num(np.nanstd(residual[healthy], axis=0))
    return {
        name: {"explained": float(explained[at]), "residualSpread": float(width[at])} for at, name in enumerate(sensors)
    }


def _only(groups: tuple[Expectation, ...], kept: Bools) -> tuple[Expectation, ...]:
    parts = np.split(kept, np.cumsum([len(group.sensors) for group in groups])[:-1])
    return tuple(group.only(part) for group, part in zip(groups, parts, strict=True) if part.any())


def _places(names: list[str], channels: tuple[str, ...], samples: tuple[int, ...]) -> Int64s:
    position = {name: at for at, name in enumerate(names)}
    return np.array([[position[sample_name(name, steps)] for name in channels] for steps in samples], dtype=np.int64)


def _runs_when(config: OrganizationConfig, channels: tuple[str, ...]) -> RunsWhen | None:
    rule = config.schema_config.running
    if rule is None:
        return None
    bound = rule.above if rule.equals is None else rule.equals
    return RunsWhen(channels.index(rule.column), float(np.float32(bound or 0.0)), rule.equals is not None)
