"""Configurations that nobody would write, through `main` as the backend calls it.

    python -m tests.torture.fuzzing [--examples N]

Whatever the file holds: one JSON document on stdout, a documented exit status, no traceback, within a second. Prints
one JSON object with the figures; an example that breaks a promise is shown by hypothesis, and ends it.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ml.errors import ERRORS, MissingArtifactError
from ml.scripts import convert_to_onnx, data_prep, hyperparameter_tuning, train_model, validate_model
from tests.pipeline.small_plant import plant_config

DOCUMENTED = {0, *(error.exit_code for error in ERRORS)} - {70, 143}
STEPS = (data_prep, hyperparameter_tuning, train_model, validate_model, convert_to_onnx)
LIMIT_SECONDS = 1.0

# Nothing listens there, and no example may name another host.
_NOT_CHANGED = {"host", "driver"}
_TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        ["", "..", "../plant_b", "/etc/passwd", "\0", "a" * 10_000, "'; DROP TABLE x; --", "NaN", "%2e%2e", "con"]
    ),
    st.sampled_from(
        ["2024-01-01", "2024-13-45T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "UTC", "Mars/X"]
    ),
)
_NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, -1, 10**400, 1e308, -0.0]))
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=6,
)
_CHANGES = st.sampled_from(["replace", "remove", "add", "wrap", "repeat"])


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value that may be changed."""
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    )
    return [
        place for key in keys if key not in _NOT_CHANGED for place in [(*path, key), *_places(value[key], (*path, key))]
    ]


@st.composite
def configurations(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """The text of `valid` after one to four changes, and sometimes damaged as text."""
    config = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(config)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        owner: Any = config
        for key in parents:
            owner = owner[key]
        match draw(_CHANGES):
            case "replace":
                owner[last] = draw(VALUES)
            case "remove":
                del owner[last]
            case "add" if isinstance(owner, dict):
                owner[draw(_TEXTS)] = draw(VALUES)
            case "wrap":
                owner[last] = [owner[last]]
            case _:
                owner[last] = [owner[last], owner[last]]
    text = json.dumps(config).encode()
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(text)))
        text = text[:cut] + draw(st.binary(max_size=8)) + text[cut + draw(st.integers(0, 8)) :]
    return text


@dataclass
class Figures:
    """What was seen."""

    examples: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest_seconds: float = 0.0


def fuzz(folder: Path, examples: int, *, seconds: Callable[[], float] = time.process_time) -> Figures:
    """Run `examples` configurations through the steps; raises AssertionError for one that breaks a promise."""
    root = (folder / "workspace").resolve()
    root.mkdir()
    os.environ["ML_BASE_PATH"] = str(root)
    # A database that is not there: what passes every check ends there, before anything is computed.
    valid = plant_config(folder / "missing.sqlite")
    file = folder / "config.json"
    figures = Figures()
    for step in STEPS:  # imports the numerical libraries
        file.write_text(json.dumps(valid))
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            assert step.main([str(file)]) == MissingArtifactError.exit_code

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(text=configurations(valid), step=st.sampled_from(STEPS))
    def run(text: bytes, step: Any) -> None:
        file.write_bytes(text)
        out, err = io.StringIO(), io.StringIO()
        started = seconds()
        with redirect_stdout(out), redirect_stderr(err):
            status = step.main([str(file)])
        took = seconds() - started
        told = out.getvalue()
        document = json.loads(told)
        assert told.count("\n") == 1
        assert status in DOCUMENTED, document
        assert (document["status"] == "SUCCESS") == (status == 0)
        assert "Traceback" not in told + err.getvalue()
        assert took < LIMIT_SECONDS, (took, document)
        figures.slowest_seconds = max(figures.slowest_seconds, took)
        figures.examples += 1
        figures.codes[document["error"]["code"] if status else "SUCCESS"] += 1

    run()
    return figures


def main(argv: list[str] | None = None) -> int:
    """Fuzz and print the figures."""
    parser = argparse.ArgumentParser(description="Fuzz configurations.")
    parser.add_argument("--examples", type=int, default=20_000)
    examples = parser.parse_args(argv).examples
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        figures = fuzz(Path(folder), examples)
    result = {
        "examples": figures.examples,
        "codes": dict(figures.codes.most_common()),
        "slowest seconds of CPU": round(figures.slowest_seconds, 3),
        "most MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,  # of all examples in this one process
        "seconds": round(time.monotonic() - started),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
