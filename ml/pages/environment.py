"""Templates filled so that text stays text, and what every page may say about numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import wording

if TYPE_CHECKING:
    from jinja2 import Environment

_SHARED = Path(__file__).parent / "templates"
_WORDS = (wording.duration, wording.rate, wording.score, wording.percent, wording.count, wording.day)


@dataclass(frozen=True)
class Link:
    """Text that leads to another page; `address` is relative to the page that shows it."""

    text: str
    address: str


@dataclass(frozen=True)
class Trend:
    """One number from version to version, as a small picture: points of a line in a box of 100 by 30."""

    name: str
    first: str
    last: str
    points: str


def environment(folder: Path | None = None) -> Environment:
    """The environment for the templates in `folder`, beside those that all pages share. Everything is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([each for each in (folder, _SHARED) if each is not None]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({word.__name__: word for word in _WORDS})
    made.globals.update(plural=wording.plural)
    return made


def render(template: str, **content: Any) -> str:
    """A page of the templates that all pages share."""
    return environment().get_template(template).render(**content)


def trend(name: str, values: Sequence[float | None], words: Sequence[str]) -> Trend | None:
    """A line through the values that are known, oldest first; None with fewer than two."""
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return None
    low, high = min(value for _, value in known), max(value for _, value in known)
    across, middle, up = len(values) - 1, (low + high) / 2, (high - low) or 1.0
    points = " ".join(f"{100 * at / across:.1f},{15 - 24 * (value - middle) / up:.1f}" for at, value in known)
    return Trend(name, words[known[0][0]], words[known[-1][0]], points)
