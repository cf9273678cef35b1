import itertools

import numpy as np
import pytest

from ml.evaluation import latency
from ml.evaluation.latency import WARM_UP_RUNS, time_calls


def test_percentiles_are_those_of_the_timed_calls_in_milliseconds(monkeypatch):
    elapsed_ms = list(range(1, 101))
    ticks = itertools.chain.from_iterable((0, ms * 1_000_000) for ms in elapsed_ms)
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: next(ticks))

    result = time_calls(lambda row: row, range(3), runs=100)

    assert (result.p50, result.p95, result.p99) == tuple(np.percentile(elapsed_ms, (50, 95, 99)))
    assert result.mean == 50.5


def test_every_input_has_its_turn_and_the_warm_up_comes_first():
    seen = []

    time_calls(seen.append, [0, 4, 8], runs=5)

    assert len(seen) == WARM_UP_RUNS + 5
    assert seen[-5:] == [0, 4, 8, 0, 4]


@pytest.mark.parametrize(("inputs", "runs"), [([], 5), ([1], 0)])
def test_nothing_to_time_is_refused(inputs, runs):
    with pytest.raises(ValueError, match="latency needs"):
        time_calls(lambda row: row, inputs, runs)
