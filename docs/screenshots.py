"""The pictures of the documentation, taken of what lies in a workspace: `make demo` first.

    python docs/screenshots.py [workspace]

Writes docs/report.png, docs/index.png, docs/compare.png and docs/fleet.png (desktop), the same with -phone, and
docs/terminal.png. A comparison needs two versions and the fleet a run of `python -m ml.fleet` in this workspace;
they are left out without. Needs Chromium on the path.
"""

from __future__ import annotations

import html
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
sys.path.insert(0, str(REPOSITORY))

from tests.chromium import Browser, address_of, chromium, find_chromium  # noqa: E402 - needs the path above

DEMO = REPOSITORY / "demo" / "workspace"
# Name, where it lies in the workspace, and the heights of its desktop and phone picture in CSS pixels.
PAGES = (
    ("report", "artifacts/*/v1/validation_report.html", 1960, 1500),
    ("index", "artifacts/*/index.html", 760, 1100),
    ("compare", "artifacts/*/*/compared_with_*.html", 1100, 1100),
    ("fleet", "fleet_summary/summary.html", 840, 1100),
)
DESKTOP, PHONE = 1280, 390
_TERMINAL = "<!doctype html><body style='margin:0;background:#11161c'><pre style='{}'>{}</pre>"
_STYLE = "color:#e8edf2;font:15px/1.5 monospace;padding:18px 22px;white-space:pre-wrap;max-width:106ch"


def main(arguments: list[str]) -> int:
    """Take the pictures; the exit code."""
    workspace = Path(arguments[0]).absolute() if arguments else DEMO
    executable = find_chromium()
    if executable is None or not list(workspace.glob(PAGES[0][1])):
        print(
            "Chromium is not on the path" if executable is None else "no report: run make demo first", file=sys.stderr
        )
        return 2
    shown = terminal(workspace)
    with chromium(executable) as browser, tempfile.TemporaryDirectory() as folder:
        screen = Path(folder) / "terminal.html"
        screen.write_text(_TERMINAL.format(_STYLE, html.escape(shown)), encoding="utf-8")
        take(browser, screen, "terminal.png", 1000, 24 * (shown.count("\n") + 4))
        for name, pattern, tall, taller in PAGES:
            for page in sorted(workspace.glob(pattern))[:1]:
                take(browser, page, f"{name}.png", DESKTOP, tall)
                take(browser, page, f"{name}-phone.png", PHONE, taller)
    return 0


def terminal(workspace: Path) -> str:
    """What a person sees who lists the versions and runs what is not done yet, with the commands as typed."""
    config = os.path.relpath(workspace.parent / "config.json", REPOSITORY)
    told = ""
    for command in (f"list {config}", f"run {config}"):
        ours, theirs = pty.openpty()
        words = [str(REPOSITORY / ".venv" / "bin" / "eagle-ml"), "--workspace", str(workspace), *command.split()]
        with subprocess.Popen(words, cwd=REPOSITORY, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            seen = b""
            while True:
                try:
                    seen += os.read(ours, 4096)
                except OSError:  # the process has ended
                    break
        os.close(ours)
        text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen.decode().replace("\r\n", "\n"))
        text = text.replace(f"{workspace.parent.resolve()}/", f"{Path(config).parent}/")
        told += f"$ .venv/bin/eagle-ml {command}\n{text}\n"
        if process.returncode:
            print(f"{command}: exit status {process.returncode}", file=sys.stderr)
    return told


def take(browser: Browser, file: Path, name: str, width: int, height: int) -> None:
    """One picture of a page, from its top."""
    page = browser.new_page()
    page.show(address_of(file), width=width, height=height)
    (DOCS / name).write_bytes(page.screenshot())
    print(f"written: docs/{name}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
