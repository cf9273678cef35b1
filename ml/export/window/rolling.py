"""The rolling statistics of a window graph: one branch for complete windows, one for windows with missing samples.

A window without a missing sample needs neither masks nor counts, which saves a third of the nodes. Both branches add
the same numbers in the same order and so give the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ml.export.builder import GraphBuilder
from ml.export.window.readings import View
from ml.export.window.samples import PartialSamples, Samples
from ml.export.window.statistics import WindowStatistics
from ml.export.window.tensors import Tensor


@dataclass(frozen=True)
class Wanted:
    """Statistics to compute, of these channels over these windows (ascending)."""

    statistics: tuple[str, ...]
    channels: tuple[str, ...]
    windows: tuple[int, ...]
    name: str = ""
    """What stands before the statistics' names in the result, where another entry has the same statistics."""


@dataclass(frozen=True)
class Rolling:
    """One statistic: float64 (n_windows, N, n_channels), before its rounding to float32."""

    values: Tensor
    channels: tuple[str, ...]
    windows: tuple[int, ...]


def add_rolling(view: View, wanted: Sequence[Wanted]) -> Mapping[str, Rolling]:
    """Every wanted statistic by the name of its entry and its own; no two of `wanted` have both in common."""
    named = {name for each in wanted for name in each.channels}
    channels = tuple(name for name in view.channels if name in named)
    longest = max(each.windows[-1] for each in wanted)
    values = view.over_time(channels, longest)
    graph = values.graph

    def branch(name: str, samples_of: type[Samples]) -> tuple[GraphBuilder, list[str]]:
        inner = graph.branch(name)
        outputs = []
        for each in wanted:
            seen = View(Tensor(inner, values.name), channels, longest)
            samples = samples_of(seen.over_time(each.channels, each.windows[-1]), each.windows[-1], len(each.channels))
            made = WindowStatistics(samples, each.windows, len(each.channels))
            outputs += [getattr(made, statistic)().name for statistic in each.statistics]
        return inner, outputs

    # NaN stands for a missing sample, and one NaN makes the sum NaN; so do readings too large to add, harmlessly.
    missing = values.sum_of_all().is_nan()
    names = graph.choose(missing.name, branch("partial", PartialSamples), branch("complete", Samples))
    return {
        each.name + statistic: Rolling(Tensor(graph, name), each.channels, each.windows)
        for (each, statistic), name in zip(
            ((each, statistic) for each in wanted for statistic in each.statistics), names, strict=True
        )
    }
