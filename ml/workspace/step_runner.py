"""How every command runs: arguments and configuration in, one JSON result on stdout, an exit status out.

The commands themselves only compute. Everything that the caller of a process relies on is here: what is printed where,
exit statuses, signals, logs, the audit log, and that no secret or traceback leaves by the wrong door.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, Protocol

from ml.config import OrganizationConfig
from ml.errors import EagleError, InternalError, MissingLibraryError, StoppedError, StorageError, UsageError
from ml.findings import distinct
from ml.private_folders import settle_matplotlib
from ml.workspace import audit
from ml.workspace.configurations import load_config
from ml.workspace.files import is_disk_error, plain, plain_storage_errors, storage_error
from ml.workspace.locks import version_lock
from ml.workspace.logs import log_unexpected, step_log, warnings_on_stderr
from ml.workspace.paths import OrganizationPaths, for_config
from ml.workspace.process.memory_limit import refuse_small_address_space
from ml.workspace.process.parent_death import ParentWatch
from ml.workspace.process.people import failure_in_words, step_in_words
from ml.workspace.process.progress import Progress
from ml.workspace.process.redaction import Redactor
from ml.workspace.process.result_stream import ResultStream
from ml.workspace.process.stopping import StopGuard, stopped_error, stopped_exit_code
from ml.workspace.temp_files import clear_leftovers

_log = logging.getLogger(__name__)
_OTHERS_WRITE = 0o022
_OWN_PACKAGES = ("ml", "simulation")


class StepResult(Protocol):
    """What a step returns."""

    def to_json(self) -> dict[str, Any]:
        """The step's own part of the JSON result.

        ``dataDigest``, if there, goes into the audit log as well; ``warnings`` are findings in their JSON form.
        """


def run_step(
    step: str,
    parser: argparse.ArgumentParser,
    work: Callable[[OrganizationConfig, argparse.Namespace, Progress], StepResult],
    argv: list[str] | None = None,
    *,
    reads_version: Callable[[OrganizationConfig, argparse.Namespace], str] | None = None,
) -> int:
    """Run one step for the organisation and version that its configuration names; gives the exit status.

    Parameters
    ----------
    step
        Name of the step; also of its log file.
    parser
        Must define the positional argument ``config``, the path of the configuration.
    work
        The step itself.
    argv
        Arguments. Default: those of the process.
    reads_version
        For a step that changes no version: which one it reads. Such steps may run beside each other, and beside one
        that writes.
    """

    def command(arguments: argparse.Namespace, redactor: Redactor) -> dict[str, Any]:
        settle_matplotlib()
        config = load_config(arguments.config)
        for secret in secrets_of(config):
            redactor.hide(secret)
        refuse_small_address_space()
        paths = for_config(config)
        lock: AbstractContextManager[None] = contextlib.nullcontext()
        if reads_version is None:
            lock = version_lock(paths, config.version)
        else:
            config = config.model_copy(update={"version": reads_version(config, arguments)})
        with lock, _step_files(paths, config.version, step, redactor):
            try:
                with audit.recorded(paths, step, version=config.version, config_digest=config.digest()) as record:
                    result = _work(step, work, config, arguments)
                    digest = result.get("dataDigest")
                    record["data_digest"] = digest if isinstance(digest, str) else None
            except EagleError as error:
                error.partial = {key: value for key, value in _with_findings(config, error.partial).items() if value}
                raise
        return {"organizationId": config.organization_id, "version": config.version, **_with_findings(config, result)}

    return run_command(
        step,
        parser,
        command,
        argv,
        lambda arguments, result: step_in_words(step, arguments, result),
        ends_with_parent=True,
    )


def run_command(
    name: str,
    parser: argparse.ArgumentParser,
    command: Callable[[argparse.Namespace, Redactor], Mapping[str, Any]],
    argv: list[str] | None = None,
    for_people: Callable[[argparse.Namespace, Mapping[str, Any]], str | None] | None = None,
    *,
    ends_with_parent: bool = False,
) -> int:
    """Run `command` and report it: exactly one JSON document on stdout, and the exit status that goes with it.

    The document is ``{"status": "SUCCESS", "step": name, ...}`` with what `command` returns, or
    ``{"status": "FAILED", "step": name, "error": {...}}``. The error is also the last line on stderr. A terminal shows
    the failure in words, and a successful result as `for_people` tells it, unless the arguments ask for JSON. With
    `ends_with_parent`, a process of its own stops when the one that started it has gone.
    """
    redactor = Redactor()
    failure: EagleError | None = None
    result: Mapping[str, Any] = {}
    try:
        arguments = _parse(parser, argv)
    except UsageError as error:
        arguments, failure = argparse.Namespace(), error
    if arguments is None:
        return 0
    with (
        audit.session(getattr(arguments, "actor", None)) as session,
        ResultStream() as stdout,
        StopGuard(_end_process(name, stdout, session)) as stop,
        warnings_on_stderr(redactor),
        _nothing_writable_for_others(),
        ParentWatch(enabled=ends_with_parent and argv is None),
    ):
        if failure is None:
            try:
                with stop.interruptible():
                    result = command(arguments, redactor)
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                failure = as_told_to_user(error, redactor)
        if failure is not None and stop.signal_number is not None:
            failure = stopped_error(stop.signal_number)  # whatever a library made of the interruption
        document = _document(name, result, failure, redactor, session)
        if failure is not None:
            stdout.tell_error(document["error"])  # before the result, after which nobody waits for us any more
        status = _exit_code(failure, stop.signal_number)
        text = None
        if stdout.on_terminal and not getattr(arguments, "json", False):
            with contextlib.suppress(Exception):  # what has no words is shown as JSON
                text = failure_in_words(document, status) if failure else for_people and for_people(arguments, document)
        stdout.write(document, status, text)
        if isinstance(failure, StoppedError) and argv is None and stdout.is_process:
            _leave(status)
    return status


@contextmanager
def _nothing_writable_for_others() -> Iterator[None]:
    """Whatever libraries write, byte code among it, others may not change: with a umask of 000 they could."""
    before = os.umask(_OTHERS_WRITE)
    os.umask(before | _OTHERS_WRITE)
    try:
        yield
    finally:
        os.umask(before)


def _leave(status: int) -> NoReturn:
    """End a stopped process while its signals are still handled.

    Everything is cleaned up by now. What the interpreter would do on its way out, such as taking down the numerical
    libraries, can take longer than whoever stopped the process waits.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is closed or missing
        sys.stderr.flush()
    os._exit(status)


def as_told_to_user(error: BaseException, redactor: Redactor | None = None) -> EagleError:
    """`error` as one of the errors of `ml.errors`; what nobody foresaw gets an id, and its traceback into the log.

    The log is the step's; where none is open, a file of its own, whose secrets `redactor` hides.
    """
    if isinstance(error, EagleError):
        return error
    if (stopped := _stopped_behind(error)) is not None:
        return stopped
    if isinstance(error, KeyboardInterrupt):
        return stopped_error(signal.SIGINT)
    if isinstance(error, MemoryError):
        return StorageError("not enough memory", hint="use a shorter dataRange, or a machine with more memory")
    if isinstance(error, OSError) and is_disk_error(error):
        return storage_error(error, Path(error.filename).name if isinstance(error.filename, str) else "a file")
    if isinstance(error, ModuleNotFoundError) and (error.name or "ml").partition(".")[0] not in _OWN_PACKAGES:
        return MissingLibraryError(
            f"{error.name} is not installed", hint=f"{sys.executable} -m pip install {error.name}"
        )
    identity = os.urandom(4).hex()
    file = log_unexpected(identity, error, redactor or Redactor())
    where = "no log could be written" if file is None else f"report it with the lines around {identity} in {file}"
    return InternalError(f"unexpected error {identity}", hint=where)


def _stopped_behind(error: BaseException | None) -> StoppedError | None:
    """The interruption that a library has wrapped in an error of its own, if that is what happened."""
    while error is not None:
        if isinstance(error, StoppedError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _parse(parser: argparse.ArgumentParser, argv: list[str] | None) -> argparse.Namespace | None:
    """The arguments; None if help was asked for, and has been printed."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return parser.parse_args(argv)
    except SystemExit as leaving:
        if not leaving.code:
            return None
        message = complaint.getvalue().partition(": error: ")[2].strip()
        raise UsageError(message or "the command line is not valid", hint=f"{parser.prog} --help") from None


def _with_findings(config: OrganizationConfig, result: Mapping[str, Any]) -> dict[str, Any]:
    """`result` with the findings of reading the configuration before its own ``warnings``, each once."""
    warnings = [*(finding.to_json() for finding in config.findings), *result.get("warnings", [])]
    return {**{key: value for key, value in result.items() if key != "warnings"}, "warnings": distinct(warnings)}


def secrets_of(config: OrganizationConfig) -> Iterator[str | None]:
    """The passwords of databases; one that cannot be had matters only to the steps that use the database."""
    database = config.scada_db_config
    if database is not None:
        with contextlib.suppress(EagleError):
            yield database.secret(config.organization_id)
    with contextlib.suppress(EagleError):
        yield config.tuning_config.storage_secret(config.organization_id)


@contextmanager
def _step_files(paths: OrganizationPaths, version: str, step: str, redactor: Redactor) -> Iterator[None]:
    """The run's folder without remains of killed runs, and the step's log in it."""
    with plain_storage_errors("the artifacts folder"):
        clear_leftovers(paths.run(version))
    with step_log(paths.logs(version) / f"{step}.log", redactor):
        yield


def _work(
    step: str,
    work: Callable[[OrganizationConfig, argparse.Namespace, Progress], StepResult],
    config: OrganizationConfig,
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Run the step while its log is open; every failure leaves as an EagleError, its traceback in the log."""
    _log.info("%s starts: organisation %s, version %s", step, config.organization_id, config.version)
    try:
        with Progress(step) as progress:
            result = work(config, arguments, progress).to_json()
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        told = as_told_to_user(error)
        _log.info("%s failed: %s: %s", step, told.code, told.message, exc_info=isinstance(error, EagleError))
        raise told from error
    _log.info("%s is done", step)
    return result


def _document(
    name: str, result: Mapping[str, Any], failure: EagleError | None, redactor: Redactor, session: audit.Session
) -> dict[str, Any]:
    """The result; with the head of the audit log whenever the command wrote a record, also if it failed."""
    head = {} if session.head is None else {"auditHead": session.head}
    if failure is None:
        return {"status": "SUCCESS", "step": name, **redactor.value(plain(result)), **head}
    error = {**redactor.value(failure.to_json()), "code": failure.code}
    achieved = redactor.value(plain(failure.partial))
    return {**achieved, "status": "FAILED", "step": name, "error": error, **head}


def _exit_code(failure: EagleError | None, signal_number: int | None) -> int:
    if failure is None:
        return 0
    if isinstance(failure, StoppedError):
        return stopped_exit_code(signal_number or signal.SIGINT)
    return failure.exit_code


def _end_process(name: str, stdout: ResultStream, session: audit.Session) -> Callable[[int], None]:
    """What to do when the main thread does not come back after a signal, from native code or a pipe nobody reads."""

    def end(signal_number: int) -> None:
        document = _document(name, {}, stopped_error(signal_number), Redactor(), session)
        if stdout.is_process:
            status = stdout.write_soon(document, stopped_exit_code(signal_number))
            stdout.tell_error_without_waiting(document["error"])
            os._exit(status)

    return end
