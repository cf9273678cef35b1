"""How fast a PostgreSQL table becomes Parquet, and with how much memory, against `pandas.read_sql_query`.

    .venv/bin/python benchmarks/extraction.py            500,000 and 5,000,000 rows of 48 sensors (some minutes)
    .venv/bin/python benchmarks/extraction.py --quick    50,000 and 200,000 rows

Starts a server of its own. Every measurement is a process of its own, whose peak of resident memory the system reports.
Prints a table and writes benchmarks/results/extraction.json.

extraction      the table, fetched by slices of time, cleaned types kept as they are, written as Parquet with hashes
data_prep       the whole step: extraction, grid, labels, summary
read_sql_query  pandas through SQLAlchemy and psycopg, the same columns, into a frame; nothing is written
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

RESULTS = REPOSITORY / "benchmarks" / "results" / "extraction.json"
SENSORS = [f"sensor_{number:02d}" for number in range(48)]
ASSETS = 20
INTERVAL_SECONDS = 60
FASTER, PEAK_GB, GROWTH = 4.0, 0.4, 0.15  # what is asked for

Json = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, write; exit status 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Benchmark of the extraction from PostgreSQL.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, to see that it works")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.measure:
        return _measure_here(*arguments.measure)
    small, large = (50_000, 200_000) if arguments.quick else (500_000, 5_000_000)
    results = _run(small, large)
    results["targets"] = _judge(results, small, large)
    if not arguments.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    _print(results)
    return 0 if all(target["met"] for target in results["targets"]) else 1


def _run(small: int, large: int) -> Json:
    from tests.databases.server import running_server

    measured: list[Json] = []
    with running_server() as server, server.database() as database, tempfile.TemporaryDirectory() as folder:
        for rows in (small, large):
            _fill(database, rows)
            document = _document(database)
            for name in ("extraction", "data_prep", "read_sql_query"):
                if name != "read_sql_query" or rows == small:
                    measured.append({"what": name, "rows": rows, **_measure(name, document, Path(folder))})
                    sys.stderr.write(f"{name} of {rows:,} rows: {measured[-1]}\n")
    return {"columns": len(SENSORS), "assets": ASSETS, "cpus": os.cpu_count(), "measured": measured}


def _fill(database: Any, rows: int) -> None:
    values = ", ".join(f"round((50 + {n} + 10 * random())::numeric, 2)::float8 AS {s}" for n, s in enumerate(SENSORS))
    database.execute("DROP TABLE IF EXISTS readings")
    database.execute(
        f"CREATE TABLE readings AS SELECT '2020-01-01'::timestamptz + (i / {ASSETS}) * interval '{INTERVAL_SECONDS} s' "
        f"AS created_timestamp, 'P-' || i % {ASSETS} AS asset, {values}, (i % 100000 = 0)::int AS failure_indicator "
        f"FROM generate_series(0, {rows - 1}) i"
    )
    database.execute("CREATE INDEX ON readings (created_timestamp)")
    database.execute("VACUUM ANALYZE readings")
    database.let_read("readings")


def _document(database: Any) -> Json:
    return {
        "organizationId": "benchmark",
        "schemaConfig": {"continuousColumns": SENSORS, "assetColumn": "asset"},
        "scadaDbConfig": database.settings(),
        "dataConfig": {"samplingIntervalSeconds": INTERVAL_SECONDS, "predictionHorizonSeconds": 3600},
    }


def _measure(name: str, document: Json, folder: Path) -> Json:
    """Run one measurement in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        config = Path(work) / "config.json"
        config.write_text(json.dumps(document), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, __file__, "--measure", name, config], stdout=subprocess.PIPE, check=True, encoding="utf-8"
        )
    result: Json = json.loads(done.stdout)
    return result


def _measure_here(name: str, config: str) -> int:
    work = {"extraction": _extraction, "data_prep": _data_prep, "read_sql_query": _read_sql_query}[name]
    run = work(Path(config))
    started = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    json.dump({"seconds": round(seconds, 3), "peakGb": round(peak, 3), "rowsSeen": rows}, sys.stdout)
    return 0


def _extraction(config_file: Path) -> Callable[[], int]:
    from ml.cleaning.columns import plan_columns
    from ml.cleaning.time_range import TimeRange
    from ml.config import OrganizationConfig
    from ml.ingest.extraction import contents_of, fetch
    from ml.ingest.slices import SliceStore
    from ml.ingest.sources import open_source
    from ml.ingest.sources.base import SlicedSource
    from ml.ingest.sources.postgresql import source as _  # noqa: F401 - imports are not part of the time
    from ml.progress import silent

    config = OrganizationConfig.load_from_file(config_file)

    def run() -> int:
        source = open_source(config)
        assert isinstance(source, SlicedSource)
        plan = plan_columns(config.schema_config, None, source.columns(), source.where)
        axis = source.axis(plan.timestamp)
        assert axis is not None
        contents = contents_of(source, plan.source_columns, plan, None)
        store = SliceStore(
            config_file.parent, organization_id=config.organization_id, source=source.identity, contents=contents
        )
        kept = fetch(source, plan.source_columns, axis, TimeRange(), store, slice_seconds=None, report=silent)
        source.close()
        return sum(one.rows for one in kept)

    return run


def _data_prep(config_file: Path) -> Callable[[], int]:
    from ml.config import OrganizationConfig
    from ml.ingest.sources.postgresql import source as _  # noqa: F401 - imports are not part of the time
    from ml.scripts.data_prep import run as data_prep

    os.environ["ML_BASE_PATH"] = str(config_file.parent)
    config = OrganizationConfig.load_from_file(config_file)
    return lambda: data_prep(config).rows


def _read_sql_query(config_file: Path) -> Callable[[], int]:
    import pandas as pd
    import sqlalchemy as sa

    database = json.loads(config_file.read_text())["scadaDbConfig"]
    url = sa.URL.create(
        "postgresql+psycopg", database["user"], database["password"], database["host"], database["port"],
        database["database"],
    )  # fmt: skip
    columns = ", ".join(["created_timestamp", "asset", *SENSORS, "failure_indicator"])
    engine = sa.create_engine(url)
    return lambda: len(pd.read_sql_query(f"SELECT {columns} FROM readings", engine))


def _judge(results: Json, small: int, large: int) -> list[Json]:
    by_name = {(one["what"], one["rows"]): one for one in results["measured"]}
    ours, theirs = by_name["extraction", small], by_name["read_sql_query", small]
    step = by_name["data_prep", small]
    values = [
        ("times as fast as pandas.read_sql_query, at least", theirs["seconds"] / ours["seconds"], FASTER, True),
        (f"peak of the extraction of {small:,} rows in GB, at most", ours["peakGb"], PEAK_GB, False),
        (f"peak of data_prep of {small:,} rows in GB, at most", step["peakGb"], PEAK_GB, False),
        *(
            (
                f"growth of the peak of {name} up to {large:,} rows, at most",
                by_name[name, large]["peakGb"] / by_name[name, small]["peakGb"] - 1,
                GROWTH,
                False,
            )
            for name in ("extraction", "data_prep")
        ),
    ]
    return [
        {
            "what": what,
            "value": round(value, 3),
            "target": target,
            "met": bool(value >= target if more else value <= target),
        }
        for what, value, target, more in values
    ]


def _print(results: Json) -> None:
    lines = [f"{'':<16}{'rows':>12}{'seconds':>10}{'peak GB':>10}"]
    lines += [
        f"{one['what']:<16}{one['rows']:>12,}{one['seconds']:>10.2f}{one['peakGb']:>10.3f}"
        for one in results["measured"]
    ]
    lines += [
        f"{'met' if one['met'] else 'MISSED':<8}{one['what']} {one['target']:g}: {one['value']:g}"
        for one in results["targets"]
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
