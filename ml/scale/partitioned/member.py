"""One member of a training group, as a process of its own.

    python -P -m ml.scale.partitioned.member PARENT

A worker starts it, writes a pickled `MemberRequest` to its stdin, and reads JSON lines from its stdout: ``{"rows": n}``
while rows are binned, ``{"round": n}`` while trees grow, at last ``{"model": text}``, or ``{"error": {...}, "lost":
bool, "traceback": text}``. A process can be ended; a thread inside LightGBM that waits for a dead member cannot. And
nothing of the organisation is left on the worker once it has ended.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb

from ml.arrays import Float32s
from ml.features import FeatureEngineer
from ml.learning.estimators.lightgbm import LightGBM
from ml.options.learning import TrainingConfig
from ml.scale.partitioned.exchange import Address, Exchange
from ml.scale.partitioned.masks import Mask
from ml.scale.partitioned.stopping_metric import summed_metric
from ml.scale.partitioned.stored import Stored, StoredFeatureRows, StoredRows
from ml.scale.partitioned.tasks import State
from ml.scale.processes import failure_of
from ml.workspace.process.parent_death import end_with

WAIT_SECONDS = 1800
"""How long a member waits for the others to get as far as it has."""

_WAIT_MINUTES = WAIT_SECONDS // 60
# What LightGBM writes into the model of how it was fitted: of one machine by itself.
_ALONE = {
    "tree_learner": "serial",
    "num_machines": "1",
    "local_listen_port": "12400",
    "time_out": "120",
    "machines": "",
}
_LABEL = ("label",)

Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Group:
    """How the members of a group reach each other."""

    machines: tuple[Address, ...]  # where LightGBM of each member listens, in the order of ranks
    exchange: Address  # where rank 0 adds up metrics
    token: bytes  # shared by the members


@dataclass(frozen=True)
class MemberRows:
    """One member's rows: to fit, and to stop by; None where nothing is stopped."""

    rank: int
    rows: Mask
    stop_by: Mask | None


@dataclass(frozen=True)
class Growth:
    """What all members of a group must know. It holds no secret."""

    stored: Stored  # the prepared file
    state: State
    settings: TrainingConfig
    names: tuple[str, ...]  # the features' names
    parameters: dict[str, Any]  # LightGBM's, from the labels of all members
    sample: Float32s  # scaled features of the rows that give the bins their thresholds, the same for every member


@dataclass(frozen=True)
class MemberRequest:
    """What one member is to do; without a group it is alone, and fits what the local engine fits, to the bit."""

    common: Growth
    share: MemberRows
    group: Group | None


def fit(order: MemberRequest, tell: Tell) -> str:
    """Bin this member's rows, grow the trees with the others, and give LightGBM's text of them.

    Raises ConfigError if LightGBM refuses a parameter's value for these rows, and lightgbm.basic.LightGBMError or
    OSError if another member is gone, or a port is taken.
    """
    common = order.common
    estimator = LightGBM(common.settings)
    rows = StoredRows(common.stored)
    engineer = FeatureEngineer.from_dict(common.state)
    reference = estimator.reference(common.sample, names=common.names)

    def part(mask: Mask, like: lgb.Dataset) -> lgb.Dataset:
        features = StoredFeatureRows(engineer, rows, mask, on_rows=lambda count: tell({"rows": count}))
        label = rows.rows(mask.start, mask.end, _LABEL)["label"].to_numpy()[mask.wanted]
        return estimator.part_of_dataset(features, label, names=common.names, reference=like)

    train = part(order.share.rows, reference)
    valid = None if order.share.stop_by is None else part(order.share.stop_by, train)
    del reference

    def on_round(done: int, _: int) -> None:
        tell({"round": done})

    if order.group is None:
        text: str = estimator.fit_binned(train, valid, names=common.names, on_round=on_round).booster.model_to_string()
        return text
    return _fit_together(order, order.group, estimator, train, valid, on_round)


def _fit_together(
    order: MemberRequest,
    group: Group,
    estimator: LightGBM,
    train: lgb.Dataset,
    valid: lgb.Dataset | None,
    on_round: Callable[[int, int], None],
) -> str:
    common = order.common
    parameters = common.parameters | {
        "num_threads": estimator.threads,
        "tree_learner": "data",
        "machines": ",".join(f"{host}:{port}" for host, port in group.machines),
        "num_machines": len(group.machines),
        "local_listen_port": group.machines[order.share.rank][1],
        "time_out": _WAIT_MINUTES,
    }
    metric = common.settings.lgb_params.metric
    exchange = Exchange(group.exchange, order.share.rank, len(group.machines), group.token, WAIT_SECONDS)
    with nullcontext() if valid is None else exchange:
        booster = lgb.train(
            parameters | {"metric": "None"},
            train,
            num_boost_round=common.settings.lgb_params.num_iterations,
            valid_sets=None if valid is None else [valid],
            feval=None if valid is None else summed_metric(metric, exchange.sum),
            callbacks=estimator.callbacks(valid is not None, on_round),
        )
    return _as_if_alone(booster.model_to_string(), metric)


def _as_if_alone(text: str, metric: str) -> str:
    """The model without the group's addresses: who fitted it is not part of it."""
    for name, value in {**_ALONE, "metric": metric}.items():
        text = re.sub(rf"^\[{name}: .*\]$", f"[{name}: {value}]", text, count=1, flags=re.MULTILINE)
    return text


def main(parent: str) -> int:
    """Run the order on stdin; returns the exit status."""
    end_with(int(parent))
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as lines:
        os.dup2(2, 1)  # libraries print to stdout

        def tell(event: dict[str, Any]) -> None:
            lines.write(json.dumps(event) + "\n")
            lines.flush()

        try:
            tell({"model": fit(pickle.load(sys.stdin.buffer), tell)})
        except Exception as error:
            lost = isinstance(error, lgb.basic.LightGBMError | OSError)
            tell({"lost": lost, **failure_of(error, "a member")})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
