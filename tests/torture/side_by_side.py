"""Many trainings at once, of one organisation and of several, and the same training twice.

    python -m tests.torture.side_by_side [--runs N]

Prints one JSON object with the figures; exit status 1 if a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.verification import verify_organization
from simulation.database import write_sqlite
from tests.pipeline.backend import ML, Json, environment
from tests.pipeline.small_plant import plant_config, simulate_small_plant, write_json

LIGHT: Json = {"threads": 1, "lgbParams": {"numLeaves": 4, "numIterations": 5}}
DOCUMENTED_REFUSALS = {"VERSION_BUSY"}


def main(argv: list[str] | None = None) -> int:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description="Train side by side.")
    parser.add_argument("--runs", type=int, default=8)
    runs = parser.parse_args(argv).runs
    started = time.monotonic()
    broken: list[str] = []
    figures: Json = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        database = folder / "scada.sqlite"
        write_sqlite(simulate_small_plant(), database)
        base = plant_config(database, trainingConfig=LIGHT)
        sets = {
            "versions of one organisation": [base | {"version": f"v{n}"} for n in range(runs)],
            "one version of one organisation": [base] * runs,
            "organisations": [base | {"organizationId": f"plant_{n}"} for n in range(runs)],
        }
        for title, configs in sets.items():
            root = folder / title.replace(" ", "_")
            root.mkdir()
            figures[title] = dict(Counter(at_once(root, configs, broken)))
    sys.stdout.write(json.dumps({**figures, "broken": broken, "seconds": round(time.monotonic() - started)}) + "\n")
    return 1 if broken else 0


def at_once(root: Path, configs: list[Json], broken: list[str]) -> list[str]:
    """Train all `configs` in processes started together; what each told, what was wrong added to `broken`."""
    processes = [
        subprocess.Popen(
            [sys.executable, "scripts/train_model.py", str(write_json(root / f"config-{number}.json", config))],
            cwd=ML,
            env=environment(root),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number, config in enumerate(configs)
    ]
    told = []
    for process, config in zip(processes, configs, strict=True):
        stdout, _ = process.communicate()
        document = json.loads(stdout)
        code = document["error"]["code"] if process.returncode else "SUCCESS"
        if code not in DOCUMENTED_REFUSALS | {"SUCCESS"}:
            broken.append(f"{config['organizationId']}/{config['version']}: {document}")
        told.append(code)
    trained = {
        (config["organizationId"], config["version"])
        for config, code in zip(configs, told, strict=True)
        if code == "SUCCESS"
    }
    if not trained:
        broken.append("no run succeeded")
    for organization in {config["organizationId"] for config in configs}:
        state = verify_organization(OrganizationPaths(organization, root))
        if state["versions"] != sum(owner == organization for owner, _ in trained):
            broken.append(f"{organization} has {state['versions']} versions after {sorted(trained)}")
    return told


if __name__ == "__main__":
    os.environ.pop("ML_BASE_PATH", None)
    raise SystemExit(main())
