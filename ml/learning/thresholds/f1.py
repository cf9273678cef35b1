"""The alarm threshold with the best F1 score, and one that is as good within sampling error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import Bools, Float32s, Float64s
from ml.errors import TooFewFailuresError
from ml.learning.events.alarm_rows import is_alarm

_BOOTSTRAP_SAMPLES = 200


def best_f1_threshold(label: npt.NDArray[Any], probability: npt.NDArray[Any]) -> float:
    """The threshold with the highest F1 score on the given rows.

    Every distinct probability (as float32) is tried as a threshold; of several with the same F1 the highest wins,
    which raises the fewest alarms. The result lies midway between that probability and the next lower one seen, so
    that a small change of a probability flips no row, and is exactly representable as float32. Where no lower one was
    seen, the probability itself is returned.

    Raises TooFewFailuresError if no row is positive: F1 is not defined then.

    Parameters
    ----------
    label
        0 or 1, shape (n_rows,).
    probability
        Probability of class 1, shape (n_rows,), without NaN.

    Examples
    --------
    >>> best_f1_threshold(np.array([0, 0, 1, 1]), np.array([0.125, 0.25, 0.5, 0.75]))
    0.375
    """
    thresholds, f1 = _f1_curve(label, probability)
    return midway(thresholds, len(f1) - 1 - int(np.argmax(f1[::-1])))


def stable_f1_threshold(
    label: npt.NDArray[Any], probability: npt.NDArray[Any], groups: npt.NDArray[Any], *, seed: int
) -> float:
    """A threshold whose F1 is as good as the best within sampling error, and that is plausible by itself.

    With few failures F1 hardly changes over a wide range of thresholds, and its exact maximum is an accident of the
    rows. All thresholds within one standard error of the maximum count as equal (the one-standard-error rule of
    Breiman et al., Classification and Regression Trees, 1984); among them the one nearest to half the best F1 is
    taken, which is the optimum if the probabilities are calibrated (Lipton, Elkan and Naryanaswamy, ECML PKDD 2014).
    The standard error is that of 200 bootstrap samples of whole groups, as rows of one asset are not independent.

    Raises TooFewFailuresError if no row is positive.

    Parameters
    ----------
    label, probability
        As in `best_f1_threshold`.
    groups
        Group of each row, shape (n_rows,): its asset, or a stretch of its time.
    seed
        Seed of the bootstrap.
    """
    thresholds, f1 = _f1_curve(label, probability)
    best = float(f1.max())
    alarm = is_alarm(probability, float(thresholds[int(np.argmax(f1))]))
    error = _f1_standard_error(np.asarray(label) == 1, alarm, groups, seed)
    equal = np.flatnonzero(f1 >= best - error)
    nearest = int(np.argmin(np.abs(thresholds[equal].astype(np.float64) - best / 2)))
    return midway(thresholds, int(equal[nearest]))


def _f1_curve(label: npt.NDArray[Any], probability: npt.NDArray[Any]) -> tuple[Float32s, Float64s]:
    """The distinct probabilities, ascending, and the F1 score with each of them as threshold."""
    positive = np.asarray(label) == 1
    if not positive.any():
        raise TooFewFailuresError(
            "a threshold cannot be chosen on rows without a positive one", hint="give a longer validation part"
        )
    thresholds, rank = np.unique(np.asarray(probability, dtype=np.float32), return_inverse=True)
    alarms = np.cumsum(np.bincount(rank)[::-1])[::-1]
    hits = np.cumsum(np.bincount(rank[positive], minlength=len(thresholds))[::-1])[::-1]
    return thresholds, 2 * hits / (alarms + positive.sum())


def _f1_standard_error(positive: Bools, alarm: Bools, groups: npt.NDArray[Any], seed: int) -> float:
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    hits, alarms, positives = (np.bincount(code, weights=rows) for rows in (positive & alarm, alarm, positive))
    drawn = np.random.default_rng(seed).integers(len(hits), size=(_BOOTSTRAP_SAMPLES, len(hits)))
    total = alarms[drawn].sum(axis=1) + positives[drawn].sum(axis=1)
    f1 = 2 * hits[drawn].sum(axis=1)[total > 0] / total[total > 0]
    return float(f1.std(ddof=1)) if len(f1) > 1 else 0.0


def midway(thresholds: Float32s, index: int) -> float:
    """Midway between a threshold and the next lower one of ascending `thresholds`, as float32; the lowest one itself.

    The rows that reach it are the same, and a small change of a probability flips none of them.
    """
    if index == 0:
        return float(thresholds[0])
    lower, upper = thresholds[index - 1], thresholds[index]
    middle = np.float32((float(lower) + float(upper)) / 2)
    return float(middle if middle > lower else upper)  # between two neighbouring float32 there is no middle
