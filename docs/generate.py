"""Write what the documentation repeats from the code, so that it cannot differ from it.

    python docs/generate.py           write
    python docs/generate.py --check   change nothing; exit status 1 if something is out of date

Pages hold ``<!-- generated: NAME -->`` and ``<!-- end generated -->``; what lies between is replaced by the part of
that name. JSON Schemas and TypeScript types are written as files of their own.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from docs import configuration_tables, licence_table, reference_tables, scaling_tables, typescript_types  # noqa: E402 - found through the line above
from ml.config import OrganizationConfig  # noqa: E402
from ml.export.metadata import metadata_schema  # noqa: E402

PARTS: dict[str, Callable[[], str]] = {
    "configuration overview": configuration_tables.section_overview,
    "configuration reference": configuration_tables.full_reference,
    "flat keys": configuration_tables.flat_keys,
    "names of others": configuration_tables.names_of_others,
    "licences": licence_table.licence_table,
    **reference_tables.PARTS,
    **scaling_tables.PARTS,
}
SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "ml/config/organization.schema.json": OrganizationConfig.json_schema,
    "docs/metadata.schema.json": metadata_schema,
}
MODULES: dict[str, Callable[[], str]] = {"examples/node/src/metadata.ts": typescript_types.metadata_types}
_BLOCK = re.compile(r"(?<=<!-- generated: )(?P<name>[^>]+?)( -->\n).*?(?=<!-- end generated -->)", re.DOTALL)


def pages() -> list[Path]:
    """The pages that may hold generated parts."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def filled(page: str) -> str:
    """A page's text with every generated part as it should be now.

    Raises
    ------
    KeyError
        If it asks for a part that does not exist.
    """
    return _BLOCK.sub(lambda block: f"{block['name']}{block[2]}{PARTS[block['name']]()}\n", page)


def wanted_files() -> dict[Path, str]:
    """Each file that this program keeps up to date, with the text it should have."""
    texts = {page: filled(page.read_text(encoding="utf-8")) for page in pages()}
    schemas = {
        REPOSITORY / name: json.dumps(make(), indent=2, ensure_ascii=False) + "\n" for name, make in SCHEMAS.items()
    }
    modules = {REPOSITORY / name: make() for name, make in MODULES.items()}
    return texts | schemas | modules


def outdated() -> dict[Path, str]:
    """Those of the files that differ, with the text they should have."""
    return {
        file: text
        for file, text in wanted_files().items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    }


def main(argv: list[str] | None = None) -> int:
    """Write or check; returns the exit status."""
    parser = argparse.ArgumentParser(prog="docs/generate.py", description="Generate parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit status 1 if outdated")
    check = parser.parse_args(argv).check
    changed = outdated()
    for file, text in changed.items():
        if not check:
            file.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{'out of date' if check else 'written'}: {file.relative_to(REPOSITORY)}\n")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
