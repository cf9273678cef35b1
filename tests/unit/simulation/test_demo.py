from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from simulation import demo as module


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    return module


def test_the_folder_is_made_and_made_new(demo: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo.prepare_folder(folder)
    (folder / "old").mkdir()
    (folder / "old" / "file").write_text("")
    demo.prepare_folder(folder)
    assert [path.name for path in folder.iterdir()] == [demo.MARKER]


def test_a_folder_of_somebody_else_is_not_touched(demo: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(demo.DemoError, match="did not make") as refusal:
        demo.prepare_folder(folder)
    assert refusal.value.exit_code == 2
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert not (folder / demo.MARKER).exists()


def test_links_are_neither_followed_nor_emptied(demo: ModuleType, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    demo.prepare_folder(elsewhere)
    (elsewhere / "kept").write_text("")
    (tmp_path / "demo").symlink_to(elsewhere)
    with pytest.raises(demo.DemoError, match="is not a folder"):
        demo.prepare_folder(tmp_path / "demo")
    own = tmp_path / "own"
    demo.prepare_folder(own)
    (own / "link").symlink_to(elsewhere)
    demo.prepare_folder(own)
    assert (elsewhere / "kept").exists()
    assert not (own / "link").exists()


def test_the_configuration_points_into_the_folder(demo: ModuleType, tmp_path: Path) -> None:
    from ml.config import OrganizationConfig

    config = OrganizationConfig.load_from_file(demo.write_config(demo.TEMPLATE, tmp_path))
    assert config.scada_db_config is not None
    assert config.scada_db_config.database == str(tmp_path / "scada.sqlite")
    (reference,) = config.validation_config.reference_scores
    assert (reference.name, reference.column) == ("oracle", "wear")
    assert reference.path == str(tmp_path / "hidden_wear.parquet")


def test_a_result_is_the_document_on_stdout(demo: ModuleType) -> None:
    assert demo.read_result("data_prep", '{"status": "SUCCESS", "rows": 3}\n', [], 0)["rows"] == 3


@pytest.mark.parametrize(
    ("output", "status", "expected", "words"),
    [
        (
            '{"status": "FAILED", "error": {"code": "NO_ROWS", "message": "no rows", "hint": "widen dataRange"}}',
            3,
            3,
            "data_prep: no rows [NO_ROWS]\nhint: widen dataRange",
        ),
        ('{"status": "FAILED"}', 0, 70, "data_prep: failed without a message [?]"),
        ("", -9, 137, "data_prep did not print one JSON document\nTraceback"),
        ('{"status": "SUCCESS"}\nmore', 0, 70, "did not print one JSON document"),
        ('{"status": "FAILED", "error": {"code": "STOPPED", "message": "stopped"}}', 143, 143, "stopped"),
    ],
)
def test_a_failure_keeps_the_words_and_the_exit_code_of_the_step(
    demo: ModuleType, output: str, status: int, expected: int, words: str
) -> None:
    with pytest.raises(demo.DemoError) as failure:
        demo.read_result("data_prep", output, ["Traceback"], status)
    assert words in str(failure.value)
    assert failure.value.exit_code == expected


def test_progress_is_told_from_other_words(demo: ModuleType) -> None:
    seen: list[dict[str, object]] = []
    words: list[str] = []
    demo.relay_progress(['{"event": "progress", "done": 1}\n', "warning\n", "\n", "[1]\n"], seen.append, words)
    assert seen == [{"event": "progress", "done": 1}]
    assert words == ["warning", "[1]"]


def test_steps_are_spawned_as_a_backend_spawns_them(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "ml" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "echo.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps({'event': 'progress', 'done': 1, 'total': 2}), file=sys.stderr)\n"
        "print('x' * 200_000, file=sys.stderr)\n"
        "print(json.dumps({'status': 'SUCCESS', 'cwd': os.getcwd(), 'arguments': sys.argv[1:],\n"
        "                  'base': os.environ['ML_BASE_PATH'], 'stdin': sys.stdin.read(), 'fill': 'y' * 200_000}))\n"
    )
    monkeypatch.setattr(demo, "ML", tmp_path / "ml")
    events: list[dict[str, object]] = []
    result = demo.run_step("echo", tmp_path / "config.json", tmp_path / "workspace", events.append)
    assert result["cwd"] == str(tmp_path / "ml")
    assert result["arguments"] == [str(tmp_path / "config.json")]
    assert result["base"] == str(tmp_path / "workspace")
    assert result["stdin"] == ""
    assert [event["done"] for event in events] == [1]


def test_the_tuned_configuration_is_used_from_training_on(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tuned = tmp_path / "training_config.json"
    tuned.write_text('{"organizationId": "acme", "version": "v7"}')
    artifacts = tmp_path / "workspace" / "artifacts" / "acme" / "v7"
    calls: list[tuple[str, str]] = []

    def pretend(name: str, config: Path, *_: object) -> dict[str, object]:
        calls.append((name, config.name))
        artifacts.mkdir(parents=True, exist_ok=True)
        (artifacts / "validation_report.json").write_text(json.dumps(REPORT))
        return {"status": "SUCCESS", "trainingConfigPath": str(tuned), "rows": 1200, "assets": 2}

    monkeypatch.setattr(demo, "run_step", pretend)
    lines = demo.run_pipeline(tmp_path)
    assert calls == [
        ("data_prep", "config.json"),
        ("hyperparameter_tuning", "config.json"),
        ("train_model", "training_config.json"),
        ("validate_model", "training_config.json"),
        ("convert_to_onnx", "training_config.json"),
    ]
    assert lines[-1] == f"Report: {artifacts / 'validation_report.html'}"
    assert "rows 1,200 · assets 2" in capsys.readouterr().out


REPORT = {
    "metrics": {"averagePrecision": 0.8912},
    "references": [{"name": "alarm", "averagePrecision": 0.2}, {"name": "oracle", "averagePrecision": 0.9711}],
    "events": {
        "failures": 25,
        "detected": 24,
        "falseAlarmsPerAssetDay": 0.041,
        "leadTimeSeconds": {"median": 165_600},
    },
}


def test_the_summary_puts_the_oracle_beside_the_model(demo: ModuleType) -> None:
    text = "\n".join(demo.summarise(REPORT))
    assert text.index("0.891") < text.index("0.971")
    assert "24 of 25" in text
    assert "46 h" in text
    assert "0.041" in text


def test_a_report_without_figures_is_no_reason_to_fail(demo: ModuleType) -> None:
    text = "\n".join(demo.summarise({"metrics": None, "events": None}))
    assert text.count("not reported") == 2


def test_nothing_but_the_standard_library_is_imported(demo: ModuleType) -> None:
    source = Path(str(demo.__file__)).read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= sys.stdlib_module_names
