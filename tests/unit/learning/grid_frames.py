"""Small labelled grid frames."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = pd.Timestamp("2024-01-01", tz="UTC")


def grid_frame(
    assets: dict[str, list[int]], *, failures: dict[str, list[tuple[int, int]]], horizon: int, interval: int = 60
) -> pd.DataFrame:
    """Grid frame of assets with rows at the given steps and failures over [first, last] steps, labelled by horizon."""
    parts, numbers = [], 0
    for name in sorted(assets):
        steps = np.array(assets[name])
        target = np.zeros(len(steps), dtype=np.int8)
        event = np.full(len(steps), -1, dtype=np.int32)
        for first, last in failures.get(name, []):
            inside = (steps >= first) & (steps <= last)
            if inside.any():
                target[inside], event[inside] = 1, numbers
                numbers += 1
        label = np.zeros(len(steps), dtype=np.int8)
        onset_steps = [steps[event == number].min() for number in np.unique(event[event >= 0])]
        reach = horizon // interval
        for row, step in enumerate(steps):
            if any(step < onset <= step + reach for onset in onset_steps):
                label[row] = 1
            elif step + reach > steps[-1]:
                label[row] = -1
        label = target.copy() if horizon == 0 else np.where(event >= 0, -1, label).astype(np.int8)
        seconds = pd.to_timedelta(steps * interval, unit="s")
        parts.append(
            pd.DataFrame(
                {
                    "asset_id": name,
                    "timestamp": (START + seconds).astype("datetime64[us, UTC]"),
                    "target": target,
                    "event": event,
                    "label": label,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def with_given_labels(assets: dict[str, list[int]], interval: int = 60) -> pd.DataFrame:
    """Frame whose labels were made elsewhere: one per asset and step, no events."""
    frame = grid_frame({name: list(range(len(labels))) for name, labels in assets.items()}, failures={}, horizon=0)
    frame["timestamp"] = START + pd.to_timedelta(
        np.concatenate([np.arange(len(labels)) * interval for _, labels in sorted(assets.items())]), unit="s"
    )
    frame["label"] = np.concatenate([labels for _, labels in sorted(assets.items())]).astype(np.int8)
    return frame


def regular_plant(
    n_assets: int, n_steps: int, every: int, *, horizon: int, interval: int = 60, length: int = 3
) -> pd.DataFrame:
    """Assets that fail every `every` steps, shifted against each other."""
    names = [f"pump{number:02d}" for number in range(n_assets)]
    failures = {
        name: [(step, step + length - 1) for step in range(every // 2 + 2 * shift, n_steps - length, every)]
        for shift, name in enumerate(names)
    }
    steps = list(range(n_steps))
    return grid_frame(dict.fromkeys(names, steps), failures=failures, horizon=horizon, interval=interval)
