"""Pictures of how a model scores: curves, confusion, distributions, robustness, importance.

Every function returns an image file; ``svg`` for the report, ``png`` for the plot folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from ml import wording
from ml.arrays import Int64s
from ml.drawing import (
    BLUE,
    INK,
    MUTED,
    REFERENCE_COLOURS,
    RULE,
    SQUARE,
    VERMILION,
    Picture,
    picture,
    say_nothing_to_show,
    shorten,
    unit_square,
)
from ml.evaluation.metrics import as_labels_and_scores, average_precision, complete_score, roc_auc
from ml.evaluation.perturbations.robustness import RobustnessPoint
from ml.evaluation.report.curves import calibration_points, precision_recall_points, roc_points
from ml.learning.events.naming import confusion_matrix

TOP_FEATURES = 20
ROBUSTNESS_AXES = {
    "noise": "Noise, in standard deviations",
    "missing": "Readings removed",
    "stuck": "Sensors stuck, most relied on first",
    "lost": "Sensors lost, most relied on first",
    "jitter": "Readings late or early, in intervals",
}
ROBUSTNESS_SHARES = {"missing", "stuck", "lost"}
_HISTOGRAM_BINS = 40
_MANY_NAMES = 6  # from here on a matrix has room for counts alone
_ONE_CLASS = "The rows hold one class only:\nthere is no curve to draw."


def roc(
    label: ArrayLike,
    probability: ArrayLike,
    references: Mapping[str, ArrayLike] | None = None,
) -> Picture:
    """ROC curves of the model and of reference scores, shape ``(n_rows,)`` each."""
    truth, _ = as_labels_and_scores(label, probability)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if roc_points(truth, np.zeros(truth.size)) is None:
            say_nothing_to_show(axes, _ONE_CLASS)
            return
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
        for name, score, look in _lines(probability, references):
            curve = roc_points(truth, score)
            if curve is not None:
                axes.plot(curve.x, curve.y, label=f"{name} ({wording.score(roc_auc(truth, score))})", **look)
        unit_square(axes, "False positive rate", "True positive rate")
        _legend(axes, "Area under the curve", "lower right")

    return picture(draw, SQUARE)


def precision_recall(
    label: ArrayLike,
    probability: ArrayLike,
    references: Mapping[str, ArrayLike] | None = None,
) -> Picture:
    """Precision-recall curves of the model and of reference scores, over the base rate."""
    truth, _ = as_labels_and_scores(label, probability)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not truth.any():
            say_nothing_to_show(axes, _ONE_CLASS)
            return
        base_rate = float(truth.mean())
        axes.axhline(base_rate, color=MUTED, linewidth=1, linestyle=":", label=f"base rate ({base_rate:.3f})")
        for name, score, look in _lines(probability, references):
            curve = precision_recall_points(truth, score)
            if curve is not None:
                text = f"{name} ({wording.score(average_precision(truth, score))})"
                axes.plot(curve.x, curve.y, drawstyle="steps-pre", label=text, **look)
        unit_square(axes, "Recall", "Precision")
        _legend(axes, "Average precision", "best")

    return picture(draw, SQUARE)


def calibration(label: ArrayLike, probability: ArrayLike) -> Picture:
    """Predicted probability against what happened; the area of a dot grows with its rows."""
    points = calibration_points(label, probability)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="perfectly calibrated")
        axes.plot(points.predicted, points.observed, color=BLUE, label="model")
        area = 18 + 160 * np.sqrt(points.rows / max(points.rows.max(initial=1), 1))
        axes.scatter(points.predicted, points.observed, s=area, color=BLUE, edgecolors="white", zorder=3)
        unit_square(axes, "Predicted probability", "Share of positive rows")
        _legend(axes, None, "upper left")

    return picture(draw, SQUARE)


def score_distribution(label: ArrayLike, probability: ArrayLike, threshold: float) -> Picture:
    """How many rows of each class get which probability, on a logarithmic scale, with the alarm threshold."""
    truth, score = as_labels_and_scores(label, probability)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1).tolist()
        for rows, colour, name in ((score[~truth], BLUE, "negative rows"), (score[truth], VERMILION, "positive rows")):
            axes.hist(rows, bins=edges, histtype="stepfilled", color=colour, alpha=0.35, label=name)
            axes.hist(rows, bins=edges, histtype="step", color=colour, linewidth=1.2)
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold ({threshold:.3g})")
        axes.set(xlim=(0, 1), yscale="log", xlabel="Probability", ylabel="Rows")
        axes.set_ylim(bottom=0.8)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        _legend(axes, None, "best")

    return picture(draw, SQUARE)


def confusion(matrix: Sequence[Sequence[int]]) -> Picture:
    """The confusion matrix ``((tn, fp), (fn, tp))``, shaded by the share of each true class."""
    counts = np.asarray(matrix, dtype=np.int64)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _shaded(axes, counts, ["no alarm", "alarm"], ["negative", "positive"])
        axes.set(xlabel="Model says", ylabel="Row is")

    return picture(draw, SQUARE)


def named_modes(confusion: Mapping[str, Mapping[str, int]]) -> Picture:
    """Failures by mode and by what the model named them at their highest alarm row, or missed."""
    modes, named, counts = confusion_matrix(confusion)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _shaded(axes, counts, [shorten(name) for name in named], [shorten(name) for name in modes])
        axes.set(xlabel="Model says", ylabel="Failure is")
        axes.tick_params(axis="x", rotation=0 if len(named) < _MANY_NAMES else 90)

    return picture(draw, SQUARE)


def _shaded(axes: Axes, counts: Int64s, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Counts with their share of the row, which shades them."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shades = LinearSegmentedColormap.from_list("shades", ["#f4f8fb", BLUE])
    axes.imshow(shares, cmap=shades, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks(range(len(rows)), list(rows), rotation=90, va="center")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    small = max(counts.shape) >= _MANY_NAMES
    for (row, column), share in np.ndenumerate(shares):
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if share > 0.5 else INK}
        size = 15 if counts.shape == (2, 2) else 12
        axes.text(column, row - (0 if small else 0.06), f"{counts[row, column]:,}", fontsize=size, **look)
        if not small:
            axes.text(column, row + 0.14, f"{share:.1%}", **look)


def robustness(points: Sequence[RobustnessPoint], kind: str) -> Picture:
    """Average precision, AUC and F1 against the level of one kind of trouble."""
    chosen = [point for point in points if point.kind == kind]
    levels = [point.level for point in chosen]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for name, values, marker, colour in (
            ("Average precision", [point.average_precision for point in chosen], "o", BLUE),
            ("ROC AUC", [point.auc for point in chosen], "s", REFERENCE_COLOURS[0]),
            ("F1", [point.f1 for point in chosen], "^", VERMILION),
        ):
            heights = np.array(values, dtype=np.float64)
            axes.plot(levels, heights, marker=marker, markersize=4.5, color=colour, label=name)
        axes.set(ylim=(-0.02, 1.02), xlabel=ROBUSTNESS_AXES[kind], xticks=levels)
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        if kind in ROBUSTNESS_SHARES:
            axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
        figure.legend(loc="outside upper left", ncols=3)

    return picture(draw, SQUARE)


def perturbed_kinds(points: Sequence[RobustnessPoint]) -> list[str]:
    """Kinds of trouble that some level above 0 was measured of."""
    return [kind for kind in ROBUSTNESS_AXES if any(point.kind == kind and point.level > 0 for point in points)]


def importance(gains: Mapping[str, float]) -> Picture:
    """The `TOP_FEATURES` features with the largest share of the gain."""
    total = sum(gains.values())
    top = sorted(gains.items(), key=lambda item: (-item[1], item[0]))[:TOP_FEATURES]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if not top or total <= 0:
            say_nothing_to_show(axes, "The model uses no feature.")
            return
        positions = np.arange(len(top))
        axes.barh(positions, [gain / total for _, gain in top], color=BLUE, height=0.7)
        axes.set_yticks(positions, [shorten(name) for name, _ in top])
        axes.invert_yaxis()
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.margins(y=0.02)
        axes.set_xlabel("Share of the total gain")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0, labelcolor=INK)

    return picture(draw, (6.4, 1.0 + 0.24 * max(len(top), 4)))


def _lines(
    probability: ArrayLike, references: Mapping[str, ArrayLike] | None
) -> list[tuple[str, np.ndarray, dict[str, Any]]]:
    """Name, complete score and look of each line: references below, the model on top of them."""
    lines: list[tuple[str, np.ndarray, dict[str, Any]]] = []
    for i, (name, score) in enumerate((references or {}).items()):
        look = {"color": REFERENCE_COLOURS[i % len(REFERENCE_COLOURS)], "linestyle": "--", "linewidth": 1.4}
        lines.append((shorten(name), complete_score(score), look))
    lines.append(("model", np.asarray(probability, dtype=np.float32), {"color": BLUE, "linewidth": 2.2}))
    return lines


def _legend(axes: Axes, title: str | None, place: str) -> None:
    legend = axes.legend(loc=place, title=title, title_fontsize=8.5, alignment="left", frameon=True, framealpha=0.85)
    legend.get_frame().set(edgecolor=RULE, linewidth=0)
    legend.get_title().set_color(MUTED)
