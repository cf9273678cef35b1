"""Run one step and end with the process that started it.

    python -P -m ml.fleet.child PARENT STEP CONFIG

A worker that is killed cannot end its steps any more, and one that went on would write beside its successor. Linux
ends the step in its place; elsewhere the version's lock keeps the successor waiting.
"""

from __future__ import annotations

import importlib
import sys

from ml.workspace.parent import end_with


def main(parent: str, step: str, config: str) -> int:
    """Run the step's own entry point; returns its exit status."""
    end_with(int(parent))
    status: int = importlib.import_module(f"ml.scripts.{step}").main([config])
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
