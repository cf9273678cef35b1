"""The pictures of the report in the README, taken of the demo's report as it lies on disk: `make demo` first.

    python docs/screenshots.py [report.html]

Writes docs/report.png (desktop) and docs/report-phone.png. Needs Chromium on the path.
"""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
sys.path.insert(0, str(REPOSITORY))

from tests.chromium import address_of, chromium, find_chromium  # noqa: E402 - needs the path above

DEMO = "demo/workspace/artifacts/*/v1/validation_report.html"
# File, and the width and height of its viewport in CSS pixels.
SHOTS = (("report.png", 1280, 1960), ("report-phone.png", 375, 1500))


def main(arguments: list[str]) -> int:
    """Take the pictures; the exit code."""
    reports = [Path(each) for each in arguments] or sorted(REPOSITORY.glob(DEMO))
    executable = find_chromium()
    if not reports or executable is None:
        print("no report: run make demo first" if not reports else "Chromium is not on the path", file=sys.stderr)
        return 2
    with chromium(executable) as browser:
        for name, width, height in SHOTS:
            page = browser.new_page()
            page.show(address_of(reports[0]), width=width, height=height)
            (DOCS / name).write_bytes(page.screenshot())
            print(f"written: docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
