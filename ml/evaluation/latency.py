"""How long one prediction takes, through either ONNX model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ml.evaluation.records import Record

WARM_UP_RUNS = 20  # the first calls allocate the session's buffers and fill caches

Input = TypeVar("Input")
_NANOSECONDS_PER_MILLISECOND = 1e6


@dataclass(frozen=True)
class Latency(Record):
    """Percentiles and mean of single-row predictions, in milliseconds."""

    p50: float
    p95: float
    p99: float
    mean: float


def time_calls(call: Callable[[Input], Any], inputs: Sequence[Input], runs: int) -> Latency:
    """Time `call` on one input after another, round and round, after `WARM_UP_RUNS` calls that do not count.

    Taking turns keeps the branch predictor honest. Raises ValueError if there is no input or no run.
    """
    if not len(inputs) or runs < 1:
        raise ValueError(f"latency needs an input and a run; got {len(inputs)} and {runs}")
    for i in range(WARM_UP_RUNS):
        call(inputs[i % len(inputs)])
    elapsed = np.array([_time(call, inputs[i % len(inputs)]) for i in range(runs)]) / _NANOSECONDS_PER_MILLISECOND
    p50, p95, p99 = (float(value) for value in np.percentile(elapsed, (50, 95, 99)))
    return Latency(p50=p50, p95=p95, p99=p99, mean=float(elapsed.mean()))


def _time(call: Callable[[Input], Any], given: Input) -> int:
    start = time.perf_counter_ns()
    call(given)
    return time.perf_counter_ns() - start
