"""The notebooks run from top to bottom, warnings being errors, and show what they did when they were committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from docs.notebooks import executed

NOTEBOOKS = sorted((Path(__file__).resolve().parents[3] / "notebooks").glob("*.ipynb"))


def outputs(notebook: dict[str, Any]) -> list[list[Any]]:
    """Per code cell its prints, and how many pictures it drew; pixels may differ between versions of a library."""
    return [
        ["picture" if "image/png" in each.get("data", {}) else each.get("text", "value") for each in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_is_a_tour_of_the_features() -> None:
    assert "feature_engineering.ipynb" in [file.name for file in NOTEBOOKS]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs_and_shows_what_it_did(file: Path) -> None:
    mpl.use("Agg")
    notebook = json.loads(file.read_text(encoding="utf-8"))
    again = outputs(executed(notebook, file.parent))
    assert again == outputs(notebook)
    assert sum(each.count("picture") for each in again) >= 5


def test_an_error_in_a_cell_is_not_swallowed(tmp_path: Path) -> None:
    broken = {"cells": [{"cell_type": "code", "source": ["1 / 0"], "outputs": []}]}
    with pytest.raises(ZeroDivisionError):
        executed(broken, tmp_path)
