"""Which failure each positive row speaks of: the unit that splits balance and event metrics count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.arrays import Int64s


def epoch_seconds(timestamp: pd.Series[Any]) -> Int64s:
    """Whole seconds since 1970-01-01 UTC of a time-zone-aware column, shape (n_rows,)."""
    return np.asarray(timestamp.astype("datetime64[s, UTC]").astype("int64"), dtype=np.int64)


def onsets(frame: pd.DataFrame) -> pd.DataFrame:
    """The first row of every failure event of a grid frame.

    Returns
    -------
    DataFrame
        Columns ``asset_id``, ``timestamp`` (int64 seconds since the epoch), ``event``, and ``modes`` (text of
        `ml.modes`) where the frame has them, in the frame's order; empty where no row is inside a failure.
    """
    columns = ["asset_id", "timestamp", "event", *(["modes"] if "modes" in frame.columns else [])]
    inside = frame.loc[frame["event"] >= 0, columns]
    first = inside.drop_duplicates("event").reset_index(drop=True)
    return first.assign(timestamp=epoch_seconds(first["timestamp"]))


def event_horizon(frame: pd.DataFrame, horizon: int) -> int:
    """How long before its onset a failure of a grid frame may be detected: `horizon`, or 0 if no onset is known.

    Labels that were made elsewhere, without a target, know none, nor does a target without a failure. What can be
    detected then are the runs of rows labelled 1.
    """
    known = (frame["event"] >= 0).any() and (frame["target"] >= 0).any()
    return horizon if known else 0


def failure_numbers(frame: pd.DataFrame, horizon: int) -> Int64s:
    """Number the failure that makes each row positive.

    A positive row inside an event belongs to that event. Any other belongs to the next onset of its asset, if that
    lies at most `horizon` seconds ahead. Positive rows that no onset explains (labels that were made elsewhere) are
    grouped by runs: consecutive labelled rows of one asset with label 1.

    Parameters
    ----------
    frame
        Grid frame, sorted by asset and time.
    horizon
        Prediction horizon in seconds.

    Returns
    -------
    array of int64, shape (n_rows,)
        Event number, or for runs a number above all event numbers; -1 on rows that are not positive.
    """
    positive = frame["label"].to_numpy() == 1
    event = frame["event"].to_numpy()
    numbers = _next_onset(frame, horizon)
    np.copyto(numbers, event, where=event >= 0)
    unexplained = positive & (numbers < 0)
    if unexplained.any():
        runs = positive_runs(frame["asset_id"].factorize()[0], frame["label"].to_numpy())
        numbers[unexplained] = event.max(initial=-1).astype(np.int64) + 1 + runs[unexplained]
    numbers[~positive] = -1
    return numbers


def positive_runs(asset: npt.NDArray[Any], label: npt.NDArray[Any]) -> Int64s:
    """Number the runs of label 1, from 0; -1 elsewhere.

    A run ends at a row with label 0 or at the end of its asset. Rows without a label (-1) neither belong to a run nor
    end one.

    Parameters
    ----------
    asset, label
        Arrays of shape (n_rows,), sorted by asset and time; assets as integer codes.
    """
    numbers = np.full(len(label), -1, dtype=np.int64)
    labelled = np.flatnonzero(label >= 0)
    positive = label[labelled] == 1
    follows = np.zeros(len(labelled), dtype=bool)
    follows[1:] = positive[:-1] & (asset[labelled][1:] == asset[labelled][:-1])
    numbers[labelled] = np.where(positive, np.cumsum(positive & ~follows) - 1, -1)
    return numbers


def _next_onset(frame: pd.DataFrame, horizon: int) -> Int64s:
    """Event whose onset lies in (t, t + horizon] of each row, or -1."""
    found = np.full(len(frame), -1, dtype=np.int64)
    events = onsets(frame)
    if events.empty:
        return found
    codes, assets = frame["asset_id"].factorize()
    seconds = epoch_seconds(frame["timestamp"])
    starts = np.searchsorted(codes, np.arange(len(assets) + 1))
    for asset_id, of_asset in events.groupby("asset_id", sort=False):
        code = int(assets.get_indexer([asset_id])[0])
        rows = slice(int(starts[code]), int(starts[code + 1]))
        times = of_asset["timestamp"].to_numpy()
        following = np.searchsorted(times, seconds[rows], side="right")
        known = np.minimum(following, len(times) - 1)
        near = (following < len(times)) & (times[known] <= seconds[rows] + horizon)
        found[rows] = np.where(near, of_asset["event"].to_numpy()[known], -1)
    return found
