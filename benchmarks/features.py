"""Window features: how fast, how exact, and how that grows with rows and window length, beside other libraries.

    python -m benchmarks.features [--runs 5] [--rows 500000]

Peers run in processes of their own, in turn, one round after another, so that a machine that gets slower gets slower
for all. Quoted are medians over all runs. tsflex, which calls a function per window, gets a subsample and is compared
per value. Also measured: the newest row alone (`FeatureEngineer.latest`), and what the second process of a machine
spends on compiled kernels. Writes ``results/features.json`` and ``docs/feature-speed.svg``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.feature_peers import features_made
from benchmarks.processes import run
from benchmarks.results import keep, median, table

ROOT = Path(__file__).resolve().parents[1]
SENSORS = 18
SHORT, LONG = "5,10,20", "80,300,1000"
PEERS = ("eagle", "polars", "bottleneck", "pandas")
_PER_PROCESS = 2  # timed runs of one process
_GROWTH_ROWS = (62_500, 125_000, 250_000, 500_000, 1_000_000)
_GROWTH_WINDOWS = (5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
_GROWTH_SENSORS = 4
_TSFLEX_ROWS, _TSFLEX_SENSORS = 5_000, 2


def main(argv: list[str] | None = None) -> int:
    """Measure, print tables and keep the figures."""
    parser = argparse.ArgumentParser(description="Speed and exactness of window features.")
    parser.add_argument("--runs", type=int, default=3, help="processes per peer; each times two runs")
    parser.add_argument("--rows", type=int, default=500_000)
    arguments = parser.parse_args(argv)
    figures: dict[str, Any] = {"rows": arguments.rows, "sensors": SENSORS, "runs": _PER_PROCESS * arguments.runs}
    for title, windows in (("short", SHORT), ("long", LONG)):
        figures[title] = _compared(arguments.rows, windows, arguments.runs)
        sys.stdout.write(f"windows {windows}, {arguments.rows:,} rows, {SENSORS} sensors\n{table(figures[title])}\n\n")
    figures["growth"] = {
        "rows": {peer: [_timed(peer, rows, _GROWTH_SENSORS, SHORT, 1)[0] for rows in _GROWTH_ROWS] for peer in PEERS},
        "windows": {
            peer: [_timed(peer, 100_000, _GROWTH_SENSORS, str(window), 1)[0] for window in _GROWTH_WINDOWS]
            for peer in PEERS
        },
    }
    _draw(figures["growth"])
    figures["latest"] = _measured("benchmarks.latest_row")
    figures["coldStart"] = _measured("benchmarks.cold_start")
    sys.stdout.write(f"newest row: {figures['latest']}\ncold start: {figures['coldStart']}\n")
    keep("features", figures)
    return 0


def _compared(rows: int, windows: str, runs: int) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {peer: [] for peer in PEERS}
    exact: dict[str, float] = {}
    for number in range(runs):
        for peer in PEERS:
            times, share = _timed(peer, rows, SENSORS, windows, _PER_PROCESS, exact=number == 0)
            seconds[peer] += times if isinstance(times, list) else [times]
            exact.setdefault(peer, share)
    own = median(seconds["eagle"])
    made = [
        {
            "library": peer,
            "seconds": median(seconds[peer]),
            "fastest": min(seconds[peer]),
            "timesOurs": median(seconds[peer]) / own,
            "exactCells": exact[peer],
        }
        for peer in PEERS
    ]
    lengths = tuple(int(window) for window in windows.split(","))
    own_value = own / (rows * features_made("eagle", SENSORS, lengths))
    sampled, _ = _timed("tsflex", _TSFLEX_ROWS, _TSFLEX_SENSORS, windows, 1)
    value = sampled / (_TSFLEX_ROWS * features_made("tsflex", _TSFLEX_SENSORS, lengths))
    made.append(
        {
            "library": f"tsflex ({_TSFLEX_ROWS:,} rows, per value)",
            "seconds": sampled,
            "fastest": sampled,
            "timesOurs": value / own_value,
            "exactCells": "-",
        }
    )
    return made


def _timed(peer: str, rows: int, sensors: int, windows: str, runs: int, *, exact: bool = False) -> tuple[Any, float]:
    """The times of a peer's runs (one run: its time), and its share of exact cells (-1 where it was not asked)."""
    command = [sys.executable, "-m", "benchmarks.feature_peers", peer, "--rows", str(rows), "--sensors", str(sensors)]
    command += ["--windows", windows, "--runs", str(runs), *(["--exact"] if exact else [])]
    figures = json.loads(run(command, folder=ROOT).output)
    times = figures["seconds"]
    return (times[0] if runs == 1 else times), figures.get("exact", -1.0)


def _measured(module: str) -> dict[str, Any]:
    measured: dict[str, Any] = json.loads(run([sys.executable, "-m", module], folder=ROOT).output)
    return measured


def _draw(growth: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "feature-speed"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for peer in PEERS:
        width = 2.5 if peer == "eagle" else 1.2
        left.plot(_GROWTH_ROWS, growth["rows"][peer], marker="o", linewidth=width, label=peer)
        right.plot(_GROWTH_WINDOWS, growth["windows"][peer], marker="o", linewidth=width, label=peer)
    left.set(title="windows 5, 10, 20", xlabel="rows", ylabel="seconds", xscale="log", yscale="log")
    right.set(title="one window, 100,000 rows", xlabel="samples in the window", xscale="log", yscale="log")
    left.legend()
    figure.savefig(ROOT / "docs" / "feature-speed.svg", metadata={"Date": None})


if __name__ == "__main__":
    raise SystemExit(main())
