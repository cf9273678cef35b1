import itertools

import numpy as np
import pytest

from ml.evaluation import latency
from ml.evaluation.latency import WARM_UP_RUNS, measure_latency


def test_percentiles_are_those_of_the_timed_calls_in_milliseconds(monkeypatch):
    elapsed_ms = list(range(1, 101))
    ticks = itertools.chain.from_iterable((0, ms * 1_000_000) for ms in elapsed_ms)
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: next(ticks))

    result = measure_latency(lambda row: row, np.zeros((3, 2), np.float32), runs=100)

    assert (result.p50, result.p95, result.p99) == tuple(np.percentile(elapsed_ms, (50, 95, 99)))
    assert result.mean == 50.5


def test_every_call_gets_one_contiguous_float32_row_and_the_warm_up_comes_first():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)[::2]  # not contiguous
    seen = []

    measure_latency(seen.append, rows, runs=5)

    assert len(seen) == WARM_UP_RUNS + 5
    assert all(row.shape == (1, 2) and row.dtype == np.float32 and row.flags.c_contiguous for row in seen)
    assert [row[0, 0] for row in seen[-5:]] == [0, 4, 8, 0, 4]


@pytest.mark.parametrize(("rows", "runs"), [(np.zeros((0, 2), np.float32), 5), (np.zeros((1, 2), np.float32), 0)])
def test_nothing_to_time_is_refused(rows, runs):
    with pytest.raises(ValueError, match="latency needs rows"):
        measure_latency(lambda row: row, rows, runs)
