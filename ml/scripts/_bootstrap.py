"""Make the package importable for a script that is run as a file, whatever the working directory."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
