"""The rolling kernel against statistics of one cut-out window at a time, bit for bit, over hostile series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml.windows.channels import segment_starts
from ml.windows.kernels import prefixes
from ml.windows.kernels.rolling import STATISTICS, rolling
from tests.reference.windows import rolling_cell

INTERVAL = 60.0


def computed(x, segment, windows, first=0, statistics=STATISTICS, ddof=1):
    """float32 (n_statistics, n_windows, n_rows - first); what is not among `statistics` is not asked for."""
    start = segment_starts(np.asarray(segment))
    windows = np.array(windows, dtype=np.int64)
    columns = np.arange(len(STATISTICS) * windows.size).reshape(len(STATISTICS), 1, windows.size)
    columns = np.where(np.isin(STATISTICS, statistics)[:, None, None], columns, -1)
    out = np.full((columns.size, x.size - first), np.float32(-7.0))
    values, place = x.reshape(1, -1), (out.reshape(-1), out.shape[1], 0)
    rolling(values, start, first, np.array([0]), windows, columns, INTERVAL, float(ddof), *place)
    return out.reshape(len(STATISTICS), windows.size, -1)


def assert_exact(x, segment, windows, rows=None, statistics=STATISTICS, ddof=1):
    """Compare the given rows, by default all, of the statistics, computed together, and every window."""
    found = computed(x, segment, windows, statistics=statistics, ddof=ddof)
    start = segment_starts(np.asarray(segment))
    for kind, statistic in enumerate(STATISTICS):
        if statistic not in statistics:
            continue
        for index, window in enumerate(windows):
            for t in range(x.size) if rows is None else rows:
                cell = found[kind, index, t]
                expected = rolling_cell(x, start[t], t, window, statistic, INTERVAL, ddof)
                same = cell == expected or (np.isnan(cell) and np.isnan(expected))
                assert same, f"{statistic} w={window} row {t}: {cell!r}, expected {expected!r}"


def series(random, kind, rows, scale):
    """Sensor histories of a kind that has broken rolling windows before."""
    steps = np.arange(rows)
    made = {
        "noise": lambda: random.normal(50, 10, rows),
        "drift": lambda: 0.01 * steps + random.normal(0, 0.001, rows),
        "tenths": lambda: np.round(random.normal(20, 3, rows), 1),
        "constant": lambda: np.full(rows, 7.3),
        "steps": lambda: np.repeat(random.normal(0, 1, rows // 37 + 1), 37)[:rows],
        "two-state": lambda: np.repeat(random.integers(0, 2, rows // 11 + 1), 11)[:rows].astype(float),
        "far from zero": lambda: 1e6 + random.integers(-1, 2, rows),
        "spikes": lambda: np.where(random.random(rows) < 0.02, 1e9, random.normal(0, 1e-6, rows)),
        "around zero": lambda: random.normal(0, 1, rows),
        "float32's ends": lambda: random.choice([3.4e38, -3.4e38, 1e-45, 0.0, 1.0], rows),
    }[kind]()
    with np.errstate(over="ignore"):
        narrow = (made * scale).astype(np.float32)
    narrow[np.isinf(narrow)] = np.nan
    return narrow + np.float32(0.0)


KINDS = (
    "noise", "drift", "tenths", "constant", "steps", "two-state", "far from zero", "spikes", "around zero",
    "float32's ends",
)  # fmt: skip
WINDOWS = (1, 2, 3, 4, 5, 7, 8, 15, 16, 20, 23, 24, 25, 31, 32, 33, 64, 80, 100, 300)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(KINDS),
    scale=st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e9]),
    rows=st.integers(1, 400),
    windows=st.sets(st.sampled_from(WINDOWS), min_size=1, max_size=3),
    nan_share=st.sampled_from([0.0, 0.0, 0.03, 0.5, 0.97]),
    nan_block=st.integers(0, 120),
    segments=st.integers(1, 4),
    statistics=st.sampled_from([STATISTICS, *((each,) for each in STATISTICS)]),
    ddof=st.sampled_from([0, 1]),
)
def test_every_cell_equals_the_window_cut_out(
    seed, kind, scale, rows, windows, nan_share, nan_block, segments, statistics, ddof
):
    random = np.random.default_rng(seed)
    x = series(random, kind, rows, scale)
    x[random.random(rows) < nan_share] = np.nan
    begin = random.integers(0, rows)
    x[begin : begin + nan_block] = np.nan
    segment = np.sort(random.integers(0, segments, rows))
    assert_exact(x, segment, sorted(windows), random.choice(rows, min(rows, 60), replace=False), statistics, ddof)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_long_windows_over_several_stretches(kind, ddof):
    random = np.random.default_rng(3)
    x = series(random, kind, 9000, 1.0)
    x[random.random(x.size) < 0.001] = np.nan
    segment = np.repeat([0, 1], [5000, 4000])
    rows = np.concatenate([random.choice(x.size, 60, replace=False), [4999, 5000, 5001, 8999]])
    assert_exact(x, segment, [40, 1000, 2000], rows, ddof=ddof)


@pytest.mark.parametrize("statistic", ["mean", "std", "slope"])
@pytest.mark.parametrize(("long", "wild", "quiet"), [(1440, 2.0**20, 2e-4), (10_000, 2.0**20, 2e-4)])
def test_a_quiet_window_after_a_wild_history(statistic, long, wild, quiet):
    """What the running sums forgot of the history is more than the window holds; each statistic stands for itself."""
    random = np.random.default_rng(5)
    steps = random.uniform(0.5, 1.0, 400) * quiet
    tail = np.stack([0.75 + steps, 0.75 - steps], axis=1).reshape(-1)
    x = np.concatenate([[0.75], random.uniform(0.5, 1.0, 4 * long) * wild, tail]).astype(np.float32)
    rows = x.size - 1 - np.arange(0, 774, 3)
    assert_exact(x, np.zeros(x.size), [26, long], rows, (statistic,))


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_row_alone_has_the_bits_of_the_batch(kind):
    random = np.random.default_rng(5)
    x = series(random, kind, 1500, 1.0)
    windows = [5, 24, 80, 300, 1000]
    whole = computed(x, np.zeros(x.size), windows)
    alone = computed(x, np.zeros(x.size), windows, first=x.size - 1)
    assert alone[:, :, 0].tobytes() == whole[:, :, -1].tobytes()


@pytest.mark.parametrize("kind", ["noise", "drift", "tenths", "around zero"])
def test_few_cells_need_to_be_summed_again(kind):
    """The running sums must decide nearly every cell, or long windows would cost what their length says."""
    random = np.random.default_rng(7)
    window, before, rows = 300, 300, 1200
    value = series(random, kind, before + rows, 1.0).astype(np.float64)
    present = np.ones(value.size)
    prefix = np.empty((prefixes.PREFIXES, value.size + 1))
    constant_from = np.empty(value.size, dtype=np.int64)
    prefixes.run_up(value, present, value[0], True, prefix, constant_from)
    total, count, mean, std, slope = np.empty((5, rows))
    unsure = np.empty(rows, dtype=np.bool_)
    sizes = np.abs(value[value != 0])
    error = prefixes.means(prefix, before, window, sizes.min(), sizes.max(), total, count, mean, unsure)
    prefixes.deviations(
        prefix, before, window, value[0], error, sizes.max(), constant_from, 1.0, total, count, std, unsure
    )
    lowest = np.array([value[i + 1 : i + 1 + window].min() for i in range(rows)], dtype=np.float32)
    prefixes.slopes(
        prefix, before, window, value[0], error, sizes.min(), sizes.max(), constant_from, lowest, total, count, slope,
        unsure,
    )  # fmt: skip
    assert unsure.mean() < 0.02


def test_an_undecided_mean_is_marked():
    """Two values whose mean lies on the border between two float32 numbers, in sums that may have been rounded."""
    one = np.float32(1.0)
    above = np.nextafter(one, np.float32(2.0), dtype=np.float32)
    value = np.array([1e30, one, above], dtype=np.float64)  # the large neighbour spoils the running sum
    prefix = np.empty((prefixes.PREFIXES, 4))
    prefixes.run_up(value, np.ones(3), value[0], False, prefix, np.empty(3, dtype=np.int64))
    total, count, mean = np.empty((3, 1))
    unsure = np.zeros(1, dtype=np.bool_)
    prefixes.means(prefix, 2, 2, 1.0, 1e30, total, count, mean, unsure)
    assert unsure[0]
