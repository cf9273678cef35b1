"""Probabilities from a published model: in a program by `load_model`, for whole files by ``python -m ml.predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml.predict.model import LoadedModel

CURRENT = "current"
"""Stands for the version that is published, whichever that is."""


def load_model(organization_id: str, version: str = CURRENT, *, root: Path | None = None) -> LoadedModel:
    """A version of an organisation's model, ready to predict.

    Every byte of the version is checked against its manifest when it is read. Loaded models are kept, the eight used
    last, and found again by the hash of their manifest. So the call is cheap (tens of microseconds) and belongs
    before every prediction: it gives the new model as soon as another version is published. Threads may share it.

    Parameters
    ----------
    organization_id
        The tenant.
    version
        Name of a version, or ``current``.
    root
        Workspace root. Default: ``ML_BASE_PATH``, else the ``ml`` package.

    Raises
    ------
    MissingArtifactError
        If nothing is published, or there is no such version, or it was not exported to ONNX.
    IntegrityError
        If a file is not what the manifest says, or the manifest is another organisation's.
    IsolationError
        If an id is no identifier, or a link leads out of the organisation's folders.
    BusyError
        If the version is being replaced at this moment.
    """
    from ml.predict.cache import SHARED  # numerical libraries only when a model is wanted
    from ml.workspace.paths import OrganizationPaths

    return SHARED.load(OrganizationPaths(organization_id, root), version)
