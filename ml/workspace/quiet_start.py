"""Imported first by what is run as ``python -m ml.<name>``: a signal may come while libraries are still loading."""

from __future__ import annotations

import sys
from pathlib import Path

from ml.workspace.stopping import stop_while_loading

stop_while_loading(Path(sys.argv[0]).parent.name)
