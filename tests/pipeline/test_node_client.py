"""The TypeScript client of examples/node on models and golden vectors that Python made: the same bits, or refused.

Without Node 18 these tests are skipped, unless EAGLE_REQUIRE_NODE is set, as it is where submissions are checked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.pipeline.backend import ML, REPOSITORY
from tests.pipeline.golden_vectors import write_golden_vectors, write_mode_vectors
from tests.pipeline.network_namespace import REPORTS_AFTER_SECONDS, run_unplugged
from tests.pipeline.small_plant import ORGANIZATION, PipelineRun, write_json

CLIENT = REPOSITORY / "examples" / "node"
SUITES = sorted(file.name.removesuffix(".test.ts") for file in (CLIENT / "test").glob("*.test.ts"))
NEEDED = 18
TIMEOUT_SECONDS = 300  # a safety net, far above what a suite needs


def node_version() -> int:
    """Major version of the Node.js on the path; 0 if there is none."""
    node = shutil.which("node")
    if node is None:
        return 0
    told = subprocess.run([node, "--version"], capture_output=True, encoding="utf-8", check=False).stdout
    found = re.match(r"v(\d+)\.", told)
    return int(found[1]) if found else 0


@pytest.fixture(scope="session")
def client() -> Path:
    """The compiled client; skips or fails where it cannot be compiled."""
    ready = node_version() >= NEEDED and (CLIENT / "node_modules" / "onnxruntime-node").is_dir()
    if not ready:
        reason = f"needs Node.js {NEEDED} or newer (found {node_version() or 'none'}) and its packages: `make client`"
        if os.environ.get("EAGLE_REQUIRE_NODE"):
            pytest.fail(reason)
        pytest.skip(reason)
    run("npm", "run", "--silent", "build")
    return CLIENT


@pytest.fixture(scope="session")
def golden(two_versions: PipelineRun, furnace_modes: PipelineRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two published versions, the configurations that they were made with, and golden vectors."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(two_versions.root / "models", folder / "models", symlinks=True)
    write_json(folder / "config.json", two_versions.config | {"version": "from_node"})
    write_golden_vectors(two_versions, ("v1", "v2"), folder)
    shutil.copytree(furnace_modes.root / "models", folder / "models", symlinks=True, dirs_exist_ok=True)
    write_mode_vectors(furnace_modes, folder)
    return folder


def run(*command: str, golden: Path | None = None, extra: Mapping[str, str] | None = None) -> str:
    """What a command in the client's folder prints; asserts that it ends well."""
    extra = dict(extra or {}) if golden is None else {"EAGLE_GOLDEN": str(golden)}
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env=os.environ | {"EAGLE_PYTHON": sys.executable, "EAGLE_ML": str(ML), **extra},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def counts(report: str) -> Iterator[tuple[str, int]]:
    """The totals that Node's test runner prints at the end of its report."""
    for name, number in re.findall(r"^# (tests|pass|fail|cancelled|skipped|todo) (\d+)$", report, re.MULTILINE):
        yield name, int(number)


@pytest.mark.parametrize("suite", SUITES)
def test_the_suite_passes_in_node(client: Path, golden: Path, suite: str) -> None:
    compiled = client / "dist" / "test" / f"{suite}.test.js"
    totals = dict(counts(run("node", "--test", "--test-reporter=tap", str(compiled), golden=golden)))
    assert totals["tests"] == totals["pass"] > 0


PREDICTING = f"""
import {{ LiveModel }} from "./dist/src/index.js";
const model = await LiveModel.open({{ modelsFolder: process.argv[1], organizationId: "{ORGANIZATION}" }});
model.add("PUMP-01", {{ time: 0, values: {{ temperature: 1 }} }});
if ((await model.predict("PUMP-01", 0)) === null) throw new Error("nothing was predicted");
setTimeout(() => console.log("done"), {1000 * REPORTS_AFTER_SECONDS});
"""


def test_the_client_reaches_nothing_and_keeps_no_reports(client: Path, golden: Path, tmp_path: Path) -> None:
    """onnxruntime-node queued what models say of themselves, organisations' names among it, for its maker."""
    env = os.environ | {"HOME": str(tmp_path), "ORT_DISABLE_TELEMETRY": "0"}
    env.pop("XDG_CACHE_HOME", None)
    command = ["node", "--input-type=module", "--eval", PREDICTING, golden / "models"]
    heard = run_unplugged(command, folder=client, env=env)
    assert heard.ended.stdout == "done\n", heard.ended.stderr
    assert heard.nothing, heard
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("client")
def test_a_worker_thread_loads_the_runtime_only_where_telemetry_is_off() -> None:
    """A thread cannot switch it off: the environment that it sees is a copy."""
    program = """
import { Worker } from "node:worker_threads";
const source = `import("${process.cwd()}/dist/src/onnx_runtime.js").then(() => console.log("loaded"))`;
new Worker(source, { eval: true }).on("error", (error) => console.log(error.message));
"""
    refused = run("node", "--input-type=module", "--eval", program, extra={"ORT_DISABLE_TELEMETRY": "0"})
    assert refused.startswith("set ORT_DISABLE_TELEMETRY=1 in the main thread")
    loaded = run("node", "--input-type=module", "--eval", program, extra={"ORT_DISABLE_TELEMETRY": "1"})
    assert loaded == "loaded\n"


def test_one_file_of_the_client_loads_the_runtime() -> None:
    loading = re.compile(
        r"""(?:^import (?!type)[^;]*?from|require\(|import\(|\)\()\s*["']onnxruntime-node["']""", re.MULTILINE
    )
    sources = [*(CLIENT / "src").glob("*.ts"), *(CLIENT / "test").glob("*.ts")]
    assert [file.name for file in sources if loading.search(file.read_text(encoding="utf-8"))] == ["onnx_runtime.ts"]


def test_the_example_of_the_documentation_has_the_types_of_the_client(client: Path) -> None:
    """The names that it leaves to its reader are declared; everything else must exist as it is used."""
    page = (REPOSITORY / "docs/client.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```ts\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    left_to_the_reader = """
declare const show: (share: number, message?: string) => void, log: (error: unknown) => void;
declare const notify: (probability: number, why?: string) => void, instant: number;
"""
    (client / "dist" / "documented.ts").write_text(example + left_to_the_reader, encoding="utf-8")
    options = {"noEmit": True, "rootDir": "..", "noUnusedLocals": False}
    settings = {"extends": "../tsconfig.json", "compilerOptions": options, "files": ["documented.ts"], "include": []}
    write_json(client / "dist" / "tsconfig.json", settings)
    run("npx", "tsc", "--project", "dist")
