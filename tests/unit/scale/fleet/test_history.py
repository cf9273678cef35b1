"""What counts as done: the last record of each step, in order, with this configuration, and its results still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml.config import OrganizationConfig
from ml.scale.fleet.history import History, read_findings, read_history
from ml.scale.fleet.steps import STEPS as ALL_STEPS
from ml.workspace import audit
from ml.workspace.files import write_json
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.manifest import write_manifest

CONFIG = OrganizationConfig.from_dict({"organizationId": "acme", "schemaConfig": {"continuousColumns": ["heat"]}})
TUNED = CONFIG.model_copy(update={"industry": "manufacturing"})
STEPS = tuple(ALL_STEPS)
UNTUNED_STEPS = ("data_prep", "train_model", "validate_model", "convert_to_onnx")


@pytest.fixture
def paths(tmp_path: Path) -> OrganizationPaths:
    return OrganizationPaths("acme", tmp_path)


def leave(
    paths: OrganizationPaths, step: str, result: str = audit.SUCCEEDED, config: OrganizationConfig = CONFIG
) -> None:
    """What a step leaves behind."""
    match step:
        case "data_prep":
            write_json(paths.prepared_data("v1"), {})
        case "hyperparameter_tuning":
            paths.tuning("v1").mkdir(parents=True)
            TUNED.save_to_file(paths.tuning_file("v1", "training_config.json"))
        case "train_model":
            paths.version("v1").mkdir(parents=True, exist_ok=True)
            write_json(paths.version("v1") / "metadata.json", {})
            write_manifest(paths.version("v1"), "acme", "v1")
        case "validate_model":
            write_json(paths.validation_report("v1", ".json"), {"status": "PASSED", "verdict": "Good."})
    audit.append(paths, operation=step, result=result, version="v1", config_digest=config.digest())


def test_a_new_organisation_has_no_history(paths: OrganizationPaths) -> None:
    assert read_history(CONFIG, STEPS, paths) == History()


def test_steps_done_one_after_the_other_are_done(paths: OrganizationPaths) -> None:
    for number, step in enumerate(UNTUNED_STEPS, start=1):
        leave(paths, step)
        history = read_history(CONFIG, UNTUNED_STEPS, paths)
        assert history.done == UNTUNED_STEPS[:number]
        assert history.is_finished(UNTUNED_STEPS) == (number == len(UNTUNED_STEPS))


def test_after_a_search_its_configuration_counts(paths: OrganizationPaths) -> None:
    leave(paths, "data_prep")
    leave(paths, "hyperparameter_tuning")
    leave(paths, "train_model")
    history = read_history(CONFIG, STEPS, paths)
    assert history.done == STEPS[:2]
    assert history.config_file == paths.tuning_file("v1", "training_config.json")
    leave(paths, "train_model", config=TUNED)
    assert read_history(CONFIG, STEPS, paths).done == STEPS[:3]


def test_a_verdict_is_an_end_and_any_other_failure_is_not(paths: OrganizationPaths) -> None:
    leave(paths, "data_prep")
    leave(paths, "train_model")
    leave(paths, "validate_model", audit.failed("STORAGE_FAILED"))
    assert read_history(CONFIG, UNTUNED_STEPS, paths) == History(("data_prep", "train_model"))
    leave(paths, "validate_model", audit.failed("QUALITY_GATE"))
    refused = read_history(CONFIG, UNTUNED_STEPS, paths)
    assert refused == History(("data_prep", "train_model"), refused=True)
    assert refused.is_finished(UNTUNED_STEPS)


def test_a_step_that_was_run_again_makes_the_later_ones_old(paths: OrganizationPaths) -> None:
    for step in (*UNTUNED_STEPS, "train_model"):
        leave(paths, step)
    assert read_history(CONFIG, UNTUNED_STEPS, paths).done == ("data_prep", "train_model")


def test_a_step_that_was_killed_is_not_done(paths: OrganizationPaths) -> None:
    leave(paths, "data_prep")
    leave(paths, "data_prep", audit.STARTED)
    assert read_history(CONFIG, UNTUNED_STEPS, paths) == History()


def test_another_configuration_starts_anew(paths: OrganizationPaths) -> None:
    leave(paths, "data_prep", config=TUNED)
    assert read_history(CONFIG, UNTUNED_STEPS, paths) == History()


@pytest.mark.parametrize("lost", UNTUNED_STEPS[:3])
def test_a_step_whose_results_are_gone_is_done_again(lost: str, paths: OrganizationPaths) -> None:
    for step in UNTUNED_STEPS:
        leave(paths, step)
    files = {
        "data_prep": paths.prepared_data("v1"),
        "train_model": paths.version("v1") / "metadata.json",
        "validate_model": paths.validation_report("v1", ".json"),
    }
    files[lost].unlink()
    assert read_history(CONFIG, UNTUNED_STEPS, paths).done == UNTUNED_STEPS[: UNTUNED_STEPS.index(lost)]


def test_a_broken_audit_log_proves_nothing(paths: OrganizationPaths) -> None:
    leave(paths, "data_prep")
    paths.audit_log.write_text(paths.audit_log.read_text().replace("succeeded", "SUCCEEDED"))
    assert read_history(CONFIG, UNTUNED_STEPS, paths) == History()


def test_findings_are_the_numbers_of_the_report(paths: OrganizationPaths) -> None:
    assert read_findings(paths, "v1") == {}
    events = {"failures": 3, "detected": 2, "falseAlarms": 1, "failureList": [{"asset": "PUMP-01"}], "perAsset": {}}
    write_json(paths.validation_report("v1", ".json"), {"status": "REFUSED", "verdict": "Bad.", "events": events})
    assert read_findings(paths, "v1") == {
        "status": "REFUSED",
        "verdict": "Bad.",
        "events": {"failures": 3, "detected": 2, "falseAlarms": 1},
    }
