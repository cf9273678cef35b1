"""The pipeline for many organisations: ``python -m ml.fleet CONFIG_DIR``; `ml.scale.fleet.command` says more."""

from __future__ import annotations

if __name__ == "__main__":
    import ml.workspace.process.quiet_start  # noqa: F401

import sys

from ml.scale.fleet.command import main

if __name__ == "__main__":
    sys.exit(main())
