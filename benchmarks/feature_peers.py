"""The same window features by `FeatureEngineer` and by the libraries that somebody might use instead.

    python -m benchmarks.feature_peers NAME --rows N --sensors N --windows 5,10,20 --runs N

One peer in a process of its own, so that no library's threads or allocator meet another's. After one run to warm up
(and to load what is compiled), each run is timed and the times are printed as JSON, with the share of cells that have
the bits of the definition: sums in float64 in the order of time, rounded once to float32.

Every peer gets the same float32 readings and may use two threads. Where a library has a choice, the fast way to use it
is taken: polars with all features in one `select`, bottleneck with a thread per column.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

THREADS = 2
LAGS = (1, 2, 5)
STATISTICS = ("mean", "std", "min", "max", "median")
INTERVAL = 60
_CHECKED_CELLS = 20_000

Columns = dict[str, npt.NDArray[np.float32]]
Windows = tuple[int, ...]
Result = Callable[[str], npt.NDArray[Any]]
"""What gives one feature by its name, such as ``s0__mean__w=5``."""


def readings(rows: int, sensors: int) -> Columns:
    """Noisy sensors with a slow drift, nothing missing: what the peers handle best."""
    random = np.random.default_rng(0)
    drift = np.sin(np.arange(rows) / 5_000)
    return {f"s{k}": (random.normal(50, 10, rows) + 20 * drift).astype(np.float32) for k in range(sensors)}


def ours(columns: Columns, windows: Windows) -> Callable[[], Result]:
    """`FeatureEngineer.matrix`."""
    from ml.config import OrganizationConfig
    from ml.features import FeatureEngineer

    config = OrganizationConfig.from_dict(
        {
            "organizationId": "benchmark",
            "schemaConfig": {
                "continuousColumns": list(columns),
                "rollingWindows": list(windows),
                "lagSeconds": [lag * INTERVAL for lag in LAGS],
            },
            "dataConfig": {"samplingIntervalSeconds": INTERVAL},
            "trainingConfig": {"threads": THREADS},
            "featureConfig": {
                "families": {"raw": False, "anomaly": False, "rolling": {"statistics": list(STATISTICS)}}
            },
        }
    )
    rows = len(next(iter(columns.values())))
    frame = pd.DataFrame(columns)
    frame["segment"] = 0
    frame["timestamp"] = pd.date_range("2024-01-01", periods=rows, freq=f"{INTERVAL}s", tz="UTC")
    engineer = FeatureEngineer(config).fit(frame)
    names = engineer.get_feature_names_out()

    def compute() -> Result:
        matrix = engineer.matrix(frame)
        return lambda name: matrix[:, names.index(name)]

    return compute


def polars(columns: Columns, windows: Windows) -> Callable[[], Result]:
    """Expressions over a DataFrame."""
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)  # read when polars is imported
    import polars as pl

    frame = pl.DataFrame(columns)
    wanted = []
    for name in columns:
        x = pl.col(name)
        wanted += [x.shift(lag).alias(f"{name}__lag__{lag * INTERVAL}s") for lag in LAGS]
        wanted += [
            getattr(x, f"rolling_{statistic}")(window, min_samples=1).alias(f"{name}__{statistic}__w={window}")
            for window in windows
            for statistic in STATISTICS
        ]
        wanted += [
            (x.diff() / INTERVAL).alias(f"{name}__rate"),
            (x.diff().diff() / INTERVAL**2).alias(f"{name}__acceleration"),
            (100 * x.pct_change()).alias(f"{name}__percent"),
        ]

    def compute() -> Result:
        table = frame.select(wanted)
        return lambda name: table[name].to_numpy()

    return compute


def pandas(columns: Columns, windows: Windows) -> Callable[[], Result]:
    """Rolling objects of a DataFrame, all sensors at once."""
    frame = pd.DataFrame(columns)

    def compute() -> Result:
        parts = {f"lag__{lag * INTERVAL}s": frame.shift(lag) for lag in LAGS}
        for window in windows:
            rolling = frame.rolling(window, min_periods=1)
            parts |= {f"{statistic}__w={window}": getattr(rolling, statistic)() for statistic in STATISTICS}
        difference = frame.diff()
        parts |= {
            "rate": difference / INTERVAL,
            "acceleration": difference.diff() / INTERVAL**2,
            "percent": 100 * frame.pct_change(fill_method=None),
        }
        return lambda name: parts[name.partition("__")[2]][name.partition("__")[0]].to_numpy()

    return compute


def bottleneck(columns: Columns, windows: Windows) -> Callable[[], Result]:
    """Moving-window functions, which leave the GIL, in two threads."""
    import bottleneck as bn

    def of_one(name: str) -> Columns:
        x = columns[name]
        made: Columns = {}
        for lag in LAGS:
            made[f"{name}__lag__{lag * INTERVAL}s"] = shifted = np.full_like(x, np.nan)
            shifted[lag:] = x[:-lag]
        for window in windows:
            for statistic in STATISTICS:
                move = getattr(bn, f"move_{statistic}")
                more = {"ddof": 1} if statistic == "std" else {}
                made[f"{name}__{statistic}__w={window}"] = move(x, window, min_count=1, **more)
        change = np.diff(x, prepend=np.float32(np.nan))
        made[f"{name}__rate"] = change / np.float32(INTERVAL)
        made[f"{name}__acceleration"] = np.diff(change, prepend=np.float32(np.nan)) / np.float32(INTERVAL**2)
        made[f"{name}__percent"] = 100 * change / np.abs(made[f"{name}__lag__{INTERVAL}s"])
        return made

    def compute() -> Result:
        with ThreadPoolExecutor(THREADS) as pool:
            parts = list(pool.map(of_one, columns))
        table = {name: column for part in parts for name, column in part.items()}
        return table.__getitem__

    return compute


def tsflex(columns: Columns, windows: Windows) -> Callable[[], Result]:
    """A feature collection with a stride of one sample."""
    from tsflex.features import FeatureCollection, FuncWrapper, MultipleFeatureDescriptors

    rows = len(next(iter(columns.values())))
    index = pd.date_range("2024-01-01", periods=rows, freq=f"{INTERVAL}s")
    series = [pd.Series(values, index=index, name=name) for name, values in columns.items()]
    functions = [
        FuncWrapper(function, output_names=name)
        for name, function in (
            ("mean", np.mean), ("std", _sample_std), ("min", np.min), ("max", np.max), ("median", np.median),
        )
    ]  # fmt: skip
    collection = FeatureCollection(
        MultipleFeatureDescriptors(
            functions, list(columns), windows=[f"{window * INTERVAL}s" for window in windows], strides=f"{INTERVAL}s"
        )
    )

    def compute() -> Result:
        table = collection.calculate(series, return_df=True, n_jobs=1, include_final_window=True)
        return lambda name: table[name].to_numpy()

    return compute


def _sample_std(values: npt.NDArray[np.float32]) -> Any:
    return np.std(values, ddof=1)


PEERS: dict[str, Callable[[Columns, Windows], Callable[[], Result]]] = {
    "eagle": ours,
    "polars": polars,
    "bottleneck": bottleneck,
    "pandas": pandas,
    "tsflex": tsflex,
}


def features_made(peer: str, sensors: int, windows: Windows) -> int:
    """How many columns a peer computes; tsflex has neither lags nor differences."""
    others = 0 if peer == "tsflex" else len(LAGS) + 3
    return sensors * (others + len(STATISTICS) * len(windows))


def exact_share(result: Result, columns: Columns, windows: Windows) -> float:
    """Share of cells of the rolling statistics, at random places, with the bits of the definition."""
    from tests.reference.windows import rolling_cell

    random = np.random.default_rng(1)
    names = list(columns)
    rows = len(columns[names[0]])
    exact = 0
    each = _CHECKED_CELLS // (len(STATISTICS) * len(windows))
    for statistic in STATISTICS:
        for window in windows:
            name = names[random.integers(len(names))]
            found = result(f"{name}__{statistic}__w={window}").astype(np.float32)
            for t in random.integers(1, rows, each):
                exact += found[t] == rolling_cell(columns[name], 0, int(t), window, statistic, INTERVAL)
    return exact / (each * len(STATISTICS) * len(windows))


def main(argv: list[str] | None = None) -> int:
    """Time one peer and print its figures as JSON."""
    parser = argparse.ArgumentParser(description="Time one way to compute window features.")
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--sensors", type=int, required=True)
    parser.add_argument("--windows", required=True)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--exact", action="store_true", help="also compare cells with the definition")
    arguments = parser.parse_args(argv)
    windows = tuple(int(window) for window in arguments.windows.split(","))
    columns = readings(arguments.rows, arguments.sensors)
    compute = PEERS[arguments.peer](columns, windows)
    result = compute()
    figures: dict[str, Any] = {"features": features_made(arguments.peer, arguments.sensors, windows)}
    if arguments.exact:
        figures["exact"] = exact_share(result, columns, windows)
    del result
    seconds = []
    for _ in range(arguments.runs):
        began = time.perf_counter()
        result = compute()
        seconds.append(time.perf_counter() - began)
        del result
    sys.stdout.write(json.dumps(figures | {"seconds": seconds}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
