"""What every benchmark does with its figures: print a table, and keep them as JSON."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def median(values: Sequence[float]) -> float:
    """The median, which one disturbed run does not move."""
    return statistics.median(values)


def keep(name: str, figures: dict[str, Any]) -> Path:
    """Write ``results/<name>.json`` with the machine's processor and Python; returns its path."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    machine = {"processor": _processor(), "python": platform.python_version()}
    file.write_text(json.dumps({"machine": machine, **figures}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of equal keys as aligned text; numbers with three significant digits."""
    header = list(rows[0])
    cells = [header, *([_cell(row[key]) for key in header] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
