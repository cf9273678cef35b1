"""Write requirements.lock: every pinned package with the SHA-256 of each wheel that may be installed.

    python docs/locked_requirements.py

Asks pip, and so the package index, which wheels it would install on x86-64 Linux for each Python version named below.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "requirements.lock"
PYTHON_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
GLIBC_VERSIONS = ("2_28", "2_27", "2_24", "2_17", "2_12", "2_5")
HEADER = """# Every package of requirements-dev.txt with the SHA-256 of its wheels: x86-64 Linux, Python 3.11 to 3.14.
# Written by docs/locked_requirements.py. Install with:
#     pip install --require-hashes --only-binary :all: -r requirements.lock
"""


def report(python_version: str, folder: Path) -> dict[tuple[str, str], str]:
    """What pip would install, (name, version) -> SHA-256 of the wheel; raises CalledProcessError if it cannot."""
    file = folder / f"{python_version}.json"
    platforms = [f"--platform=manylinux_{version}_x86_64" for version in GLIBC_VERSIONS]
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--dry-run",
        "--ignore-installed",
    ]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python_version}", *platforms]
    command += [f"--target={folder}", f"--report={file}", "-r", str(REPOSITORY / "requirements-dev.txt")]
    subprocess.run(command, check=True)
    return parsed(json.loads(file.read_text(encoding="utf-8")))


def parsed(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    """The wheels in a report of pip."""
    wheels = {}
    for each in document["install"]:
        package = each["metadata"]["name"], each["metadata"]["version"]
        wheels[package] = each["download_info"]["archive_info"]["hashes"]["sha256"]
    return wheels


def lock_text(reports: list[dict[tuple[str, str], str]]) -> str:
    """The file: one package a paragraph, by name."""
    hashes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in reports:
        for package, digest in each.items():
            hashes[package].add(digest)
    parts = [
        " \\\n".join(
            [f"{name}=={version}", *(f"    --hash=sha256:{digest}" for digest in sorted(hashes[name, version]))]
        )
        for name, version in sorted(hashes, key=lambda package: package[0].lower())
    ]
    return HEADER + "\n".join(parts) + "\n"


def main() -> int:
    """Write the lock; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        reports = [report(version, Path(folder)) for version in PYTHON_VERSIONS]
    LOCK.write_text(lock_text(reports), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
