"""The figures of `scaling.md`, from what the benchmarks have kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
FLEETS = ("fleet", "fleet_50")

_MEANINGS = {
    "prepareSeconds": "preparation, CPU seconds",
    "featuresSeconds": "training: features and their bins, CPU seconds",
    "boostSeconds": "training: the rounds, CPU seconds",
    "restOfTrainingSeconds": "training: all else, CPU seconds",
    "validateSeconds": "validation, CPU seconds",
    "convertSeconds": "conversion, CPU seconds",
    "prepareMb": "preparation, peak MB",
    "trainMb": "training, peak MB",
    "validateMb": "validation, peak MB",
    "diskMb": "kept on disk, MB",
}


def fleet_figures() -> str:
    """One row for each fleet that was measured."""
    headings = (
        "Organisations",
        "Rows of each",
        "One alone",
        "All, ideally",
        "The fleet",
        "Overhead",
        "CPU seconds, to those of single runs",
        "All steps together, at most",
        "Budget",
        "The fleet's own process",
        "Load average before",
    )
    rows = [
        (
            str(figures["organizations"]),
            f"{figures['rows']:,}",
            f"{figures['singleSeconds']:.1f} s",
            f"{figures['idealSeconds']:,.0f} s",
            f"{figures['fleetSeconds']:,.0f} s",
            f"{figures['overhead']:.2f}",
            f"{figures['cpuOverhead']:.2f}",
            f"{figures['stepsPeakMb']:,.0f} MB",
            f"{figures['budgetMb']:,.0f} MB",
            f"{figures['fleetPeakMb']:,.0f} MB",
            f"{figures['otherLoad']:.1f}",
        )
        for figures in map(_figures, FLEETS)
        if figures
    ]
    return _table(headings, rows)


def fleet_limits() -> str:
    """What thousands of tasks cost the fleet's own process."""
    figures = _figures("fleet_scheduler")
    rows = [
        ("configurations read and checked", f"{figures['readConfigsSeconds']:.1f} s"),
        ("tasks through the pool", f"{figures['tasksSeconds']:.1f} s"),
        ("CPU time for a task", f"{figures['cpuMillisecondsPerTask']:.1f} ms"),
        ("memory for a task, kept until the end", f"{figures['memoryKbPerTask']:.1f} kB"),
        ("summary written", f"{figures['summarySeconds']:.1f} s"),
        ("`summary.json`, `summary.html`", f"{figures['summaryJsonMb']:.1f} MB, {figures['summaryHtmlMb']:.1f} MB"),
    ]
    return _table((f"{figures['organizations']:,} organisations", ""), rows)


def cost_laws() -> str:
    """The fitted laws with their errors at the points that were measured."""
    model = _figures("cost_model")
    rows = [
        (_MEANINGS[law["figure"]], f"`{law['law']}`", f"{law['medianError']:.1%}", f"{law['largestError']:.1%}")
        for law in model["laws"]
    ]
    return _table(("Figure", "Law", "Median error", "Largest error"), rows)


def measured_range() -> str:
    """The sizes at which the laws were fitted, in one sentence."""
    model = _figures("cost_model")
    points = model["points"]
    sizes = {letter: sorted({int(point[letter]) for point in points}) for letter in "ncfr"}
    ranges = {letter: f"{values[0]:,} to {values[-1]:,}" for letter, values in sizes.items()}
    return (
        f"{len(points)} points: `n` from {ranges['n']} rows, `c` from {ranges['c']} columns, `f` from {ranges['f']} "
        f"features, `r` from {ranges['r']} rounds; load average before: {model['otherLoad']:.1f}."
    )


def extrapolation() -> str:
    """The arithmetic that the cost model prints."""
    model = _figures("cost_model")["extrapolation"]
    fleet, large = model["tenThousandOrganizations"], model["tenBillionRows"]
    parts = f"{large['featureCpuDays']:,.0f} and {large['boostCpuDays']:,.0f} days"
    machines = f"machines of {model['machineCpus']} CPUs, for {model['nightHours']} hours"
    rows = [
        ("CPU time of one organisation", f"{fleet['cpuSecondsEach']:,.0f} s", f"{large['cpuDays']:,.0f} days"),
        ("of which features and bins, and rounds", "", parts),
        ("CPU time in all", f"{fleet['cpuHours']:,.0f} hours", ""),
        (machines, f"{fleet['machinesForANight']:,.0f}", ""),
        ("memory of one process", f"{fleet['memoryMbEach']:,.0f} MB", f"{large['trainingMemoryGb']:,.0f} GB"),
        (f"rows that {model['machineGb']} GB hold", "", f"{large['rowsThatOneMachineHolds']:,.0f}"),
        ("disk", f"{fleet['diskGb']:,.0f} GB", f"{large['diskGb']:,.0f} GB"),
    ]
    headings = (
        "",
        f"10,000 organisations of {fleet['n']:,.0f} rows, {fleet['f']:.0f} features, {fleet['r']:.0f} rounds",
        f"10¹⁰ rows, {large['f']:.0f} features, {large['r']:.0f} rounds",
    )
    return _table(headings, rows)


def _figures(name: str) -> dict[str, Any]:
    """What a benchmark has kept; empty if it has never run."""
    file = RESULTS / f"{name}.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, ("---",) * len(headings), *rows))


PARTS: dict[str, Callable[[], str]] = {
    "fleet figures": fleet_figures,
    "fleet limits": fleet_limits,
    "cost laws": cost_laws,
    "cost range": measured_range,
    "cost extrapolation": extrapolation,
}
