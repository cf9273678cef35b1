"""Data files and models that are damaged, through `main` as the backend calls it.

    python -m tests.torture.mutations [--examples N] [--seed S] [--kinds KIND ...]

Each example is a file that the steps read, changed in bytes or in meaning, in a child of its own. Whatever it holds:
one JSON document on stdout, a documented exit status, no traceback, within two seconds and a gigabyte. Prints one JSON
object with the figures; exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from ml.errors import ERRORS
from ml.ingest.prepared.fingerprint import METADATA_KEY
from ml.predict import __main__ as predict
from ml.scripts import convert_to_onnx, data_prep, train_model
from simulation.database import TABLE, write_sqlite
from tests.pipeline.small_plant import ORGANIZATION, plant_config, simulate_small_plant, write_json
from tests.torture.crashes import LIGHT, Main, run_here

DOCUMENTED = {0, *(error.exit_code for error in ERRORS)} - {70, 143}
LIMIT_SECONDS = 2.0
LIMIT_BYTES = 1 << 30
_PATIENCE_SECONDS = 20  # of CPU, as other work may hold a child up; a child that waits for ever has six times as long
_ROWS = 1500

Random = random.Random
_ODD: list[Any] = [
    None, -1, 0, 1, 2, 10**9, 2**31 - 1, 2**63, -(2**63), 1e308, 0.5, "x", "", "../x", "1", [], {}, [[]], True,
    [1, 2, 3], [-1e9] * 50, {"a": 1}, "\u202e", "9" * 500,
]  # fmt: skip
_WORDS = [
    "",
    "nan",
    "inf",
    "1e400",
    "-1",
    "0",
    "\0",
    '"',
    "x" * 5000,
    "2024-13-45",
    "99999-01-01",
    "0000-00-00",
    "é",
    "\r",
]


@dataclass(frozen=True)
class Case:
    """A command, and the file below its workspace that is changed before it runs."""

    kind: str
    command: Main
    arguments: list[str]
    write: Callable[[Random], None]


@dataclass
class Figures:
    """What was seen."""

    examples: int = 0
    codes: dict[str, Counter[str]] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    most_bytes: int = 0
    broken: list[str] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    """Run the examples and print their figures."""
    parser = argparse.ArgumentParser(description="Damage data files and models.")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args(argv)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        figures = torture(Path(name).resolve(), options.examples, options.seed, options.kinds)
    result = {
        "examples": figures.examples,
        "codes": {kind: dict(codes.most_common()) for kind, codes in figures.codes.items()},
        "slowest seconds of CPU": round(figures.slowest_seconds, 3),
        "most MB": figures.most_bytes >> 20,
        "broken": figures.broken,
        "seconds": round(time.monotonic() - started),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 1 if figures.broken else 0


def torture(folder: Path, examples: int, seed: int = 0, kinds: list[str] | None = None) -> Figures:
    """Run `examples` of all kinds in turn; the same seed gives the same ones."""
    cases = [case for case in _cases(folder) if kinds is None or case.kind in kinds]
    figures = Figures()
    for number in range(examples):
        case = cases[number % len(cases)]
        case.write(random.Random(f"{seed} {number}"))
        told = _run(case, folder, figures)
        figures.examples += 1
        if told:
            line = f"{case.kind}, example {number} of seed {seed}: {told}"
            sys.stderr.write(f"{line}\n")
            figures.broken.append(line)
    return figures


def _run(case: Case, folder: Path, figures: Figures) -> str | None:
    """Run the command in a child; what it did that is not promised."""
    out, err = folder / "stdout", folder / "stderr"
    child = os.fork()
    if child == 0:
        status = 99
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (_PATIENCE_SECONDS, _PATIENCE_SECONDS))
            for descriptor, file in ((1, out), (2, err)):
                os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
            sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            status = case.command(case.arguments)
        finally:
            os._exit(status)
    waited, usage = _wait(child)
    seconds, size = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    figures.slowest_seconds, figures.most_bytes = max(figures.slowest_seconds, seconds), max(figures.most_bytes, size)
    text = out.read_text(errors="replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    code = document.get("error", {}).get("code", "SUCCESS")
    figures.codes.setdefault(case.kind, Counter())[code] += 1
    wrong = {
        f"ended with {waited}": waited not in DOCUMENTED,
        "not one document": text.count("\n") != 1 or (document.get("status") == "SUCCESS") != (waited == 0),
        "a traceback": "Traceback" in text + err.read_text(errors="replace"),
        f"{seconds:.1f} s": seconds > LIMIT_SECONDS,
        f"{size >> 20} MB": size > LIMIT_BYTES,
    }
    found = [name for name, is_so in wrong.items() if is_so]
    return f"{', '.join(found)}: {text[:200]}{_last_error(folder, case)}" if found else None


def _wait(child: int) -> tuple[int, Any]:
    """The exit status of the child, negative for a signal, and what it used; one that does not end is killed."""
    deadline = time.monotonic() + 6 * _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage


def _last_error(folder: Path, case: Case) -> str:
    step = case.command.__module__.rpartition(".")[2].replace("__main__", "predict")
    module = "predict" if "predict" in case.command.__module__ else step
    logs = sorted(folder.glob(f"workspace/artifacts/*/*/training_logs/{module}.log"))
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if "Error" in line]
    return f" <- {lines[-1][:200]}" if lines else ""


def _cases(folder: Path) -> list[Case]:
    """One case for each kind, in a workspace with a published version."""
    root, database = folder / "workspace", folder / "scada.sqlite"
    root.mkdir()
    write_sqlite(simulate_small_plant(), database)
    config = plant_config(database, **LIGHT)
    published = str(write_json(folder / "published.json", config))
    for step in (data_prep, train_model, convert_to_onnx):
        run_here(root, step.main, [published])
    with sqlite3.connect(database) as connection:
        table = pd.read_sql(f"SELECT * FROM {TABLE} LIMIT {_ROWS}", connection)
    return [make(folder, config, table) for make in KINDS.values()]


def _reading(kind: str, folder: Path, config: dict[str, Any], name: str, write: Callable[[Random, Path], None]) -> Case:
    """A case in which data_prep reads a file."""
    file = folder / name
    settings = {key: value for key, value in config.items() if key != "scadaDbConfig"}
    settings |= {"version": "mutated", "dataSource": {"path": str(file)}}
    if name.endswith(".sqlite"):
        settings.pop("dataSource")
        settings["scadaDbConfig"] = {**config["scadaDbConfig"], "database": str(file)}
    arguments = [str(write_json(folder / f"{kind}.json", settings))]
    return Case(kind, data_prep.main, arguments, lambda chance: write(chance, file))


def _csv(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    text = table.to_csv(index=False)

    def write(chance: Random, file: Path) -> None:
        file.write_bytes(_damaged_text(chance, text))

    return _reading("csv", folder, config, "a.csv", write)


def _gzip(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    text = table.to_csv(index=False)
    whole = gzip.compress(text.encode(), mtime=0)

    def write(chance: Random, file: Path) -> None:
        inside = chance.random() < 0.5
        file.write_bytes(gzip.compress(_damaged_text(chance, text), 1) if inside else _damaged(chance, whole))

    return _reading("csv.gz", folder, config, "a.csv.gz", write)


def _parquet(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    whole = pa.Table.from_pandas(table)

    def write(chance: Random, file: Path) -> None:
        changed = _changed_table(chance, whole) if chance.random() < 0.5 else whole
        compression = chance.choice(["snappy", "zstd", "none", "gzip"])
        pyarrow.parquet.write_table(changed, file, compression=compression, row_group_size=chance.choice([100, 1500]))
        if changed is whole:
            file.write_bytes(_damaged(chance, file.read_bytes()))

    return _reading("parquet", folder, config, "a.parquet", write)


def _sqlite(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    source = folder / "whole.db"
    with sqlite3.connect(source) as connection:
        table.to_sql(TABLE, connection, index=False)
    whole = source.read_bytes()

    def write(chance: Random, file: Path) -> None:
        file.write_bytes(_damaged(chance, whole))
        if chance.random() < 0.3:
            file.write_bytes(whole)
            column = chance.choice(list(table.columns))
            odd = chance.choice([*(word for word in _WORDS), b"\xff\xfe", 2**63 - 1, -1e308, None])
            with sqlite3.connect(file) as connection:
                some = "" if chance.random() < 0.3 else f" WHERE rowid % {chance.randint(2, 50)} = 0"
                connection.execute(f'UPDATE {TABLE} SET "{column}" = ?{some}', [odd])

    return _reading("sqlite", folder, config, "a.sqlite", write)


def _prepared(folder: Path, config: dict[str, Any], _: pd.DataFrame) -> Case:
    """Prepared data with another description, or other rows, that training uses again."""
    artifacts = folder / "workspace" / "artifacts" / ORGANIZATION
    kept = artifacts / config["version"] / "prepared_data.parquet"
    source = pyarrow.parquet.read_table(kept)
    fingerprint = json.loads(pyarrow.parquet.read_metadata(kept).metadata[METADATA_KEY])
    file = artifacts / "mutated_rows" / kept.name
    file.parent.mkdir()
    settings = {key: value for key, value in config.items() if key != "scadaDbConfig"}
    arguments = [str(write_json(folder / "prepared.json", settings | {"version": file.parent.name}))]

    def write(chance: Random) -> None:
        changed, told = source, fingerprint
        if chance.random() < 0.6:
            told = _changed_json(chance, fingerprint)
        else:
            changed = _changed_table(chance, source)
        content = json.dumps(told).encode()
        content = _damaged(chance, content) if chance.random() < 0.2 else content
        pyarrow.parquet.write_table(changed.replace_schema_metadata({METADATA_KEY: content}), file)
        if chance.random() < 0.2:
            file.write_bytes(_damaged(chance, file.read_bytes()))

    return Case("prepared", train_model.main, arguments, write)


def _metadata(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    def change(chance: Random, content: bytes) -> bytes:
        if chance.random() < 0.15:
            return _damaged(chance, content)
        metadata = json.loads(content)
        if chance.random() < 0.6:
            return json.dumps({**metadata, "engine": _changed_json(chance, metadata["engine"])}).encode()
        return json.dumps(_changed_json(chance, metadata)).encode()

    return _published("metadata", folder, config, table, "metadata.json", change)


def _onnx(folder: Path, config: dict[str, Any], table: pd.DataFrame) -> Case:
    def change(chance: Random, content: bytes) -> bytes:
        return _damaged(chance, content) if chance.random() < 0.4 else _changed_model(chance, content)

    return _published("onnx", folder, config, table, "model.onnx", change)


def _published(
    kind: str,
    folder: Path,
    config: dict[str, Any],
    table: pd.DataFrame,
    name: str,
    change: Callable[[Random, bytes], bytes],
) -> Case:
    """A case in which predict reads a published version whose manifest goes with what was changed."""
    original = folder / "workspace" / "models" / ORGANIZATION / "versions" / config["version"]
    version = original.with_name(f"{kind}_version")
    shutil.copytree(original, version)
    whole = (version / name).read_bytes()
    readings = folder / "readings.csv"
    table.head(300).to_csv(readings, index=False)
    settings = str(write_json(folder / f"{kind}.json", {**config, "version": version.name}))
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["version"] = version.name
    metadata = json.loads((version / "metadata.json").read_text())
    metadata["version"] = version.name
    if name != "metadata.json":
        _replace(version, manifest, "metadata.json", json.dumps(metadata).encode())
    else:
        whole = json.dumps(metadata).encode()

    def write(chance: Random) -> None:
        _replace(version, manifest, name, change(chance, whole))

    arguments = [settings, str(readings), str(folder / "scores.csv"), "--version", version.name]
    return Case(kind, predict.main, arguments, write)


def _replace(version: Path, manifest: dict[str, Any], name: str, content: bytes) -> None:
    (version / name).write_bytes(content)
    manifest["files"][name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (version / "manifest.json").write_text(json.dumps(manifest))


def _damaged(chance: Random, content: bytes) -> bytes:
    """The bytes with some flipped, cut, repeated, or replaced."""
    changed = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = chance.randrange(len(changed) or 1)
        match chance.randrange(5):
            case 0 | 1 if changed:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                changed[place : place + chance.randrange(64)] = chance.randbytes(chance.randrange(64))
            case 3:
                changed = changed[:place] + changed[place : place + 1000] + changed[place:]
            case _ if chance.random() < 0.3:
                del changed[place:]
            case _ if changed:
                changed[-1 - chance.randrange(min(200, len(changed)))] = chance.randrange(256)
    return bytes(changed)


def _damaged_text(chance: Random, text: str) -> bytes:
    """A CSV file with odd cells, lines, separators, line ends or bytes."""
    lines = text.splitlines()
    for _ in range(chance.choice([1, 2, 20])):
        place = chance.choice([0, chance.randrange(len(lines))])
        cells = lines[place].split(",")
        cells[chance.randrange(len(cells))] = chance.choice(_WORDS)
        lines[place] = ",".join(cells)
    if chance.random() < 0.2:
        column, word = chance.randrange(len(lines[0].split(","))), chance.choice(_WORDS)
        lines = [
            lines[0],
            *(",".join([*(c := line.split(","))[:column], word, *c[column + 1 :]]) for line in lines[1:]),
        ]
    ends = chance.choice(["\n", "\n", "\n", "\r\n", "\r", "\n\n", ""])
    content = ends.join(lines).encode(chance.choice(["utf-8"] * 6 + ["utf-16", "utf-8-sig"]))
    return _damaged(chance, content) if chance.random() < 0.3 else content


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys: list[Any] = (
        list(value) if isinstance(value, dict) else list(range(min(len(value), 5))) if isinstance(value, list) else []
    )
    return [place for key in keys for place in [(*path, key), *_places(value[key], (*path, key))]]


def _changed_json(chance: Random, value: Any) -> Any:
    """A JSON value with another value at one place, which is near its root half of the time."""
    changed = copy.deepcopy(value)
    places = _places(changed)
    near = [place for place in places if len(place) <= 2]
    *parents, last = chance.choice(near if chance.random() < 0.5 else places)
    owner = changed
    for part in parents:
        owner = owner[part]
    if chance.random() < 0.15:
        del owner[last]
    else:
        owner[last] = chance.choice(_ODD)
    return changed


def _changed_table(chance: Random, table: pa.Table) -> pa.Table:
    """A table with a column of another type or other values."""
    place, rows = chance.randrange(table.num_columns), table.num_rows
    makers: list[Callable[[], pa.Array]] = [
        lambda: pa.nulls(rows),
        lambda: pa.array([[1.0]] * rows),
        lambda: pa.array([{"a": 1}] * rows),
        lambda: pa.array([b"\xff\xfe"] * rows),
        lambda: pa.array([chance.choice(_WORDS)] * rows),
        lambda: pa.array(["x"] * rows, pa.string_view()),
        lambda: pa.array(["x"] * rows, pa.large_string()),
        lambda: pa.array([1] * rows).cast(pa.decimal256(60, 3)),
        lambda: pa.array([1] * rows, pa.duration("ns")),
        lambda: pa.array([1] * rows, pa.time64("ns")),
        lambda: pa.array([chance.choice([2**63 - 1, -(2**63), 0])] * rows, pa.timestamp("us", tz="UTC")),
        lambda: pa.array([2**40] * rows, pa.timestamp("s", tz="UTC")),
        lambda: pa.array([2**63 - 1] * rows, pa.timestamp("ns")),
        lambda: pa.array([2**31 - 1] * rows, pa.date32()),
        lambda: pa.array([chance.choice([float("inf"), -1e308, float("nan")])] * rows),
        lambda: pa.array([chance.randrange(-(2**63), 2**63) for _ in range(rows)]),
        lambda: pa.array([2**64 - 1] * rows, pa.uint64()),
        lambda: pa.array([True] * rows),
        lambda: table.column(place).combine_chunks().dictionary_encode(),
        lambda: table.column(place).combine_chunks().take(pa.array([chance.randrange(rows) for _ in range(rows)])),
        lambda: table.column(chance.randrange(table.num_columns)).combine_chunks(),
    ]
    name = table.schema.names[place] if chance.random() < 0.9 else chance.choice(["", "x", table.schema.names[0]])
    made = chance.choice(makers)()
    if pa.types.is_dictionary(table.schema.field(place).type) and pa.types.is_dictionary(made.type):
        made = table.column(place).combine_chunks()
    return table.set_column(place, name, made)


def _changed_model(chance: Random, content: bytes) -> bytes:
    """An ONNX model with another number, name, operator or node in it."""
    model = onnx.load_model_from_string(content)
    node = chance.choice(list(model.graph.node))
    trees = [each for each in model.graph.node if each.op_type == "TreeEnsemble"]
    number = chance.choice([0, -1, 1, 5, 10**6, 2**31 - 1, 2**40, -(2**40)])
    match chance.randrange(8):
        case 0 | 1 | 2 if trees:
            lists = [each for each in trees[0].attribute if each.ints]
            ids = chance.choice(lists).ints
            if chance.random() < 0.2:
                del ids[chance.randrange(len(ids)) :]
            else:
                ids[chance.randrange(len(ids))] = number
        case 3:
            node.op_type = chance.choice(
                ["Loop", "Expand", "Identity", "Exp", "Transpose", "Tile", "NoSuch", "Reshape"]
            )
        case 4:
            node.input[chance.randrange(len(node.input))] = chance.choice(
                [*(n.output[0] for n in model.graph.node), ""]
            )
        case 5:
            tensor = chance.choice(list(model.graph.initializer))
            tensor.dims[:] = [chance.choice([0, 1, 10**6, -1, 2**40]) for _ in range(chance.randrange(4))]
        case 6:
            dimension = chance.choice(list(model.graph.input[0].type.tensor_type.shape.dim))
            dimension.dim_value = number
        case _:
            shape = onnx.numpy_helper.from_array(
                __import__("numpy").array([10 ** chance.randint(1, 7)] * 2), "shape_of_it"
            )
            model.graph.initializer.append(shape)
            kind = chance.choice(["Expand", "Tile", "ConstantOfShape"])
            inputs = ["shape_of_it"] if kind == "ConstantOfShape" else [node.input[0], "shape_of_it"]
            model.graph.node.insert(0, onnx.helper.make_node(kind, inputs, ["large"]))
            node.input[0] = "large"
    return bytes(model.SerializeToString())


KINDS = {
    "csv": _csv,
    "csv.gz": _gzip,
    "parquet": _parquet,
    "sqlite": _sqlite,
    "prepared": _prepared,
    "metadata": _metadata,
    "onnx": _onnx,
}

if __name__ == "__main__":
    raise SystemExit(main())
