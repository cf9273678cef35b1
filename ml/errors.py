"""Every way a step can fail, on one page: its code, its exit status, and what it means.

A step raises one of these classes; the step runner turns it into the JSON error on stdout and the exit
status. Nothing else decides an exit status. A message says what is wrong, where, the value seen and what is
allowed; the hint says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class EagleError(Exception):
    """A failure that the user can be told about in one sentence.

    Parameters
    ----------
    message
        What is wrong, with the value seen and what is allowed. Never a secret, never another organisation's name.
    field
        Path of the configuration key or column at fault, such as ``schemaConfig.lagSeconds[1]``.
    hint
        What to do next.
    partial
        What was achieved all the same; stands beside the error in the JSON result.
    """

    code: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 70
    meaning: ClassVar[str] = "a bug of ours; the log has the traceback under the given id"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        hint: str | None = None,
        partial: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint
        self.partial = partial or {}

    def to_json(self) -> dict[str, str]:
        """The ``error`` object of the step's JSON result."""
        parts = {"code": self.code, "message": self.message, "field": self.field, "hint": self.hint}
        return {key: value for key, value in parts.items() if value is not None}


class UsageError(EagleError):
    code, exit_code = "USAGE", 2
    meaning = "the command line is not as documented"


class ConfigError(EagleError):
    code, exit_code = "CONFIG_INVALID", 2
    meaning = "the configuration is not readable, or a key or value in it is not allowed"


class DataError(EagleError):
    code, exit_code = "DATA_INVALID", 3
    meaning = "the data cannot be used as it is (unreadable, wrong types, reserved names)"


class MissingColumnError(DataError):
    code = "COLUMN_MISSING"
    meaning = "the source has no column of that name"


class NoRowsError(DataError):
    code = "NO_ROWS"
    meaning = "no rows in the requested range, or none left that may be used"


class TooFewFailuresError(DataError):
    code = "TOO_FEW_FAILURES"
    meaning = "a part of the data has too few failure events, or only one class, to learn from or to evaluate on"


class MissingArtifactError(DataError):
    code = "ARTIFACT_MISSING"
    meaning = "something that an earlier step writes is not there"


class SourceError(EagleError):
    code, exit_code = "SOURCE_UNAVAILABLE", 4
    meaning = "the database cannot be reached or refuses the query"


class StorageError(EagleError):
    code, exit_code = "STORAGE_FAILED", 4
    meaning = "the disk is full or a file cannot be written"


class BusyError(EagleError):
    code, exit_code = "VERSION_BUSY", 4
    meaning = "another process is writing this organisation's version right now"


class MissingLibraryError(EagleError):
    code, exit_code = "LIBRARY_MISSING", 4
    meaning = "a library that only this command needs is not installed"


class ClusterError(EagleError):
    code, exit_code = "CLUSTER_UNAVAILABLE", 4
    meaning = "the Dask cluster cannot be reached, offers no workers, or lost them again and again"


class QualityGateError(EagleError):
    code, exit_code = "QUALITY_GATE", 5
    meaning = "the model does not meet the thresholds, or has no passed validation report"


class ParityError(QualityGateError):
    code = "EXPORT_NOT_EXACT"
    meaning = "the ONNX model differs from the trained one; nothing was published"


class IsolationError(EagleError):
    code, exit_code = "ISOLATION_REFUSED", 6
    meaning = "the request would touch something that is not this organisation's"


class IntegrityError(EagleError):
    code, exit_code = "INTEGRITY_REFUSED", 6
    meaning = "a stored file is not what its manifest says, or could run code when opened"


class FleetError(EagleError):
    code, exit_code = "FLEET_INCOMPLETE", 7
    meaning = "some organisations of the fleet failed or were refused; all others are done, the summary says which"


class StoppedError(EagleError):
    code, exit_code = "STOPPED", 143
    meaning = "stopped by SIGTERM (143) or SIGINT (130); nothing half-written was left"


class InternalError(EagleError):
    pass


ERRORS: tuple[type[EagleError], ...] = (
    UsageError,
    ConfigError,
    DataError,
    MissingColumnError,
    NoRowsError,
    TooFewFailuresError,
    MissingArtifactError,
    SourceError,
    StorageError,
    BusyError,
    MissingLibraryError,
    ClusterError,
    QualityGateError,
    ParityError,
    IsolationError,
    IntegrityError,
    FleetError,
    StoppedError,
    InternalError,
)
