"""``eagle-ml completion``: a script for bash; `source <(eagle-ml completion)` switches it on."""

from __future__ import annotations

import argparse
import sys

from ml.command.line import COMMANDS
from ml.workspace.process.people import PROGRAM

_SCRIPT = """\
_eagle_ml() {{
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{words} --version --workspace --help" -- "${{COMP_WORDS[1]}}"))
  fi
}}
complete -o default -F _eagle_ml {program}
"""


def main() -> int:
    """Print the script; returns the exit status."""
    argparse.ArgumentParser(prog=f"{PROGRAM} completion", description=__doc__).parse_args()
    sys.stdout.write(_SCRIPT.format(words=" ".join(COMMANDS), program=PROGRAM))
    return 0
