"""The grid of one asset, made piece by piece: the same rows as of the whole history, in bounded memory.

A row depends on the readings of the last ``max_gap`` seconds before it and on its own interval, so that much is carried
from one piece to the next, and at least the reading before it, which tells whether a segment goes on. A row is given
out once no later reading can belong to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import pandas as pd

from ml.options.schema import SchemaConfig
from ml.windows.grid import FLAG_COLUMNS, to_grid


def stream_grid(
    pieces: Iterable[pd.DataFrame],
    *,
    schema: SchemaConfig,
    interval: int,
    max_gap: int,
    aggregation: Literal["last", "mean"] = "last",
) -> Iterator[pd.DataFrame]:
    """As `ml.windows.grid.to_grid`, for one asset.

    Parameters
    ----------
    pieces
        The readings of one asset in order of time, each piece sorted and after the one before it, no instant twice.
        Empty pieces are allowed.

    Yields
    ------
    pandas.DataFrame
        The rows of `to_grid` of all pieces together, in order; segments are numbered from 0.

    Raises
    ------
    ConfigError, DataError
        As `to_grid`; nothing is raised and nothing yielded if there are no readings.
    """
    options = {"schema": schema, "interval": interval, "max_gap": max_gap, "aggregation": aggregation}
    step = pd.Timedelta(seconds=interval)
    carried: pd.DataFrame | None = None
    given: pd.Timestamp | None = None  # time of the last row given out
    segment = 0
    for piece in (piece for piece in pieces if len(piece)):
        readings = piece if carried is None else pd.concat([carried, piece], ignore_index=True)
        rows = to_grid(readings, flags=FLAG_COLUMNS, **options)  # type: ignore[arg-type]
        last = rows["timestamp"].iloc[-1]
        new = _renumbered(rows[rows["timestamp"] < last], rows, given, segment)
        if len(new):
            given, segment = new["timestamp"].iloc[-1], int(new["segment"].iloc[-1])
            yield new
        carried = _needed(readings, given, step, max_gap)
    if carried is not None:
        rows = to_grid(carried, flags=FLAG_COLUMNS, **options)  # type: ignore[arg-type]
        yield _renumbered(rows, rows, given, segment)


def _renumbered(chosen: pd.DataFrame, rows: pd.DataFrame, given: pd.Timestamp | None, segment: int) -> pd.DataFrame:
    """The rows after `given`, with the segment of the row at `given` being `segment`."""
    if given is None:
        return chosen
    before = rows.loc[rows["timestamp"] <= given, "segment"]
    new = chosen[chosen["timestamp"] > given].reset_index(drop=True)
    # The reading that reaches the row given last is carried, so that row is there and its segment is known.
    return new.assign(segment=(new["segment"] - before.iloc[-1] + segment).astype(np.int32))


def _needed(readings: pd.DataFrame, given: pd.Timestamp | None, step: pd.Timedelta, max_gap: int) -> pd.DataFrame:
    """The readings that rows after `given` may depend on, and the last one before those."""
    if given is None:
        return readings
    oldest = given + step - pd.Timedelta(seconds=max_gap)
    first = int(readings["timestamp"].searchsorted(min(oldest, given), side="right")) - 1
    return readings.iloc[max(first, 0) :].reset_index(drop=True)
