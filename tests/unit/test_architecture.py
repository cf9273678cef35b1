"""Who may import whom, read from the source; and what must stay cheap to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

BASE = {
    "arrays", "cleaning", "drawing", "errors", "findings", "grid", "options", "config", "progress", "windows",
    "features", "modes", "pages", "private_folders", "wording",
}  # fmt: skip
SUBJECTS = {"ingest", "learning", "export", "workspace"}
EVALUATION = "evaluation"
PREDICT = "predict"
MONITORING = "monitoring"
MONITOR = "monitor"
RETRAIN = "retrain"
INSPECT = "inspect"
SCRIPTS = "scripts"
FLEET = "fleet"
SCALE = "scale"
COMMAND = {"__main__", "command"}
ABOVE = {EVALUATION, PREDICT, MONITORING, MONITOR, RETRAIN, INSPECT, SCRIPTS, SCALE, FLEET}
FOUND_BESIDE_A_SCRIPT = "_bootstrap"

MOST_FILES = 15
# Python files in folders that are still larger; a number may only get smaller
TOO_LARGE = {"windows/kernels": 16}

HEAVY = {
    "numpy", "pandas", "scipy", "pyarrow", "numba", "lightgbm", "sklearn", "optuna", "onnx", "onnxruntime",
    "matplotlib", "adbc_driver_sqlite", "jinja2", "joblib", "dask", "distributed",
}  # fmt: skip
LIGHT_MODULES = [
    "ml.config",
    "ml.workspace.step_runner",
    "ml.workspace.__main__",
    "ml.predict.__main__",
    "ml.monitor",
    "ml.monitoring.kept",
    "ml.retrain",
    "ml.scale.fleet.retraining",
    "ml.monitoring.decision",
    "ml.monitoring.labels",
    "ml.inspect.__main__",
    "ml.scale.fleet.command",
    "ml.command.line",
    "ml.command.run",
] + [
    f"ml.scripts.{step}"
    for step in ("data_prep", "hyperparameter_tuning", "train_model", "validate_model", "convert_to_onnx")
]


def module_name(file: Path) -> str:
    parts = file.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted((REPOSITORY / "ml").rglob("*.py"))}


def imported_by(file: Path, *, on_import: bool) -> set[str]:
    """Modules of `ml` that a file imports.

    With `on_import` only those loaded when the file is: not inside functions, not for type checkers only.
    """
    found: set[str] = set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8")), on_import=on_import):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in MODULES else node.module for alias in node.names
            }
    return {name for name in found if name.split(".")[0] == "ml"}


def statements(node: ast.AST, *, on_import: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if on_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if on_import and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from statements(child, on_import=on_import)


def room(module: str) -> str:
    """The package of ``ml`` that a module belongs to: ``ingest`` for ``ml.ingest.prepare``; "" for ``ml`` itself."""
    return module.split(".")[1] if "." in module else ""


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Importing and imported module, imports inside functions included."""
    return frozenset(
        (module, imported) for module, file in MODULES.items() for imported in imported_by(file, on_import=False)
    )


def test_every_room_is_known() -> None:
    assert {room(module) for module in MODULES} - {""} == BASE | SUBJECTS | ABOVE | COMMAND


def test_the_base_knows_nothing_of_what_is_built_on_it() -> None:
    turned = {pair for pair in arrows() if room(pair[0]) in BASE and room(pair[1]) in SUBJECTS | ABOVE}
    assert turned == set()


@pytest.mark.parametrize(
    ("room_above", "users"),
    [
        (EVALUATION, {SCRIPTS, MONITORING}),
        (PREDICT, {MONITORING, MONITOR}),
        (MONITORING, {MONITOR, SCALE}),
        (SCRIPTS, set()),
    ],
)
def test_nothing_else_imports_what_stands_above(room_above: str, users: set[str]) -> None:
    turned = {pair for pair in arrows() if room(pair[0]) not in {room_above, *users} and room(pair[1]) == room_above}
    assert turned == set()


def test_only_data_prep_and_init_import_the_inspection() -> None:
    turned = {pair for pair in arrows() if room(pair[0]) != INSPECT and room(pair[1]) == INSPECT}
    assert {module for module, _ in turned} == {"ml.scripts.data_prep", "ml.command.init"}


def test_only_scripts_and_the_command_use_more_than_one_process() -> None:
    turned = {
        pair
        for pair in arrows()
        if room(pair[0]) not in {SCALE, SCRIPTS, FLEET, RETRAIN, *COMMAND} and room(pair[1]) == SCALE
    }
    assert turned == set()


def test_what_scales_in_one_way_knows_nothing_of_the_other_ways() -> None:
    ways = ("ml.scale.fleet", "ml.scale.partitioned", "ml.scale.parallel_search")
    allowed = {("ml.fleet", "ml.scale.fleet.command")}
    turned = {
        (module, imported)
        for module, imported in arrows() - allowed
        for way in ways
        if imported.startswith(way) and not module.startswith(way) and room(module) in {SCALE, FLEET}
    }
    assert turned == {("ml.scale.search_worker", "ml.scale.parallel_search")}


def test_nothing_imports_the_command() -> None:
    turned = {pair for pair in arrows() if room(pair[0]) not in COMMAND and room(pair[1]) in COMMAND}
    assert turned == set()


def test_no_product_code_imports_the_simulation() -> None:
    # the one command starts the demo by the name of its module
    assert [
        file.name
        for file in MODULES.values()
        if "import simulation" in (text := file.read_text(encoding="utf-8")) or "from simulation" in text
    ] == []


def test_errors_and_options_stand_below_everything() -> None:
    below = {
        "errors": {"errors"},
        "findings": {"findings"},
        "options": {"options", "errors", "findings"},
        "progress": {"progress"},
        "wording": {"wording"},
        "arrays": {"arrays"},
        "drawing": {"drawing"},
    }
    for name, allowed in below.items():
        assert {room(imported) for module, imported in arrows() if room(module) == name} <= allowed


def test_packages_form_no_circle() -> None:
    packages: dict[str, set[str]] = {}
    for module, imported in arrows():
        if room(module) != room(imported):
            packages.setdefault(room(module), set()).add(room(imported))
    assert circle_in(packages) is None


@pytest.mark.parametrize("name", sorted({room(module) for module in MODULES} - {""}))
def test_folders_of_a_room_form_no_circle(name: str) -> None:
    """A folder counts as one; a module that lies in no folder of its room stands for itself."""
    folders: dict[str, set[str]] = {}
    for module, imported in arrows():
        ends = folder_of(module), folder_of(imported)
        if room(module) == room(imported) == name and ends[0] != ends[1] and not is_package(imported):
            folders.setdefault(ends[0], set()).add(ends[1])
    assert circle_in(folders) is None


def folder_of(module: str) -> str:
    folders = MODULES[module].relative_to(REPOSITORY).parent.parts
    return ".".join(folders[:3]) if len(folders) > 2 else module


def is_package(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


def test_no_folder_holds_more_than_a_reader_can_hold() -> None:
    """Of the folders named as exceptions none may grow, and each leaves the list once it is small enough."""
    counts = Counter(file.parent.relative_to(REPOSITORY / "ml").as_posix() for file in MODULES.values())
    grown = {folder: count for folder, count in counts.items() if count > TOO_LARGE.get(folder, MOST_FILES)}
    assert grown == {}
    assert {folder: counts[folder] for folder in TOO_LARGE if counts[folder] <= MOST_FILES} == {}


def test_four_files_with_one_prefix_lie_in_a_folder_of_its_name() -> None:
    prefixes = Counter(
        (file.parent.relative_to(REPOSITORY / "ml").as_posix(), file.stem.split("_")[0])
        for file in MODULES.values()
        if "_" in file.stem.strip("_")
    )
    assert {prefix for prefix, count in prefixes.items() if count > 3} == set()


def test_modules_form_no_circle_when_they_are_loaded() -> None:
    graph = {module: imported_by(file, on_import=True) - {module} for module, file in MODULES.items()}
    assert circle_in(graph) is None


def circle_in(graph: dict[str, set[str]]) -> list[str] | None:
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return list(error.args[1])
    return None


def test_imports_are_absolute_and_of_modules_that_exist() -> None:
    relative = [
        module
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
    assert {imported for _, imported in arrows() if imported not in MODULES} == set()


def test_every_module_is_named_after_a_subject() -> None:
    assert [name for name in MODULES if name.rpartition(".")[2] in {"utils", "util", "helpers", "common", "misc"}] == []


def test_one_module_imports_onnxruntime() -> None:
    """Its telemetry must be off before it is loaded, wherever that is: see ml.export.onnx_runtime."""
    importing = {
        file.relative_to(REPOSITORY).as_posix()
        for folder in ("ml", "tests", "benchmarks", "docs", "examples", "notebooks")
        for file in (REPOSITORY / folder).rglob("*.py")
        if "node_modules" not in file.parts
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "onnxruntime" for alias in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "onnxruntime")
    }
    assert importing == {"ml/export/onnx_runtime.py"}


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_it_loads_no_numerical_library(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert module.split(".")[0] in loaded
    assert sorted(loaded & HEAVY) == []


class TestTheReaderOfImports:
    def test_it_tells_loading_from_calling(self, tmp_path: Path) -> None:
        file = tmp_path / "example.py"
        file.write_text(
            "from ml import errors\nfrom ml.config import OrganizationConfig\nimport ml.progress, json\n"
            "if TYPE_CHECKING:\n    from ml.export import parity\ndef f():\n    import ml.ingest.failures.labels\n"
        )
        loaded = {"ml.errors", "ml.config", "ml.progress"}
        assert imported_by(file, on_import=True) == loaded
        assert imported_by(file, on_import=False) == loaded | {"ml.export.parity", "ml.ingest.failures.labels"}

    def test_it_finds_a_circle(self) -> None:
        circle = circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}})
        assert circle is not None
        assert set(circle) == {"b", "c"}
