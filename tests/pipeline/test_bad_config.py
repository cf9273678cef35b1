"""Configurations and command lines that are wrong: refused at once, in words that help, with nothing created."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.backend import STEPS, Json, run_python, spawn, tree
from tests.pipeline.small_plant import plant_config, write_json

CONFIG, ISOLATION = (2, "CONFIG_INVALID"), (6, "ISOLATION_REFUSED")
HEAVY = {"numpy", "pandas", "pyarrow", "sklearn", "lightgbm", "optuna", "onnx", "onnxruntime", "numba", "matplotlib"}

RUN_AS_SCRIPT = """
import json, runpy, sys
sys.argv = sys.argv[1:]
sys.path[0] = "scripts"
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as leaving:
    code = leaving.code
print(json.dumps({"exit": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def with_changes(change: Callable[[Json, Path], object]) -> Callable[[Json, Path], str]:
    """A configuration as text, after `change` has been made to it."""

    def text(config: Json, root: Path) -> str:
        change(config, root)
        return json.dumps(config)

    return text


# What is wrong: the text of the file, exit code and code, field, and words that the user must see.
BAD_CONFIGS = {
    "broken JSON": (lambda config, _: json.dumps(config)[:-1], CONFIG, None, ["valid JSON", "line 1, column"]),
    "empty file": (lambda *_: "", CONFIG, None, ["valid JSON"]),
    "not an object": (lambda *_: "[]", CONFIG, None, ["JSON object"]),
    "NaN": (lambda *_: '{"organizationId": NaN}', CONFIG, None, ["NaN", "not valid JSON"]),
    "duplicate key": (
        lambda *_: '{"organizationId": "a", "organizationId": "b"}',
        CONFIG,
        "organizationId",
        ['"organizationId"', "twice"],
    ),
    "unknown key": (
        with_changes(lambda config, _: config["dataConfig"].update(predictionHorizonSecond=1)),
        CONFIG,
        "dataConfig.predictionHorizonSecond",
        ["unknown key", '"predictionHorizonSeconds"'],
    ),
    "unknown section": (
        with_changes(lambda config, _: config.update(schema_confg={})),
        CONFIG,
        "schema_confg",
        ["unknown key", '"schemaConfig"'],
    ),
    "missing organisation": (
        with_changes(lambda config, _: config.pop("organizationId")),
        CONFIG,
        "organizationId",
        ["required"],
    ),
    "wrong value": (
        with_changes(lambda config, _: config["dataConfig"].update(samplingIntervalSeconds=-5)),
        CONFIG,
        "dataConfig.samplingIntervalSeconds",
        ["-5", "greater than 0"],
    ),
    "unknown operating column": (
        with_changes(lambda config, _: config["schemaConfig"].update(operatingColumns=["presure"])),
        CONFIG,
        "schemaConfig",
        ["presure", "did you mean pressure"],
    ),
    "organisation leads out": (
        with_changes(lambda config, _: config.update(organizationId="../x")),
        ISOLATION,
        "organizationId",
        ["../x", "safe identifier"],
    ),
    "version leads out": (
        with_changes(lambda config, _: config.update(version="../x")),
        ISOLATION,
        "version",
        ["../x", "safe identifier"],
    ),
    "output with another organisation": (
        with_changes(lambda config, root: config.update(outputPath=str(root / "artifacts" / "plant_b" / "v1"))),
        ISOLATION,
        "outputPath",
        ["this organisation's artifacts"],
    ),
    "output outside the workspace": (
        with_changes(lambda config, root: config.update(outputPath=str(root.parent / "elsewhere"))),
        ISOLATION,
        "outputPath",
        ["this organisation's artifacts"],
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_bad_configuration_creates_nothing(case: str, root: Path, database: Path) -> None:
    make, status, field, words = BAD_CONFIGS[case]
    config = root.parent / "config.json"
    config.write_text(make(plant_config(database), root))
    before = tree(root.parent)
    outcome = spawn("data_prep", config, root=root)
    assert (outcome.exit_code, outcome.error["code"]) == status
    assert outcome.error.get("field") == field
    told = outcome.error["message"] + " " + outcome.error.get("hint", "")
    assert all(word in told for word in words), told
    assert "plant_b" not in outcome.stdout_text + outcome.stderr_text
    assert tree(root.parent) == before


@pytest.mark.parametrize("step", STEPS)
def test_every_step_refuses_broken_json(step: str, root: Path) -> None:
    config = root.parent / "config.json"
    config.write_text('{"organizationId": "plant_a",')
    outcome = spawn(step, config, root=root)
    assert (outcome.exit_code, outcome.error["code"]) == CONFIG
    assert not any(root.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_a_configuration_that_is_not_there(step: str, root: Path) -> None:
    outcome = spawn(step, root.parent / "nowhere.json", root=root)
    assert (outcome.exit_code, outcome.error["code"]) == CONFIG
    assert "nowhere.json" in outcome.error["message"]
    assert str(root.parent) not in outcome.stdout_text
    assert not any(root.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_no_arguments(step: str, root: Path) -> None:
    outcome = spawn(step, root=root)
    assert (outcome.exit_code, outcome.error["code"]) == (2, "USAGE")
    assert "config" in outcome.error["message"]
    assert outcome.error["hint"] == f"{step}.py --help"
    assert not any(root.iterdir())


@pytest.mark.parametrize("step", STEPS)
def test_help_is_text_for_people(step: str, root: Path) -> None:
    finished = run_python(f"scripts/{step}.py", "--help", root=root)
    assert finished.returncode == 0
    assert finished.stdout.startswith(f"usage: {step}.py")
    assert finished.stderr == ""
    assert not any(root.iterdir())


@pytest.mark.parametrize("step", ["train_model", "hyperparameter_tuning"])
def test_an_unknown_model_type_is_found_before_any_data_is_read(step: str, root: Path, database: Path) -> None:
    training = {"modelType": "lightgmb"}
    config = write_json(root.parent / "config.json", plant_config(database, trainingConfig=training))
    outcome = spawn(step, config, root=root)
    assert (outcome.exit_code, outcome.error["code"]) == CONFIG
    assert outcome.error["field"] == "trainingConfig.modelType"
    assert "random_forest" in outcome.error["message"]
    assert '"lightgbm"' in outcome.error["hint"]
    assert not [path for path in tree(root) if path.endswith((".parquet", ".onnx"))]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", ["unknown key", "organisation leads out"])
def test_a_config_error_is_found_without_numerical_libraries(step: str, fault: str, root: Path, database: Path) -> None:
    config = root.parent / "config.json"
    config.write_text(BAD_CONFIGS[fault][0](plant_config(database), root))
    assert not HEAVY & modules_after(step, config, root, exit_code=BAD_CONFIGS[fault][1][0])


@pytest.mark.parametrize("step", ["train_model", "hyperparameter_tuning"])
def test_an_unknown_model_type_is_found_without_numerical_libraries(step: str, root: Path, database: Path) -> None:
    config = write_json(root.parent / "config.json", plant_config(database, trainingConfig={"modelType": "forest"}))
    assert not HEAVY & modules_after(step, config, root, exit_code=2)


def modules_after(step: str, config: Path, root: Path, *, exit_code: int) -> set[str]:
    """Top-level modules that a step had imported when it ended with `exit_code`."""
    finished = run_python("-c", RUN_AS_SCRIPT, f"scripts/{step}.py", str(config), root=root)
    seen = json.loads(finished.stdout.splitlines()[-1])
    assert seen["exit"] == exit_code, finished.stderr
    assert "pydantic" in seen["modules"]
    return set(seen["modules"])
