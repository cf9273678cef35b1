"""Another process that has what a test wants."""

from __future__ import annotations

import subprocess
import sys

from ml.workspace.paths import OrganizationPaths


def hold(paths: OrganizationPaths, lock: str) -> subprocess.Popen[str]:
    """Another process that holds a lock until its input ends."""
    code = f"""
import sys
from ml.workspace.locks import audit_lock, organization_lock, slices_lock, version_lock
from ml.workspace.paths import OrganizationPaths
paths = OrganizationPaths({paths.organization_id!r})
with {lock}:
    print("held", flush=True)
    sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process
