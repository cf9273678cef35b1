"""Which rows a model learns from, stops by and is evaluated on, without one part seeing another.

A row at time t uses the readings of ``(t - W·interval, t]`` and its label tells about ``(t, t + H]``, where W is the
look-back in samples and H the horizon in seconds. Parts and folds are *purged* of rows for which that span reaches
into rows held out from them (López de Prado, Advances in Financial Machine Learning, 2018, chapter 7). Rows are never
shuffled between parts: neighbours share nearly all of their window, so a shuffled test part would be a copy of the
training part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Bools, Float64s, Int64s
from ml.config import OrganizationConfig
from ml.errors import NoRowsError, TooFewFailuresError
from ml.features import FeatureEngineer
from ml.learning.events.failures import epoch_seconds, failure_numbers, onsets
from ml.learning.folds.group_allocation import share_out
from ml.modes import count_modes
from ml.options.data import DataConfig
from ml.wording import plural

PARTS = {"train": "training", "validation": "validation", "test": "test"}
MORE_HISTORY = "give a longer dataRange or more assets"


@dataclass(frozen=True)
class Parts:
    """Rows of a grid frame by their use; each mask has shape (n_rows,) and holds labelled rows only."""

    train: Bools
    validation: Bools
    test: Bools
    purged: int
    """Labelled rows in no part, because they would show one part to another."""
    description: dict[str, Any] = field(repr=False)

    def describe(self) -> dict[str, Any]:
        """Rows, positives, failure events, assets and time span of each part, and the purged rows, for JSON."""
        return self.description


def split_parts(frame: pd.DataFrame, config: DataConfig, *, look_back: int, interval: int, seed: int) -> Parts:
    """Divide the labelled rows of a grid frame into training, validation and test part.

    By time, the parts follow each other, cut at instants that all assets share; a row whose horizon reaches the next
    part is purged, and so are the rows of a failure that goes on in a later part than the one it began in. By asset,
    whole assets are held out and nothing needs purging. With ``testSplit`` 0 the test part is empty.

    Raises NoRowsError if no row has a label, and TooFewFailuresError if a part has too few failure events or one class
    only, or there are fewer assets than parts.

    Parameters
    ----------
    frame
        Grid frame, sorted by asset and time.
    config
        Split, horizon and the failure events that each part needs at least.
    look_back
        W in samples, the row itself included. A time split needs none of it, as only earlier rows are trained on.
    interval
        Grid spacing in seconds.
    seed
        Seed of the order of assets.
    """
    labelled = frame["label"].to_numpy() >= 0
    if not labelled.any():
        raise NoRowsError(
            "no row has a known label, so there is nothing to learn from",
            hint=f"{MORE_HISTORY}; if pauses break the history everywhere, set dataConfig.samplingIntervalSeconds or "
            "maxGapSeconds to the time between readings",
        )
    failures = failure_numbers(frame, config.prediction_horizon_seconds)
    if config.split_by == "asset":
        masks = _by_asset(frame, labelled, failures, config, seed)
    else:
        masks = _by_time(frame, labelled, failures, config)
    description: dict[str, Any] = {name: _describe(frame, failures, mask) for name, mask in masks.items()}
    needed = [name for name in masks if name != "test" or config.test_split > 0]
    advice = _advice(frame, failures, config, len(needed))
    for name in needed:
        _check(name, description[name], config, advice)
    purged = int(labelled.sum() - sum(mask.sum() for mask in masks.values()))
    description |= {
        "splitBy": config.split_by,
        "purgedRows": purged,
        "lookBackSeconds": look_back * interval,
        "horizonSeconds": config.prediction_horizon_seconds,
    }
    return Parts(**masks, purged=purged, description=description)


def split_of(config: OrganizationConfig, frame: pd.DataFrame, engineer: FeatureEngineer) -> Parts:
    """The training, validation and test part that a configuration makes of a grid frame; raises as `split_parts`."""
    return split_parts(
        frame,
        config.data_config,
        look_back=engineer.look_back,
        interval=engineer.interval,
        seed=config.training_config.random_state,
    )


def _by_time(frame: pd.DataFrame, labelled: Bools, failures: Int64s, config: DataConfig) -> dict[str, Bools]:
    """Cut where the given shares of all labelled rows, pooled over assets, are reached."""
    seconds = epoch_seconds(frame["timestamp"])
    times = np.sort(seconds[labelled])
    validation_start = _instant(times, 1.0 - config.validation_split - config.test_split)
    test_start = _instant(times, 1.0 - config.test_split)
    reach = seconds + config.prediction_horizon_seconds
    masks = {
        "train": labelled & (reach < validation_start),
        "validation": labelled & (seconds >= validation_start) & (reach < test_start),
        "test": labelled & (seconds >= test_start),
    }
    return _whole_failures(masks, failures)


def _whole_failures(masks: dict[str, Bools], failures: Int64s) -> dict[str, Bools]:
    """The parts, in their order, without the rows of failures that an earlier part holds."""
    kept: dict[str, Bools] = {}
    earlier = np.zeros(len(failures), dtype=bool)
    for name, mask in masks.items():
        kept[name] = mask & ~_shares_failure(failures, earlier)
        earlier = earlier | kept[name]
    return kept


def _shares_failure(failures: Int64s, rows: Bools) -> Bools:
    """Positive rows of those failures that some of `rows` belong to, `rows` included."""
    positive = failures >= 0
    return positive & np.isin(failures, np.unique(failures[rows & positive]))


def _instant(times: Int64s, share: float) -> float:
    """The first instant after the given share of rows; beyond every row for a share of 1."""
    position = round(share * len(times))
    return float(times[position]) if position < len(times) else np.inf


def _by_asset(
    frame: pd.DataFrame, labelled: Bools, failures: Int64s, config: DataConfig, seed: int
) -> dict[str, Bools]:
    """Hold out whole assets, balanced by failures, then by rows."""
    codes, assets = frame["asset_id"].factorize()
    shares = np.array([1.0 - config.validation_split - config.test_split, config.validation_split, config.test_split])
    used = shares[shares > 0]
    if len(assets) < len(used):
        raise TooFewFailuresError(
            f"a split by asset needs at least {len(used)} assets, one per part, and the data has {len(assets)}",
            field="dataConfig.splitBy",
            hint='set dataConfig.splitBy to "time", or give data of more assets',
        )
    per_asset = _failures_per_group(codes, failures, len(assets))
    rows = np.bincount(codes[labelled], minlength=len(assets))
    part = share_out(
        per_asset,
        rows,
        failure_targets=_failure_targets(used, int(per_asset.sum()), config.min_failure_events),
        row_targets=used,
        seed=seed,
    )[codes]
    return {name: labelled & (part == number) for number, name in enumerate(PARTS)}


def _failure_targets(shares: Float64s, total: int, at_least: int) -> Float64s:
    """Failures due to each part: by share, but for held-out parts never below the minimum that they are refused for."""
    targets = shares * total
    targets[1:] = np.maximum(targets[1:], at_least)
    targets[0] = total - targets[1:].sum()
    return targets if targets[0] >= at_least else shares * total


def _failures_per_group(groups: Int64s, failures: Int64s, n_groups: int) -> Int64s:
    """Distinct failures in each group of rows."""
    positive = failures >= 0
    pairs = np.unique(np.column_stack([groups[positive], failures[positive]]), axis=0)
    return np.bincount(pairs[:, 0], minlength=n_groups)


def _describe(frame: pd.DataFrame, failures: Int64s, mask: Bools) -> dict[str, Any]:
    times = frame["timestamp"][mask]
    events = np.unique(failures[mask & (failures >= 0)])
    return {
        "rows": int(mask.sum()),
        "positives": int((failures[mask] >= 0).sum()),
        "events": len(events),
        **failures_per_mode(frame, events),
        "assets": int(frame["asset_id"][mask].nunique()),
        "firstTime": times.min().isoformat() if mask.any() else None,
        "lastTime": times.max().isoformat() if mask.any() else None,
    }


def failures_per_mode(frame: pd.DataFrame, events: Int64s) -> dict[str, dict[str, int]]:
    """``perMode``: how many of some failures, by their numbers, began in each mode; nothing where there is one mode."""
    if "modes" not in frame.columns:
        return {}
    begun = onsets(frame)
    return {"perMode": count_modes(begun["modes"][begun["event"].isin(events)])}


def _advice(frame: pd.DataFrame, failures: Int64s, config: DataConfig, parts: int) -> str:
    """What helps where a part is refused: the other split, if enough assets fail; else more history."""
    failing = frame["asset_id"][failures >= 0].nunique()
    if config.split_by == "time" and failing >= parts * max(1, config.min_failure_events):
        return f'set dataConfig.splitBy to "asset", as {failing} assets fail; or {MORE_HISTORY}'
    return MORE_HISTORY


def _check(name: str, part: dict[str, Any], config: DataConfig, advice: str) -> None:
    """Refuse a part on which nothing can be learned or evaluated."""
    if part["events"] < config.min_failure_events:
        raise TooFewFailuresError(
            f"the {PARTS[name]} part has {plural(part['events'], 'failure event')}, and at least "
            f"{config.min_failure_events} are needed",
            field="dataConfig.minFailureEvents",
            hint=f"{advice}, change the shares, or lower dataConfig.minFailureEvents to go on regardless",
        )
    if not 0 < part["positives"] < part["rows"]:
        kind = "rows" if part["rows"] == 0 else "positive rows" if part["positives"] == 0 else "negative rows"
        raise TooFewFailuresError(
            f"the {PARTS[name]} part has no {kind}; every part needs rows of both classes",
            field="dataConfig",
            hint=f"{advice}, change the shares, or check predictionHorizonSeconds",
        )


@dataclass(frozen=True)
class EventFolds:
    """Cross-validation folds of whole failure events, purged.

    The rows of each asset are cut into contiguous blocks, at most one per fold, in the middle of the healthy time
    between two failures, so that a block holds whole failures with the horizon before them. Few, long blocks lose the
    fewest rows to purging. Blocks are shared out over folds so that failures, then rows, are balanced.

    Parameters
    ----------
    n_splits
        Number of folds.
    horizon
        H in seconds.
    look_back
        W in samples, the row itself included.
    interval
        Grid spacing in seconds.
    seed
        Seed of the order in which blocks are shared out.
    whole_assets
        Hold out whole assets, as befits data whose parts are split by asset.
    """

    n_splits: int
    horizon: int
    look_back: int
    interval: int
    seed: int
    whole_assets: bool = False

    def split(self, frame: pd.DataFrame, mask: Bools) -> Iterator[tuple[Int64s, Int64s]]:
        """Yield ``(train, validation)`` row positions for each fold.

        No row of ``train`` has ``[t - W·interval, t + H]`` in common with ``[start, end + H]`` of a held-out block of
        its asset, or belongs to a failure that has held-out rows.

        Raises TooFewFailuresError if there are fewer failures than folds, or a fold is left with one class.

        Parameters
        ----------
        frame
            Grid frame, sorted by asset and time.
        mask
            Rows to use, shape (n_rows,); those without a label are left out.
        """
        rows = self._rows(frame, mask)
        for number in range(self.n_splits):
            held_out = rows.fold == number
            kept = self._without(rows, held_out)
            self._check_classes(number, rows, kept, held_out)
            yield rows.position[kept], rows.position[held_out]

    def rotation(self, frame: pd.DataFrame, mask: Bools) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
        """Yield ``(train, validation, test)`` row positions: each fold is once the test, and once the validation.

        The fold after the test fold is its validation. Training rows are purged as in `split` of both; validation rows
        of the test fold. Parameters and errors as in `split`.
        """
        rows = self._rows(frame, mask)
        for number in range(self.n_splits):
            test, later = rows.fold == number, rows.fold == (number + 1) % self.n_splits
            unseen = self._without(rows, test)
            train, validation = unseen & self._without(rows, later), unseen & later
            self._check_classes(number, rows, train, validation)
            self._check_classes(number, rows, train, test)
            yield rows.position[train], rows.position[validation], rows.position[test]

    def _rows(self, frame: pd.DataFrame, mask: Bools) -> _FoldRows:
        position = np.flatnonzero(mask & (frame["label"].to_numpy() >= 0))
        asset = frame["asset_id"].factorize()[0][position]
        failures = failure_numbers(frame, self.horizon)[position]
        total = len(np.unique(failures[failures >= 0]))
        if total < self.n_splits:
            raise TooFewFailuresError(
                f"the training part has {plural(total, 'failure event')}, too few for {self.n_splits} folds",
                field="tuningConfig.cvFolds",
                hint=f"lower tuningConfig.cvFolds, or {MORE_HISTORY}",
            )
        block = self._blocks(asset, failures)
        return _FoldRows(
            position,
            frame["label"].to_numpy()[position],
            asset,
            epoch_seconds(frame["timestamp"])[position],
            failures,
            block,
            self._folds_of_blocks(block, failures)[block],
        )

    def _without(self, rows: _FoldRows, held_out: Bools) -> Bools:
        """Rows that neither are held out nor see or tell of rows that are."""
        seen = self._purge(rows.asset, rows.seconds, rows.block, held_out)
        return ~held_out & ~seen & ~_shares_failure(rows.failures, held_out)

    def _blocks(self, asset: Int64s, failures: Int64s) -> Int64s:
        """Block number of each row, rising with the rows."""
        if not len(asset):
            return asset
        new_block = np.diff(asset, prepend=asset[0]) != 0
        if not self.whole_assets:
            for start, stop in _slices(asset):
                new_block[start + self._cuts(failures[start:stop])] = True
        return np.cumsum(new_block)

    def _cuts(self, failures: Int64s) -> Int64s:
        """Positions inside one asset at which a new block starts."""
        positive = np.flatnonzero(failures >= 0)
        numbers = failures[positive]
        change = np.flatnonzero(numbers[1:] != numbers[:-1])
        middles = (positive[change] + positive[change + 1] + 1) // 2
        n_failures = len(change) + 1
        n_blocks = min(n_failures, self.n_splits)
        last_of_block = np.arange(1, n_blocks) * n_failures // n_blocks
        return middles[last_of_block - 1]

    def _folds_of_blocks(self, block: Int64s, failures: Int64s) -> Int64s:
        rows = np.bincount(block)
        equal = np.ones(self.n_splits)
        per_block = _failures_per_group(block, failures, len(rows))
        return share_out(per_block, rows, failure_targets=equal, row_targets=equal, seed=self.seed)

    def _purge(self, asset: Int64s, seconds: Int64s, block: Int64s, held_out: Bools) -> Bools:
        """Rows that see a held-out block or whose label tells of it."""
        seen = np.zeros(len(block), dtype=bool)
        window = self.look_back * self.interval
        for start, stop in _slices(block):
            if not held_out[start]:
                continue
            first, last = np.searchsorted(asset, [asset[start], asset[start] + 1])
            times = seconds[first:last]
            low = np.searchsorted(times, seconds[start] - self.horizon, side="left")
            high = np.searchsorted(times, seconds[stop - 1] + self.horizon + window, side="right")
            seen[first + low : first + high] = True
        return seen

    def _check_classes(self, number: int, rows: _FoldRows, train: Bools, held_out: Bools) -> None:
        for name, mask in (("training", train), ("held-out", held_out)):
            if len(np.unique(rows.label[mask])) < 2:
                raise TooFewFailuresError(
                    f"the {name} rows of fold {number + 1} of {self.n_splits} do not hold both classes after purging",
                    field="tuningConfig.cvFolds",
                    hint=f"lower tuningConfig.cvFolds, shorten windows or predictionHorizonSeconds, or {MORE_HISTORY}",
                )


@dataclass(frozen=True)
class _FoldRows:
    """The rows that folds are made of; every array has shape (n_used,)."""

    position: Int64s
    label: npt.NDArray[Any]
    asset: Int64s
    seconds: Int64s
    failures: Int64s
    block: Int64s
    fold: Int64s


def _slices(groups: Int64s) -> list[tuple[int, int]]:
    """Start and stop of each run of equal values."""
    edges = np.flatnonzero(np.diff(groups)) + 1
    bounds = [0, *edges.tolist(), len(groups)]
    return list(pairwise(bounds)) if len(groups) else []
