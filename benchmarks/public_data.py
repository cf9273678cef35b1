"""Scores on the public benchmark data, by the same runs as in the tests.

    EAGLE_ML_DATA_DIR=<folder> .venv/bin/python benchmarks/public_data.py [--search]

With --search the turbofans go through the project's own search of parameters, which takes minutes, instead of the short
one of the tests (FD001) or none (FD002).

Prints one line per data set: average precision over all scored rows, and F1, precision and recall of the last cycle of
the engines with at least 50 cycles, at the threshold that training chose.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.pipeline.public_data import SEARCHES, VARIABLE, data_folder, run_turbofans, run_valve
from tests.pipeline.test_public_data import MINIMUM_CYCLES, last_rows
from tests.reference.metrics import ratio_metrics


def main() -> int:
    """Run every data set and print its line."""
    parser = argparse.ArgumentParser(description="Scores on the public benchmark data.")
    parser.add_argument("--search", action="store_true", help="search parameters as the project does by default")
    searched = parser.parse_args().search
    folder = data_folder()
    if folder is None:
        sys.stderr.write(f"{VARIABLE} must name the folder of the public data\n")
        return 2
    for name in ("FD001", "FD002", "valve1"):
        search = {} if searched else SEARCHES.get(name)
        with tempfile.TemporaryDirectory() as work:
            run = run_valve(folder, Path(work)) if name == "valve1" else run_turbofans(folder, Path(work), name, search)
        rows = run.predictions
        line = f"{name}: average precision {average_precision_score(rows['label'], rows['probability']):.3f}"
        if name != "valve1":
            last = last_rows(rows, MINIMUM_CYCLES)
            scores = ratio_metrics(last["label"].tolist(), last["probability"].tolist(), run.threshold)
            line += f"; last cycle of {len(last)} engines: " + ", ".join(
                f"{key} {scores[key]:.3f}" for key in ("f1", "precision", "recall")
            )
        sys.stdout.write(line + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
