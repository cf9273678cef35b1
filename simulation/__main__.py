"""Simulate a pumping station and write what its SCADA archive would hold.

Writes OUT_DIR/scada.sqlite (table scada_readings) and OUT_DIR/hidden_wear.parquet. Exit codes: 0 done, 2 usage,
4 the folder cannot be written.

    python -m simulation demo --seed 7 --assets 12 --days 120
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ml.errors import EagleError
from simulation.database import write_hidden, write_sqlite
from simulation.station import DEFAULT_ASSETS, DEFAULT_DAYS, DEFAULT_SEED, simulate


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation", description="Simulate a pumping station and write its SCADA archive."
    )
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="folder to write into; made if missing")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="seed of everything random (%(default)s)")
    parser.add_argument("--assets", type=int, default=DEFAULT_ASSETS, help="number of pumps (%(default)s)")
    parser.add_argument("--days", type=int, default=DEFAULT_DAYS, help="length of the archive (%(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate and write; the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        station = simulate(arguments.seed, arguments.assets, arguments.days)
        write_sqlite(station, arguments.out_dir / "scada.sqlite")
        write_hidden(station, arguments.out_dir / "hidden_wear.parquet")
    except EagleError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    sys.stdout.write(f"{len(station.readings):,} readings of {arguments.assets} pumps in {arguments.out_dir}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
