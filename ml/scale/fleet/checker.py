"""A process that checks configurations of a fleet, so that none of them can hold it up.

    python -P -m ml.scale.fleet.checker PARENT

Writes a line when it is ready; then answers each line on stdin, the path of a configuration as JSON text, with one of
``{"organizationId", "version", "digest"}`` and ``{"error"}``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml.errors import EagleError
from ml.workspace.configurations import load_config
from ml.workspace.files import sha256
from ml.workspace.process.parent_death import end_with

MOST_BYTES = 1 << 30
"""Of address space; a configuration that needs more ends the process."""


def main(parent: str) -> int:
    """Answer until stdin ends; returns the exit status."""
    end_with(int(parent))
    with suppress(OSError, ValueError):  # not every system can limit it
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # nothing else is an answer
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(checked(Path(json.loads(line)))) + "\n")
        answers.flush()
    return 0


def checked(file: Path) -> dict[str, Any]:
    """The answer about one configuration."""
    try:
        digest = sha256(file)
        config = load_config(file)
    except EagleError as error:
        return {"error": error.to_json()}
    return {"organizationId": config.organization_id, "version": config.version, "digest": digest}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
