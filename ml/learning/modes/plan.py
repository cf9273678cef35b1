"""Which modes of failure are told apart, and which of them the rows before a failure speak of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from ml.arrays import Bools
from ml.config import OrganizationConfig
from ml.export.modes import Modes
from ml.findings import Finding
from ml.learning.events.failures import failure_numbers, onsets
from ml.modes import OTHER, split_modes

_FIELD = "trainingConfig.minFailuresPerMode"


@dataclass(frozen=True)
class ModePlan:
    """Which modes are told apart.

    Attributes
    ----------
    names
        Names of the modes that have a model, in order; none where there are not two to tell apart.
    name_of
        Mode as the data has it -> its name here: its own, or ``other``; those that have no model are missing.
    failures
        Failures by mode among the rows that decided, as the data names them.
    """

    names: tuple[str, ...] = ()
    name_of: Mapping[str, str] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, config: OrganizationConfig, frame: pd.DataFrame, rows: Bools) -> Self:
        """The modes with enough failures among some rows of a grid frame; rarer ones are pooled into ``other``."""
        if "modes" not in frame.columns:
            return cls()
        numbers = failure_numbers(frame, config.data_config.prediction_horizon_seconds)[rows]
        begun = onsets(frame)
        texts = begun["modes"][begun["event"].isin(numbers[numbers >= 0])]
        counts = Counter(name for text in texts for name in split_modes(text))
        least = config.training_config.min_failures_per_mode
        often = [name for name in sorted(counts) if counts[name] >= least]
        rare = [name for name in sorted(counts) if counts[name] < least]
        name_of = {name: name for name in often}
        pooled = sum(bool(set(split_modes(text)) & set(rare)) for text in texts)
        if rare and (pooled >= least or OTHER in often):
            name_of |= dict.fromkeys(rare, OTHER)
        names = tuple(dict.fromkeys([*often, *name_of.values()]))
        several = len(names) > 1
        return cls(names if several else (), name_of if several else {}, dict(sorted(counts.items())))

    @classmethod
    def described(cls, modes: Modes | None) -> Self:
        """The plan that metadata describes."""
        return cls() if modes is None else cls(modes.names, modes.name_of, modes.failures)

    @property
    def pooled(self) -> tuple[str, ...]:
        """Modes that count as ``other``."""
        return tuple(mode for mode, name in self.name_of.items() if name == OTHER and mode != OTHER)

    def named(self, modes: Iterable[str]) -> list[str]:
        """The names of modes; those without a model are left out."""
        return list(dict.fromkeys(self.name_of[mode] for mode in modes if mode in self.name_of))

    def labels(self, frame: pd.DataFrame, horizon: int) -> Bools:
        """Which modes the failure of each positive row began in, (n_rows, n_modes)."""
        return of_failures(frame, horizon, lambda text: [name in self.named(split_modes(text)) for name in self.names])

    def findings(self) -> list[Finding]:
        """What was pooled or left out."""
        if not self.failures:
            return []
        counts = ", ".join(f"{name} {count}" for name, count in self.failures.items())
        if not self.names:
            told = f"modes of failure are not told apart: fewer than two have enough failures to learn from ({counts})"
            return [Finding("MODES_NOT_TOLD_APART", told, _FIELD, "give more history, or group modes")]
        found = []
        left_out = [mode for mode in self.failures if mode not in self.name_of]
        if self.pooled:
            told = f"modes with few failures are one mode, {OTHER!r}: {', '.join(self.pooled)} ({counts})"
            found.append(Finding("MODES_POOLED", told, _FIELD))
        if left_out:
            told = f"modes with few failures are never named: {', '.join(left_out)} ({counts})"
            found.append(Finding("MODES_LEFT_OUT", told, _FIELD))
        return found


def of_failures(frame: pd.DataFrame, horizon: int, tell: Callable[[str], list[bool]]) -> Bools:
    """What is told of the modes, as text, of each positive row's failure: (n_rows, n_told), false on other rows."""
    begun = onsets(frame)
    table = np.zeros((int(frame["event"].max()) + 2, len(tell(""))), dtype=np.bool_)  # the last: no known failure
    for event, text in zip(begun["event"], begun["modes"], strict=True):
        table[event] = tell(text)
    numbers = failure_numbers(frame, horizon)
    return np.asarray(table[np.where((numbers >= 0) & (numbers < len(table)), numbers, -1)])
