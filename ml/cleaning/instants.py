"""Rows of one asset at one instant, made one: cells that are not empty are merged.

Exports that write one row per sensor, two loggers at one machine and files that were written twice all give several
rows of one instant. Of a sensor the last value that came counts. Of the target and the label any 1 counts, then what
was not understood, then 0: a failure that one row tells is not taken back by another. Different values in one cell are
a conflict, which is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Bools, Int64s

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class MergedRows:
    """What became of rows sorted by asset and instant."""

    columns: dict[str, Array]  # values by column, each of shape (n_instants,)
    last: Int64s  # (n_instants,) position of each instant's last row
    conflicts: dict[str, int]  # instants with different values, by column; columns without any are left out
    contested: Bools  # (n_instants,) whether a column that is no flag has different values


def merge_rows(columns: Mapping[str, Array], starts: Bools, flags: Collection[str]) -> MergedRows:
    """Merge the rows of each instant.

    Parameters
    ----------
    columns
        Float arrays of shape (n_rows,), NaN for an empty cell; rows of one instant in the order in which they came.
    starts
        (n_rows,) whether the row is the first of its instant.
    flags
        Columns in which the largest value counts: 1, `ml.cleaning.parsing.NOT_UNDERSTOOD`, 0.
    """
    first = np.flatnonzero(starts)
    sizes = np.diff(np.append(first, len(starts)))
    last = first + sizes - 1
    several = sizes > 1
    contested = np.zeros(len(first), dtype=np.bool_)
    if not several.any():
        return MergedRows(dict(columns), last, {}, contested)
    inside = np.repeat(several, sizes)
    groups = np.cumsum(sizes[several]) - sizes[several]
    merged, conflicts = {}, {}
    for name, values in columns.items():
        cells = values[inside]
        highest = np.fmax.reduceat(cells, groups)
        differ = np.fmin.reduceat(cells, groups) < highest  # NaN, where all cells are empty, differs from nothing
        merged[name] = values[last]
        merged[name][several] = highest if name in flags else _last_known(cells, groups)
        if differ.any():
            conflicts[name] = int(differ.sum())
            if name not in flags:
                contested[several] |= differ
    return MergedRows(merged, last, conflicts, contested)


def _last_known(cells: Array, groups: Int64s) -> Array:
    """The last value of each group that is not NaN; NaN where there is none."""
    position = np.maximum.reduceat(np.where(np.isnan(cells), -1, np.arange(len(cells))), groups)
    return np.where(position >= 0, cells[position], np.array(np.nan, dtype=cells.dtype))
