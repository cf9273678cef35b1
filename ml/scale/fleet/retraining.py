"""A new version in place of the published one: when it is due, trained on the newest rows, published if not worse.

What is done stands in ``artifacts/<organisation>/retraining.json`` from the beginning: which version, and of which
configuration. A retraining that was killed goes on with that version, after the last step that succeeded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ml.config import OrganizationConfig
from ml.errors import ERRORS, ConfigError, EagleError, IntegrityError, QualityGateError
from ml.monitoring.kept import kept_result
from ml.options.source import DataRange
from ml.scale.fleet.step_process import StepProcess
from ml.scale.fleet.steps import MONITOR
from ml.scale.fleet.task import OrganizationTask, Outcome, work_on
from ml.workspace import audit
from ml.workspace.configurations import load_config
from ml.workspace.files import make_folder, read_json, sha256, write_json, write_text
from ml.workspace.locks import retraining_lock
from ml.workspace.paths import OrganizationPaths
from ml.workspace.versions.pruning import prune
from ml.workspace.versions.store import current_version

Tell = Callable[[dict[str, Any]], None]
RETRY_WAITS = (10.0, 60.0)
"""Seconds before the next attempts after an error that may pass by itself, such as a database that is away."""
_PASSES_BY_ITSELF = 4  # exit status
_PUBLISHED, _KEPT = "published", "kept"


def carry_out(task: OrganizationTask, tell: Tell) -> Outcome:
    """Run the steps of a task, or retrain if that is asked for and needed; every failure is an outcome."""
    if not task.if_needed:
        return work_on(task, tell)
    try:
        if task.digest not in (None, sha256(Path(task.config_file))):
            raise ConfigError("the configuration has changed since it was checked", hint="run the fleet again")
        return retrain(task, tell)
    except EagleError as error:
        return Outcome(task.organization_id, task.version, "failed", error=error.to_json())


def run_organization(task: OrganizationTask) -> Outcome:
    """Carry out a task on a Dask worker; its progress goes to the fleet's topic on the scheduler."""
    from distributed import get_worker

    worker = get_worker()
    return carry_out(task, lambda event: worker.log_event(task.run, event))


def retrain(task: OrganizationTask, tell: Tell) -> Outcome:
    """Make a new version by the task's steps on the newest rows, and publish it if validation lets it pass.

    With `if_needed` only where nothing is published, or monitoring says that a new model is due, and no attempt within
    ``monitoringConfig.pauseDays`` has failed to be better. The state of the outcome is ``done`` if the new version
    is published, ``unchanged`` if none is needed, ``refused`` if the one before stays, or as of `work_on`.

    Raises
    ------
    BusyError
        If another process retrains the organisation.
    ConfigError
        If the configuration holds a password: it would have to be written down.
    IntegrityError, IsolationError, StorageError
        As ml/errors.py describes them.
    """
    config = load_config(task.config_file)
    paths = OrganizationPaths(task.organization_id, Path(task.root))
    with retraining_lock(paths):
        state = _state(paths)
        if "outcome" in state or state.get("configDigest") != config.digest():
            reasons = _reasons(task, config, paths, state, tell)
            if isinstance(reasons, Outcome):
                return reasons
            state = _begin(config, paths, reasons)
        return _finish(task, config, paths, state, tell)


def _reasons(
    task: OrganizationTask, config: OrganizationConfig, paths: OrganizationPaths, last: Mapping[str, Any], tell: Tell
) -> list[dict[str, str]] | Outcome:
    """Why a new version is made; an outcome if none is, or nobody can say."""
    published = current_version(paths)
    if not task.if_needed:
        return [{"code": "ASKED", "message": "a new version was asked for"}]
    if published is None:
        return [{"code": "NOTHING_PUBLISHED", "message": "nothing is published"}]
    found: Mapping[str, Any] | None = kept_result(config, paths, published)
    if found is None:
        with StepProcess(
            Path(task.config_file), root=Path(task.root), share=task.share, run=task.run, tell=_named(task, tell)
        ) as process:
            looked = process.run(MONITOR, Path(task.config_file))
        if looked is None:
            return Outcome(task.organization_id, published, "stopped")
        if "retrain" not in looked.document:
            return Outcome(task.organization_id, published, "failed", error=looked.error())
        found = looked.document
    if found.get("retrain") != "yes":
        return _unchanged(task, published, found["verdict"])
    pause = timedelta(days=config.monitoring_config.pause_days)
    if last.get("outcome") == _KEPT and datetime.now(UTC) < datetime.fromisoformat(last["ended"]) + pause:
        waits = (
            f"version {last['version']} was not better; the next one is trained {config.monitoring_config.pause_days} "
        )
        return _unchanged(task, published, f"{found['verdict']} But {waits}days after it.")
    reasons: list[dict[str, str]] = found["reasons"]
    return reasons


def _unchanged(task: OrganizationTask, version: str, verdict: str) -> Outcome:
    return Outcome(task.organization_id, version, "unchanged", findings={"verdict": verdict})


def _begin(config: OrganizationConfig, paths: OrganizationPaths, reasons: list[dict[str, str]]) -> dict[str, Any]:
    """Name the new version, and write down what it is and the configuration that makes it."""
    database = config.scada_db_config
    if database is not None and database.password is not None:
        raise ConfigError(
            "retraining keeps its configuration, and this one holds a password",
            field="scadaDbConfig.password",
            hint="name the password in passwordEnv or passwordFile",
        )
    now = datetime.now(UTC)
    version = f"v{now:%Y-%m-%dT%H-%M-%S}-{now.microsecond // 1000:03d}Z"
    wanted = _for_version(config, version)
    make_folder(paths.request(version).parent)
    write_text(paths.request(version), wanted.to_json())
    state = {
        "version": version,
        "previousVersion": current_version(paths),
        "began": now.isoformat(),
        "reasons": reasons,
        "configDigest": config.digest(),
    }
    write_json(paths.retraining, state)
    return state


def _for_version(config: OrganizationConfig, version: str) -> OrganizationConfig:
    """The configuration for a new version: the newest rows, and no way around the comparison with the published one.

    A range of fixed ends keeps its length and ends at the newest row.
    """
    asked = config.data_range
    newest = asked
    if asked.end_date is not None:
        newest = DataRange(last=asked.last)
        if asked.start_date is not None:
            hours = -(-(asked.end_date - asked.start_date) // timedelta(hours=1))
            newest = DataRange(last=f"{hours}h")
    champion, publish = config.validation_config.champion, config.conversion_config.publish
    update = {
        "version": version,
        "output_path": None,
        "data_range": newest,
        "validation_config": config.validation_config.model_copy(
            update={"champion": "compare" if champion == "ignore" else champion}
        ),
        "conversion_config": config.conversion_config.model_copy(
            update={"publish": "if_valid" if publish == "always" else publish}
        ),
    }
    return type(config).from_dict(_absolute(config.model_copy(update=update).to_dict()))


def _absolute(section: dict[str, Any]) -> dict[str, Any]:
    """Paths that were found from the working directory, for whoever reads the configuration elsewhere."""
    found = dict(section)
    for key, value in section.items():
        if isinstance(value, dict):
            found[key] = _absolute(value)
        elif key in ("path", "sslRootCert") or (key == "database" and section.get("driver") == "sqlite"):
            found[key] = os.path.abspath(value) if isinstance(value, str) and value != "system" else value  # noqa: PTH100
    return found


def _finish(
    task: OrganizationTask, config: OrganizationConfig, paths: OrganizationPaths, state: dict[str, Any], tell: Tell
) -> Outcome:
    version, previous = state["version"], state["previousVersion"]
    own = replace(task, version=version, config_file=str(paths.request(version)), digest=None, force=False)
    outcome = work_on(own, tell)
    for wait in RETRY_WAITS:
        if outcome.state != "failed" or _exit_code(outcome) != _PASSES_BY_ITSELF:
            break
        tell({"organizationId": task.organization_id, "version": version, "message": f"again in {wait:.0f} s"})
        time.sleep(wait)
        outcome = work_on(own, tell)
    if outcome.state not in ("done", "unchanged", "refused"):
        return outcome
    published = current_version(paths) == version
    ended = {"outcome": _PUBLISHED if published else _KEPT, "ended": datetime.now(UTC).isoformat()}
    write_json(paths.retraining, {**state, **ended})
    audit.append(
        paths,
        operation="retrain",
        version=version,
        config_digest=state["configDigest"],
        result=audit.SUCCEEDED if published else audit.failed(QualityGateError.code),
    )
    prune(paths, config.monitoring_config.keep_versions)
    if published:
        return replace(outcome, state="done")
    verdict = (outcome.findings or {}).get("verdict") or (outcome.error or {}).get("message", "it was not published")
    stays = f"version {previous} stays published" if previous else "nothing is published"
    kept = QualityGateError(f"the new version {version} is not published, and {stays}: {verdict}")
    return replace(outcome, state="refused", error=kept.to_json())


def _exit_code(outcome: Outcome) -> int:
    code = (outcome.error or {}).get("code")
    return next((kind.exit_code for kind in ERRORS if kind.code == code), 0)


def _named(task: OrganizationTask, tell: Tell) -> Tell:
    def told(event: dict[str, Any]) -> None:
        about = {key: event.get(key) for key in ("step", "done", "total", "message")}
        tell({"organizationId": task.organization_id, "version": task.version, **about})

    return told


def _state(paths: OrganizationPaths) -> dict[str, Any]:
    """What the last retraining wrote down; nothing but an outcome of None before the first.

    Raises IntegrityError if it is not what a retraining writes.
    """
    if not paths.retraining.is_file():
        return {"outcome": None}
    state = read_json(paths.retraining, "the state of retraining")
    times = [state.get("began"), *([state.get("ended")] if "outcome" in state else [])]
    named = isinstance(state.get("version"), str) and isinstance(state.get("reasons"), list)
    if not named or "previousVersion" not in state or not all(map(_is_time, times)):
        raise IntegrityError(
            f"{paths.retraining.name} is not what a retraining has written",
            hint="remove it; the next retraining then begins anew",
        )
    return state


def _is_time(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (TypeError, ValueError):
        return False
