"""Flags that are written down only when they change: between two values the first one holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pandas as pd


def held(batches: Iterable[pd.DataFrame], flags: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Batches of readings in which each flag without a value has the last one of its asset; NaN before the first.

    Parameters
    ----------
    batches
        Readings by asset and time, as from `ml.ingest.sorted_readings`; an asset may go on in the next batch.
    flags
        Names of the flags; those that a batch does not have are left out.
    """
    asset, last = None, pd.Series(dtype="float32")
    for batch in batches:
        names = [name for name in flags if name in batch.columns]
        if not names or batch.empty:
            yield batch
            continue
        filled = batch.groupby("asset_id", sort=False)[names].ffill()
        goes_on = batch["asset_id"] == asset
        if goes_on.any():
            filled = filled.where(~(filled.isna() & goes_on.to_numpy()[:, None]), last[names], axis="columns")
        asset, last = batch["asset_id"].iloc[-1], filled.iloc[-1]
        yield batch.assign(**{name: filled[name] for name in names})
