"""An organisation's history as a model of normal behaviour is fitted on it: channels, and which rows are healthy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.config import OrganizationConfig
from ml.export.graph.normal import Expectation, NormalForm, RunsWhen, residuals_of
from ml.grid.running import off_rows
from ml.learning.events.failures import epoch_seconds
from ml.windows.catalogue import watched_channels
from ml.windows.channels import physical_samples, segment_starts

BLOCKS = 5
"""Blocks of history; limits and figures are of rows whose block the expectation was not fitted on."""


_DAY = 86_400


@dataclass(frozen=True)
class History:
    """Rows of a grid frame; every array has n_rows.

    Attributes
    ----------
    values
        Channels (n_rows, n_channels) in float64, NaN where missing.
    block
        Number of the row's block, from 0: stretches of time, or whole assets where parts are split by asset.
    healthy
        Rows that are not known to be bad: labelled 0, the machine runs, and the day is not excluded.
    is_clean
        Whether it is taken to hold no failure that is not recorded.
    """

    channels: tuple[str, ...]
    values: Float64s
    start: Int64s
    asset: Int64s
    seconds: Int64s
    block: Int64s
    healthy: Bools
    is_clean: bool

    @property
    def asset_day(self) -> Int64s:
        """Number of the row's asset and day."""
        return np.unique(np.column_stack([self.asset, self.seconds // _DAY]), axis=0, return_inverse=True)[1].ravel()

    @classmethod
    def of(cls, config: OrganizationConfig, frame: pd.DataFrame) -> History:
        """The history in a grid frame with labels."""
        channels = watched_channels(config)
        every = np.ones(len(frame), dtype=np.bool_)
        samples = dict(physical_samples(frame, config.schema_config, every, channels))
        seconds = epoch_seconds(frame["timestamp"])
        healthy = (frame["label"].to_numpy() == 0) & ~off_rows(frame, config.schema_config.running)
        for days in config.training_config.normal_behaviour.exclude:
            first, end = (np.datetime64(day, "s").astype(np.int64) for day in (days.from_, days.to))
            healthy &= ~((seconds >= first) & (seconds < end + _DAY))
        asset = frame["asset_id"].factorize()[0].astype(np.int64)
        by_asset = config.data_config.split_by == "asset" and len(np.unique(asset[healthy])) > 1
        return cls(
            channels,
            np.column_stack([samples[name].astype(np.float64) for name in channels]),
            segment_starts(frame["segment"].to_numpy()),
            asset,
            seconds,
            _blocks_of_assets(asset, config.training_config.random_state) if by_asset else _blocks(seconds, healthy),
            healthy,
            _is_clean(config, frame),
        )

    def means(self, form: NormalForm, residual: Float64s, samples: tuple[int, ...]) -> tuple[Float64s, Float64s]:
        """As `NormalForm.means`, of residuals (n_rows, n_sensors) of every row; `samples` are those of the form."""
        row = np.arange(len(residual))

        def of_sample(at: int) -> Float64s:
            source = row - samples[at]
            return np.where((source >= self.start)[:, None], residual[np.maximum(source, 0)], np.nan)

        return form.means(of_sample)

    def out_of_fold(self, fit: Callable[[Bools], tuple[Expectation, ...]], runs_when: RunsWhen | None) -> Float64s:
        """Residuals (n_rows, n_sensors) of each block by what `fit` makes of the healthy rows of the others."""
        parts = []
        for block in np.unique(self.block):
            own = self.block == block
            parts.append((own, residuals_of(fit(self.healthy & ~own), self.values[own], runs_when)))
        residual = np.empty((len(self.block), parts[0][1].shape[1]))
        for own, values in parts:
            residual[own] = values
        return residual


def _is_clean(config: OrganizationConfig, frame: pd.DataFrame) -> bool:
    settings = config.training_config.normal_behaviour
    if settings.history_is_clean is not None:
        return settings.history_is_clean
    recorded = bool((frame["event"] >= 0).any() or (frame["label"] == 1).any())
    return recorded or bool(config.failure_config.tables or settings.exclude)


def _blocks(seconds: Int64s, healthy: Bools) -> Int64s:
    """Stretches of time with about as many healthy rows each."""
    times = seconds[healthy] if healthy.any() else seconds
    cuts = np.quantile(times, np.arange(1, BLOCKS) / BLOCKS)
    return np.searchsorted(cuts, seconds, side="right")


def _blocks_of_assets(asset: Int64s, seed: int) -> Int64s:
    order = np.random.default_rng(seed).permutation(int(asset.max(initial=-1)) + 1)
    return (order % BLOCKS)[asset]
