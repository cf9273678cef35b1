"""Where the rows of each part and fold lie: assets over time, so that anyone can see that none looks into another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ml.arrays import Bools, Float64s, Int64s
from ml.config import OrganizationConfig
from ml.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    render,
    say_nothing_to_show,
    shorten,
    time_axis,
)
from ml.errors import TooFewFailuresError
from ml.evaluation.model_version import TrainedVersion
from ml.evaluation.rows import EvaluatedData
from ml.learning.folds.splits import EventFolds
from ml.learning.held_out import HeldOut

MAX_ASSETS = 30
PART_COLOURS = {"training": BLUE, "validation": ORANGE, "test": GREEN, "purged": MUTED}
_FOLD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
_BACKGROUND = "#eef1f4"
_WIDTH, _MARGIN, _BAR = 5.0, 1.3, 0.24  # inches
_THINNEST = 1 / 1500  # of the whole time: narrower stretches are drawn as wide as this, to be seen at all


@dataclass(frozen=True)
class _Stretch:
    """Consecutive rows of one asset and one part; times as matplotlib's days."""

    line: int
    part: str
    start: float
    width: float


def split_picture(frame: pd.DataFrame, parts: Mapping[str, Bools], interval: int) -> bytes:
    """Draw which part each row belongs to, and when failures began.

    At most `MAX_ASSETS` assets are drawn, evenly chosen in their order, and the picture says so.

    Parameters
    ----------
    frame
        Grid frame, sorted by asset and time: ``asset_id``, ``timestamp`` and ``event``.
    parts
        Name -> its rows, shape ``(n_rows,)`` each; a row in none is left blank (it has no label). The names
        ``training``, ``validation``, ``test`` and ``purged`` have colours of their own, others are numbered folds.
    interval
        Grid spacing in seconds.
    """
    codes, assets = frame["asset_id"].factorize()
    chosen = np.unique(np.linspace(0, len(assets) - 1, min(len(assets), MAX_ASSETS)).astype(np.int64))
    days = date2num(frame["timestamp"].dt.tz_localize(None).to_numpy())
    stretches = _stretches(codes, chosen, days, parts, interval)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not stretches:
            say_nothing_to_show(axes, "There are no labelled rows to show.")
            return
        colours = _colours(parts)
        _whole_history(axes, codes, chosen, days)
        for stretch in stretches:
            left, width = stretch.start, max(stretch.width, _THINNEST * (days.max() - days.min()))
            axes.barh(stretch.line, width, left=left, height=0.72, color=colours[stretch.part], linewidth=0)
        _failures(axes, frame, codes, chosen, days)
        time_axis(axes)
        axes.set_yticks(range(len(chosen)), [shorten(str(assets[code]), 16) for code in chosen])
        axes.set(ylim=(len(chosen) - 0.4, -0.6), xlim=(days.min(), days.max() + interval / 86_400))
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        if len(chosen) < len(assets):
            axes.set_xlabel(f"{len(chosen)} of {len(assets)} assets")
        figure.legend(handles=_handles(parts, colours), loc="outside upper left", ncols=3)

    return render(draw, (_WIDTH, _MARGIN + _BAR * max(len(chosen), 3)))


def _stretches(
    codes: Int64s,
    chosen: Int64s,
    days: Float64s,
    parts: Mapping[str, Bools],
    interval: int,
) -> list[_Stretch]:
    """Runs of neighbouring rows of one asset and part."""
    names = list(parts)
    part = np.full(len(codes), -1, dtype=np.int64)
    for number, rows in enumerate(parts.values()):
        part[rows] = number
    borders = np.flatnonzero((np.diff(codes) != 0) | (np.diff(part) != 0)) + 1
    line_of = {int(code): line for line, code in enumerate(chosen)}
    found = []
    for first, end in zip([0, *borders], [*borders, len(codes)], strict=True):
        if end > first and part[first] >= 0 and int(codes[first]) in line_of:
            width = days[end - 1] - days[first] + interval / 86_400
            found.append(_Stretch(line_of[int(codes[first])], names[part[first]], float(days[first]), float(width)))
    return found


def _whole_history(axes: Axes, codes: Int64s, chosen: Int64s, days: Float64s) -> None:
    for line, code in enumerate(chosen):
        own = days[codes == code]
        axes.barh(line, own.max() - own.min(), left=own.min(), height=0.72, color=_BACKGROUND, linewidth=0)


def _failures(
    axes: Axes,
    frame: pd.DataFrame,
    codes: Int64s,
    chosen: Int64s,
    days: Float64s,
) -> None:
    event = frame["event"].to_numpy()
    inside = np.flatnonzero(event >= 0)
    first = inside[np.unique(event[inside], return_index=True)[1]]
    for line, code in enumerate(chosen):
        own = first[codes[first] == code]
        axes.plot(
            days[own], np.full(own.size, line), linestyle="", marker="|", markersize=9, color=INK, markeredgewidth=1.6
        )


def _colours(parts: Mapping[str, Bools]) -> dict[str, str]:
    return {
        name: PART_COLOURS.get(name, _FOLD_COLOURS[number % len(_FOLD_COLOURS)]) for number, name in enumerate(parts)
    }


def _handles(parts: Mapping[str, Bools], colours: Mapping[str, str]) -> list[Patch | Line2D]:
    shown = [Patch(color=colours[name], label=name) for name, rows in parts.items() if rows.any()]
    failure = Line2D([], [], color=INK, linestyle="", marker="|", markersize=9, markeredgewidth=1.6, label="failure")
    return [*shown, Patch(color=_BACKGROUND, label="no row, or no label"), failure]


def split_pictures(config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData) -> dict[str, bytes]:
    """PNG pictures ``split`` and ``folds``; none where the version is evaluated on a file of other rows.

    The folds are the blocks that hyperparameter_tuning.py holds out one after the other; where there are too few
    failures for them, their picture is left out.
    """
    parts = rows.parts
    if parts is None and rows.judged is not None:
        return {"folds": split_picture(rows.frame, _judged(rows, rows.judged), trained.engineer.interval)}
    if parts is None:
        return {}
    labelled = (rows.frame["label"] >= 0).to_numpy()
    interval = trained.engineer.interval
    used = parts.train | parts.validation | parts.test
    named = {
        "training": parts.train,
        "validation": parts.validation,
        "test": parts.test,
        "purged": labelled & ~used,
    }
    pictures = {"split": split_picture(rows.frame, named, interval)}
    folds = _held_out(config, trained, rows, parts.train | parts.validation)
    return pictures | ({"folds": split_picture(rows.frame, folds, interval)} if folds else {})


def _judged(rows: EvaluatedData, judged: HeldOut) -> dict[str, Bools]:
    """Rows that each fold's model was judged on."""
    masks = {}
    for number, name in enumerate(judged.parts, start=1):
        masks[name] = mask = np.zeros(len(rows.frame), dtype=np.bool_)
        mask[judged.row[judged.fold == number]] = True
    return masks


def _held_out(
    config: OrganizationConfig, trained: TrainedVersion, rows: EvaluatedData, seen: Bools
) -> dict[str, Bools]:
    """Held-out rows of each fold; empty where the folds cannot be made."""
    folds = EventFolds(
        config.tuning_config.cv_folds,
        trained.metadata.horizon_seconds,
        trained.engineer.look_back,
        trained.engineer.interval,
        config.tuning_config.random_state,
        whole_assets=trained.config.data_config.split_by == "asset",
    )
    held_out: dict[str, Bools] = {}
    try:
        for number, (_, positions) in enumerate(folds.split(rows.frame, seen), start=1):
            held_out[f"fold {number}"] = mask = np.zeros(len(seen), dtype=np.bool_)
            mask[positions] = True
    except TooFewFailuresError:
        return {}
    return held_out
