"""Pages are read by people whose first language is another one: sentences are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
LONGEST_MEAN = 16
WITHOUT_SENTENCES = {"glossary.md", "licences.md", "CHANGELOG.md"}  # tables, and a list of keys
PAGES = sorted(
    page
    for page in [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
    if page.name not in WITHOUT_SENTENCES
)


def sentences(text: str) -> list[list[str]]:
    """Words of each sentence of prose: no code, no table, no heading, no generated part; an item ends a sentence."""
    text = re.sub(r"<!-- generated:.*?<!-- end generated -->", "", text, flags=re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(\||#|!\[|<|\[!).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"^\s*([-*]|\d+\.)\s", "\n\n", text, flags=re.MULTILINE)
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", text))
    parts = (part for block in blocks for part in re.split(r"(?<=[.!?])[)*`\"]*\s+", block))
    return [words for part in parts if len(words := re.findall(r"[\w`/.'{}*-]*\w[\w`/.'{}*-]*", part)) > 1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_sentences_are_short_on_average(page: Path) -> None:
    lengths = [len(words) for words in sentences(page.read_text(encoding="utf-8"))]
    assert lengths, "the page has no sentence; is it still read?"
    assert sum(lengths) / len(lengths) <= LONGEST_MEAN


def test_sentences_are_found_where_a_reader_finds_them() -> None:
    text = "# Title\n\nOne two three. Four five!\n\n| a | b |\n\n```\ncode\n```\n\n- six [link](a/b.md)\n- eight nine"
    assert [len(words) for words in sentences(text)] == [3, 2, 2, 2]
