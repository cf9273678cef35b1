"""What workers compute: functions of a prepared file, of constants learned so far, and of a mask of rows.

All are pure, so Dask may run one again elsewhere when its worker dies. None takes a configuration with a source in it:
a task holds no secret. A worker computes one thing at a time, whatever number of threads it has, because its memory is
that of what it works on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd

from ml.arrays import Bools, Float32s, Float64s
from ml.config import OrganizationConfig
from ml.features import FeatureEngineer
from ml.learning.memory import give_back
from ml.scale.partitioned.masks import Mask
from ml.scale.partitioned.stored import ROW_COLUMNS, Stored, StoredFeatureRows, StoredRows
from ml.windows.channels import physical_samples
from ml.windows.normality import Normality, needed_columns
from ml.windows.scaling import Scaling

Found = TypeVar("Found")
State = Mapping[str, Any]
"""A fitted engineer, as `FeatureEngineer.to_dict` gives it."""

_one_at_a_time = threading.Lock()


def run(function: Callable[..., Found], stored: Stored, common: tuple[Any, ...], *own: Any) -> Found:
    """Call one of the functions below; many tasks have the same `common` arguments, and each its own."""
    return function(stored, *common, *own)


def features(stored: Stored, state: State, scaled: bool, mask: Mask) -> Float32s:
    """Features of the wanted rows, column-major (n_wanted, n_features)."""
    with _one_at_a_time:
        engineer = FeatureEngineer.from_dict(state)
        frame, wanted = _with_history(StoredRows(stored), mask, engineer.look_back, engineer.channels)
        matrix = engineer.matrix(frame, rows=wanted)
        return engineer.scaling.apply(matrix) if scaled else matrix


def predicted(stored: Stored, state: State, predict: Callable[[Float32s], Float64s], mask: Mask) -> Float64s:
    """What a function makes of the scaled features of the wanted rows, (n_wanted,)."""
    with _one_at_a_time:
        wanted = StoredFeatureRows(FeatureEngineer.from_dict(state), StoredRows(stored), mask)
        return np.concatenate([np.empty(0), *(predict(batch) for batch in wanted.batches())])


def readings(stored: Stored, columns: Sequence[str], mask: Mask) -> pd.DataFrame:
    """Some columns of the wanted rows."""
    with _one_at_a_time:
        frame, wanted = _with_history(StoredRows(stored), mask, 0, columns)
        return frame.loc[wanted]


def normality(stored: Stored, config: OrganizationConfig, mask: Mask, channel: str) -> Normality:
    """What is normal for one continuous channel over the wanted of all rows; its column is read whole."""
    with _one_at_a_time:
        frame = _columns(stored, ("segment", *needed_columns(config, (channel,))))
        found = Normality.learn(frame, config, mask.wanted, (channel,))
        del frame
        give_back()
        return found


def of_channel(
    stored: Stored, config: OrganizationConfig, mask: Mask, function: Callable[[Float32s], Found], channel: str
) -> Found:
    """What a function makes of the physical samples of one channel's wanted of all rows; its column is read whole."""
    with _one_at_a_time:
        frame = _columns(stored, ("segment", channel))
        ((_, samples),) = physical_samples(frame, config.schema_config, mask.wanted, (channel,))
        del frame
        found = function(samples)
        give_back()
        return found


def scaling(
    stored: Stored, state: State, mask: Mask, method: Literal["standard", "minmax", "robust"], which: slice
) -> Scaling:
    """The scaling of some features over the wanted rows, whose values are all held, those of other features not."""
    with _one_at_a_time:
        wanted = _SomeFeatures(FeatureEngineer.from_dict(state), StoredRows(stored), mask, which)
        table = np.empty(wanted.shape, dtype=np.float32, order="F")
        done = 0
        for batch in wanted.batches():
            table[done : done + len(batch)] = batch
            done += len(batch)
        return Scaling.learn(method, [table])


class _SomeFeatures(StoredFeatureRows):
    """Some features of a prepared file, not scaled."""

    def __init__(self, engineer: FeatureEngineer, stored: StoredRows, mask: Mask, which: slice) -> None:
        super().__init__(engineer, stored, mask)
        self._which = which
        self.shape = len(self), len(engineer.features[which])

    @property
    def batch_rows(self) -> int:
        """As many as are read with all features: the readings take the memory here."""
        return max(1, super().batch_rows * self.shape[1] // len(self._engineer.features))

    def _matrix(self, frame: pd.DataFrame, rows: Bools, order: str = "C") -> Float32s:
        del order
        return self._engineer.some_features(frame, self._which, rows)


def _with_history(rows: StoredRows, mask: Mask, look_back: int, columns: Sequence[str]) -> tuple[pd.DataFrame, Bools]:
    """The rows of a mask after their history, and which of them are wanted."""
    first = max(0, mask.start - look_back)
    return rows.rows(first, mask.end, (*ROW_COLUMNS, *columns)), mask.after(first)


def _columns(stored: Stored, names: Sequence[str]) -> pd.DataFrame:
    rows = StoredRows(stored)
    return pd.DataFrame({name: rows.column(name) for name in names}, copy=False)
