"""The alarm threshold: which one, and the one rule by which a probability is compared with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.errors import TooFewFailuresError


def is_alarm(probability: npt.NDArray[Any], threshold: float) -> npt.NDArray[np.bool_]:
    """Rows whose probability, as float32, reaches the threshold, as float32.

    The exported model compares in float32. Comparing in float64 here could decide otherwise for a probability within
    half a float32 step of the threshold. NaN is no alarm.
    """
    return np.asarray(probability, dtype=np.float32) >= np.float32(threshold)


def best_f1_threshold(label: npt.NDArray[Any], probability: npt.NDArray[Any]) -> float:
    """The threshold with the highest F1 score on the given rows.

    Every distinct probability (as float32) is tried as a threshold; of several with the same F1 the highest wins,
    which raises the fewest alarms. The result lies midway between that probability and the next lower one seen, so
    that a small change of a probability flips no row, and is exactly representable as float32. Where no lower one was
    seen, the probability itself is returned.

    Parameters
    ----------
    label
        0 or 1, shape (n_rows,).
    probability
        Probability of class 1, shape (n_rows,), without NaN.

    Raises
    ------
    TooFewFailuresError
        If no row is positive: F1 is not defined then.

    Examples
    --------
    >>> best_f1_threshold(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.5, 0.75]))
    0.375
    """
    positive = np.asarray(label) == 1
    if not positive.any():
        raise TooFewFailuresError(
            "a threshold cannot be chosen on rows without a positive one", hint="give a longer validation part"
        )
    candidates, rank = np.unique(np.asarray(probability, dtype=np.float32), return_inverse=True)
    alarms = np.cumsum(np.bincount(rank)[::-1])[::-1]
    hits = np.cumsum(np.bincount(rank[positive], minlength=len(candidates))[::-1])[::-1]
    f1 = 2 * hits / (alarms + positive.sum())
    best = len(f1) - 1 - int(np.argmax(f1[::-1]))
    if best == 0:
        return float(candidates[0])
    lower, upper = candidates[best - 1], candidates[best]
    middle = np.float32((float(lower) + float(upper)) / 2)
    return float(middle if middle > lower else upper)  # between two neighbouring float32 there is no middle
