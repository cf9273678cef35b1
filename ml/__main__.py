"""One command for everything that this package does.

eagle-ml COMMAND ...            installed from a wheel, or in .venv/bin of a checkout
python -m ml COMMAND ...        from a checkout
"""

from __future__ import annotations

import sys

from ml.workspace.process import quiet_start  # noqa: F401 - first: says in one line what this Python lacks


def main() -> int:
    """Run the command that the process's arguments name; returns its exit status."""
    from ml.command.line import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
