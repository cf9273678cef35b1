"""How every picture looks, and how it becomes bytes: the same data gives the same bytes.

Pictures use matplotlib's object interface only; `pyplot` keeps global state that a long-running process would share.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

# Okabe & Ito's palette (jfly.uni-koeln.de/color, 2008): told apart with every common colour vision deficiency.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9"
REFERENCE_COLOURS = (GREEN, PURPLE, ORANGE, SKY)
INK, MUTED, RULE = "#1c2733", "#5b6876", "#e3e8ee"

SQUARE = (4.6, 3.5)
"""Inches; at 96 pixels per inch about the width of a phone, so that its text stays readable there."""

_PNG_DPI = 130  # sharp enough on a dense screen and in print, at a third of the bytes of 300 dpi

_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so that no machine substitutes another
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a sensor may have a dollar sign in its name
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "eagle",  # fixed element names instead of random ones
    "svg.fonttype": "path",
}


class Picture(NamedTuple):
    """One picture as a vector image and as a bitmap."""

    svg: bytes
    png: bytes


def picture(draw: Callable[[Figure], None], size: tuple[float, float]) -> Picture:
    """Draw once on a new figure of ``size`` inches in the common style; both image files."""
    with _drawn(draw, size) as figure:
        svg = _saved(figure, "svg")
        figure.set_layout_engine("none")  # what has found its place keeps it
        return Picture(svg, _saved(figure, "png"))


def render(draw: Callable[[Figure], None], size: tuple[float, float]) -> bytes:
    """Draw on a new figure of ``size`` inches in the common style and return the bitmap's file."""
    with _drawn(draw, size) as figure:
        return _saved(figure, "png")


@contextmanager
def _drawn(draw: Callable[[Figure], None], size: tuple[float, float]) -> Iterator[Figure]:
    with style.context(["default", _STYLE]), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; that is no reason to warn the operator.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        yield figure


def _saved(figure: Figure, image_format: Literal["svg", "png"]) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if image_format == "svg" else {"Software": None}
    figure.savefig(buffer, format=image_format, dpi=_PNG_DPI, metadata=metadata)
    return buffer.getvalue()


def unit_square(axes: Axes, x_label: str, y_label: str) -> None:
    """Both axes from 0 to 1, with a little air so that lines on the border stay visible."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x_label, ylabel=y_label)


def time_axis(axes: Axes) -> None:
    """Dates below, three to nine of them."""
    locator = AutoDateLocator(minticks=3, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def say_nothing_to_show(axes: Axes, reason: str) -> None:
    """Put a sentence where a picture would be."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", va="center", color=MUTED, wrap=True, transform=axes.transAxes)


def shorten(name: str, limit: int = 34) -> str:
    """A name that can be drawn and fits beside an axis.

    Long ones lose their middle, since beginnings and endings tell them apart. Control characters, which would make an
    SVG unreadable, and invisible ones, which turn the direction of what follows, become U+FFFD.
    """
    name = "".join(character if character.isprintable() else "\ufffd" for character in name)
    if len(name) <= limit:
        return name
    tail = limit // 2
    return f"{name[: limit - tail - 1]}…{name[-tail:]}"
