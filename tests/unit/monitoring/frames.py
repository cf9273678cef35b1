"""Small labelled grids."""

from __future__ import annotations

import numpy as np
import pandas as pd

HOUR = 3600
BEGIN = 1_700_002_800  # a whole hour


def labelled(label: str, *, status: str | None = None, event: str | None = None, asset: str = "A") -> pd.DataFrame:
    """One row an hour: label 1, 0 or ``.`` for none; event ``x`` inside the failure, ``-`` outside."""
    rows = len(label)
    failing = np.array([each == "x" for each in event or "-" * rows])
    starts = failing & ~np.append(False, failing[:-1])
    names = {"l": "labelled", "c": "censored", "f": "in_failure", "r": "recovery", "o": "off"}
    default = ["f" if failed else "c" if each == "." else "l" for each, failed in zip(label, failing, strict=True)]
    return pd.DataFrame(
        {
            "asset_id": asset,
            "timestamp": pd.to_datetime(BEGIN + HOUR * np.arange(rows), unit="s", utc=True),
            "event": np.where(failing, np.cumsum(starts) - 1, -1),
            "target": failing.astype(np.int8),
            "label": [-1 if each == "." else int(each) for each in label],
            "status": [names[each] for each in (status or default)],
        }
    )


def marks(text: str) -> np.ndarray:
    """``#`` where there is an alarm row."""
    return np.array([each == "#" for each in text])
