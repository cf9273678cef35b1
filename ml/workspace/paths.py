"""Every path of the workspace, each inside the folders of one organisation.

The workspace root holds ``models/`` and ``artifacts/``; below them each organisation has a folder of its own. A path
is built from checked identifiers only, and is refused if a symbolic link leads it out of the organisation's folders.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

import ml
from ml.config import OrganizationConfig
from ml.errors import DataError, IsolationError, MissingArtifactError
from ml.options.access.secrets import secrets_folder
from ml.options.base import Identifier
from ml.workspace.safe_open import refuse_second_name

_IDENTIFIER = TypeAdapter(Identifier)
_SEEN_LIMIT = 80
_AUDIT_LOG = "audit.jsonl"
_SCORES = "scores"
_SLICES = "slices"
_RETRAINING = "retraining.json"
INDEX = "index.html"
"""Name of a page that leads to others, in an organisation's artifacts and in the workspace."""
_RESERVED = {
    _AUDIT_LOG: "the audit log has this name",
    _SLICES: "the rows fetched from the database lie there",
    _RETRAINING: "what retraining has done last stands there",
    INDEX: "the page that leads to the reports has this name",
}


def workspace_root() -> Path:
    """The folder that holds ``models/`` and ``artifacts/``: ``ML_BASE_PATH``, else the ``ml`` package."""
    named = os.environ.get("ML_BASE_PATH")
    return Path(named) if named else Path(ml.__file__).parent


def organizations() -> list[str]:
    """Names of all folders of organisations in the workspace."""
    parts = [part for name in ("models", "artifacts") if (part := workspace_root() / name).is_dir()]
    return sorted({entry.name for part in parts for entry in part.iterdir() if entry.is_dir()})


def for_config(config: OrganizationConfig) -> OrganizationPaths:
    """The paths of the organisation that `config` is about; raises IsolationError."""
    return OrganizationPaths(config.organization_id, output_path=config.output_path)


@dataclass(frozen=True)
class OrganizationPaths:
    """Where one organisation's files are. Nothing is created, and nothing outside is ever named.

    Raises IsolationError if an id is not an identifier, differs only in case from another organisation's folder, or a
    path leads out of the organisation's folders. Methods that take a version raise it, too.

    Parameters
    ----------
    organization_id
        The tenant.
    root
        Workspace root. Default: `workspace_root()`.
    output_path
        Folder for the artifacts of a run, in place of ``artifacts/<organisation>/<version>``. It must lie directly
        in ``artifacts/<organisation>``. A relative path starts at the working directory.
    """

    organization_id: str
    root: Path | None = None
    output_path: str | None = None
    models: Path = field(init=False)
    """``models/<organisation>``: model versions and what is published."""
    artifacts: Path = field(init=False)
    """``artifacts/<organisation>``: what runs leave behind."""
    _workspace: tuple[Path, Path] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        name = _checked(self.organization_id, "organizationId")
        root = Path(os.path.realpath(self.root or workspace_root()))
        bases = (Path(os.path.realpath(root / "models")), Path(os.path.realpath(root / "artifacts")))
        for base in bases:
            _refuse_twin(base, name)
        object.__setattr__(self, "_workspace", bases)
        object.__setattr__(self, "models", bases[0] / name)
        object.__setattr__(self, "artifacts", bases[1] / name)
        for folder in (self.models, self.artifacts):
            self._inside(folder)
        if self.output_path is not None:
            _ = self._output_folder

    @property
    def audit_log(self) -> Path:
        """The organisation's audit log."""
        return self._inside(self.artifacts / _AUDIT_LOG)

    @property
    def index(self) -> Path:
        """The page that leads to the organisation's reports."""
        return self._inside(self.artifacts / INDEX)

    def comparison(self, version: str, other: str) -> Path:
        """The page that compares `version` with `other`."""
        return self._in_run(version, f"compared_with_{_checked(other, 'version')}.html")

    def comparisons(self) -> list[Path]:
        """All such pages."""
        return sorted(self.artifacts.glob("*/compared_with_*.html"))

    @property
    def audit_lock(self) -> Path:
        """Lock file of the audit log."""
        return self._inside(self.artifacts / ".audit.lock")

    @property
    def slices(self) -> Path:
        """Folder of the rows fetched from the organisation's database, which all versions share."""
        return self._inside(self.artifacts / _SLICES)

    @property
    def slices_lock(self) -> Path:
        """Lock file that a run holds while it fetches rows."""
        return self._inside(self.artifacts / ".slices.lock")

    @property
    def retraining(self) -> Path:
        """What retraining is doing, or has done last."""
        return self._inside(self.artifacts / _RETRAINING)

    @property
    def retraining_lock(self) -> Path:
        """Lock file that a retraining holds from its beginning to its end."""
        return self._inside(self.artifacts / ".retraining.lock")

    @property
    def organization_lock(self) -> Path:
        """Lock file for installing, publishing and rolling back."""
        return self._inside(self.models / ".lock")

    def version_lock(self, version: str) -> Path:
        """Lock file that a run holds while it writes `version`."""
        return self._inside(self.models / f".lock-{_checked(version, 'version')}")

    @property
    def versions(self) -> Path:
        """Folder of all model versions."""
        return self._inside(self.models / "versions")

    @property
    def current(self) -> Path:
        """The link to the published version."""
        return self._inside(self.models / "current")

    def version(self, version: str) -> Path:
        """Folder of one model version."""
        return self._inside(self.versions / _checked(version, "version"))

    def model_link(self, version: str) -> Path:
        """The name under which the backend opens one version's model."""
        return self._inside(self.models / f"model_{_checked(version, 'version')}.onnx")

    def model_listing(self, version: str) -> Path:
        """What the backend's deployment service reads beside that name."""
        return self._inside(self.models / f"model_{_checked(version, 'version')}.onnx.metadata.json")

    def run(self, version: str) -> Path:
        """Folder of what the runs for `version` leave behind."""
        name = _checked(version, "version")
        if self.output_path is not None:
            return self._output_folder
        _refuse_reserved(name, "version")
        return self._inside(self.artifacts / name)

    def prepared_data(self, version: str) -> Path:
        """The prepared grid."""
        return self._in_run(version, "prepared_data.parquet")

    def prepared_csv(self, version: str) -> Path:
        """The same as CSV."""
        return self._in_run(version, "prepared_data.csv")

    def request(self, version: str) -> Path:
        """The configuration by which the backend, or retraining, has asked for the version."""
        return self._in_run(version, "training_config.json")

    def data_summary(self, version: str) -> Path:
        """What preparation found in the data."""
        return self._in_run(version, "data_summary.json")

    def metrics(self, version: str) -> Path:
        """Scores of the trained model."""
        return self._in_run(version, "metrics.json")

    def predictions(self, version: str) -> Path:
        """Scored rows of the test part."""
        return self._in_run(version, "predictions.parquet")

    def validation_report(self, version: str, suffix: str) -> Path:
        """The validation report; `suffix` is ``.json`` or ``.html``."""
        return self._in_run(version, f"validation_report{suffix}")

    def episodes(self, version: str) -> Path:
        """The strongest past episodes of a model of normal behaviour, to be confirmed or dismissed."""
        return self._in_run(version, "episodes.csv")

    def monitoring(self, version: str, suffix: str) -> Path:
        """What production has shown of the version; `suffix` is ``.json`` or ``.html``."""
        return self._in_run(version, f"monitoring{suffix}")

    def proposed_failures(self, version: str) -> Path:
        """Recorded failures, and what is proposed in their place."""
        return self._in_run(version, "failures_proposed.csv")

    def logs(self, version: str) -> Path:
        """Folder of the step logs."""
        return self._in_run(version, "training_logs")

    def plots(self, version: str) -> Path:
        """Folder of the validation plots."""
        return self._in_run(version, "validation_plots")

    def tuning(self, version: str) -> Path:
        """Folder of the parameter search's results."""
        return self._in_run(version, "hyperparameter_results")

    def tuning_file(self, version: str, name: str) -> Path:
        """A file of the parameter search that a library opens by its name; refused if it is a link, wherever to."""
        path = self._inside(self.tuning(version) / name)
        if path.is_symlink():
            raise IsolationError(f"{path.parent.name}/{name} is a link, not a file", hint="remove the link")
        return path

    def readable_file(self, path: str | Path, what: str) -> Path:
        """The real path of a file that the user names for reading, wherever it lies but with another organisation.

        Raises IsolationError if it lies, links followed, in the workspace but not in this organisation's folders, is a
        link in them that leads out, or has a second name (a hard link), which may be another organisation's;
        MissingArtifactError if it does not exist; DataError if it is not a readable regular file.

        Parameters
        ----------
        path
            As the user gave it; a relative path starts at the working directory.
        what
            What the file is, for messages: ``"the test data"``.
        """
        return _readable(self.not_foreign(path, what), what)

    def not_foreign(self, path: str | Path, what: str) -> Path:
        """The real path of a file or folder, which need not exist; raises IsolationError as `readable_file`."""
        if "\0" in str(path):
            raise DataError(f"{what} has a zero byte in its name")
        given, real = Path(os.path.abspath(path)), Path(os.path.realpath(path))  # noqa: PTH100 - links must stay
        if self._is_foreign(given) or self._is_foreign(real) or (self._is_own(given) and not self._is_own(real)):
            raise IsolationError(
                f"{what} is not in the folders of this organisation",
                hint="name a file of this organisation, or one outside the workspace",
            )
        return real

    def writable_file(self, path: str | Path, what: str) -> Path:
        """The real path of a file that the user names for writing, which may exist.

        It lies outside ``models/`` and ``artifacts/``, or in ``artifacts/<organisation>/<version>/scores``: what the
        steps write there themselves is not to be overwritten.

        Raises IsolationError if it lies elsewhere in the workspace, links followed; DataError if it is a folder, or its
        name cannot be a file's.

        Parameters
        ----------
        path
            As the user gave it; a relative path starts at the working directory.
        what
            What the file is, for messages.
        """
        name = Path(path).name
        if "\0" in str(path) or name in ("", ".."):
            raise DataError(f"{what} is not the path of a file")
        given, real = Path(os.path.abspath(path)), Path(os.path.realpath(Path(path).parent)) / name  # noqa: PTH100
        given_inside, inside = (any(lies_in(file, base) for base in self._workspace) for file in (given, real))
        in_scores = real.parent.name == _SCORES and real.parent.parent.parent == self.artifacts
        if (inside and not in_scores) or (given_inside and not inside) or self._is_foreign(real):
            raise IsolationError(
                f"{what} must not lie among the files that the steps keep",
                hint=f"write it outside the workspace, or to artifacts/{self.organization_id}/<version>/{_SCORES}",
            )
        try:
            is_folder = real.is_dir()
        except OSError as error:
            raise DataError(f"{what} cannot be written: {error.strerror}") from error
        if is_folder:
            raise DataError(f"{what} ({name}) is a folder")
        return real

    @property
    def _output_folder(self) -> Path:
        named = self.output_path or ""
        folder = Path(os.path.realpath(named.replace("\0", "")))
        if "\0" in named or folder.parent != self.artifacts:
            raise IsolationError(
                "outputPath must be a folder directly in this organisation's artifacts folder",
                field="outputPath",
                hint="leave outputPath out: artifacts/<organizationId>/<version> is the default; if the caller makes "
                "that folder, ML_BASE_PATH must be the same for both",
            )
        _refuse_reserved(_checked(folder.name, "outputPath"), "outputPath")
        return folder

    def _in_run(self, version: str, name: str) -> Path:
        return self._inside(self.run(version) / name)

    def _inside(self, path: Path) -> Path:
        """`path`, if following its links stays where the path pretends to be."""
        home = self.models if path.is_relative_to(self.models) else self.artifacts
        if not Path(os.path.realpath(path)).is_relative_to(home):
            raise IsolationError(
                f"{path.relative_to(home.parent).as_posix()} is a link that leads out of the organisation's folders",
                hint="remove the link",
            )
        if path.is_file():
            refuse_second_name(path.stat(), path)
        return path

    def _is_own(self, path: Path) -> bool:
        return lies_in(path, self.models) or lies_in(path, self.artifacts)

    def _is_foreign(self, path: Path) -> bool:
        secrets = secrets_folder()
        if secrets is not None and lies_in(path, secrets):
            return True  # also this organisation's own: a secret is no data, and its text would be told in messages
        return any(lies_in(path, base) for base in self._workspace) and not self._is_own(path)


def _checked(identifier: str, name: str) -> str:
    try:
        return _IDENTIFIER.validate_python(identifier, strict=True)
    except ValidationError as failure:
        message = failure.errors(include_url=False)[0]["msg"]
        raise IsolationError(f"{name} {message} (got {str(identifier)[:_SEEN_LIMIT]!r})", field=name) from None


def _refuse_reserved(name: str, field_name: str) -> None:
    reason = _RESERVED.get(name.casefold())
    if reason is not None:
        raise IsolationError(f"{field_name} must not be {name.casefold()}: {reason}", field=field_name)


def _refuse_twin(base: Path, name: str) -> None:
    """Two ids that differ only in case would share one folder on some file systems."""
    if not base.is_dir():
        return
    if any(entry != name and entry.casefold() == name.casefold() for entry in os.listdir(base)):  # noqa: PTH208
        raise IsolationError(
            f'organizationId "{name}" differs only in upper and lower case from one that exists already',
            field="organizationId",
            hint="write it exactly as before, or choose another one",
        )


def lies_in(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or below it, by name or by identity on disk (other mounts, other case)."""
    if path.is_relative_to(folder):
        return True
    if not folder.exists():
        return False
    return any(os.path.exists(parent) and parent.samefile(folder) for parent in (path, *path.parents))  # noqa: PTH110


def _readable(path: Path, what: str) -> Path:
    try:
        exists, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}") from error
    if not exists:
        raise MissingArtifactError(
            f"{what} ({path.name}) does not exist",
            hint="check the path, which starts at the working directory or at the configuration's folder; or run the "
            "step that writes it",
        )
    if not is_file:
        hint = "it is a folder, and one file is needed" if path.is_dir() else None
        raise DataError(f"{what} ({path.name}) is not a regular file", hint=hint)
    refuse_second_name(path.stat(), path)
    if not os.access(path, os.R_OK):
        raise DataError(f"{what} ({path.name}) cannot be read: permission denied")
    return path
