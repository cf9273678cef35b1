"""Secrets that a configuration names and the operator keeps. Each belongs to one organisation; no other can name it.

A configuration gives a name, such as ``scada``, and never a path or a variable. Where the secret lies follows from the
name and the organisation alone, so whoever writes a configuration cannot have another secret sent to a server of his.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ml.errors import ConfigError, IsolationError

FOLDER_VARIABLE = "EAGLE_ML_SECRETS"
"""Environment variable of the operator: the folder of all secrets, with a folder for each organisation."""
VARIABLE_PREFIX = "EAGLE_SECRET_"
RULE = (
    f'a secret is called by its name, such as "scada": a file is ${FOLDER_VARIABLE}/<organizationId>/<name>, and a '
    f"variable is {VARIABLE_PREFIX}<organizationId>__<name>; the operator puts it there"
)
# No two separators follow each other, so "__" ends the organisation and nothing leads out of a folder.
_NAME = r"^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$"
_LONGEST_NAME = 128
_LONGEST_SECRET = 4096  # bytes; a longer file was named by mistake


def _check_name(value: str) -> str:
    if len(value) > _LONGEST_NAME or not re.fullmatch(_NAME, value):
        raise PydanticCustomError(
            "secret_name",
            "must be the name of a secret: 1 to 128 letters and digits, with single '.', '_' or '-' between them",
            {"hint": RULE},
        )
    return value


SecretName = Annotated[
    str, AfterValidator(_check_name), Field(json_schema_extra={"pattern": _NAME, "maxLength": _LONGEST_NAME})
]
"""The name of a secret of the configuration's own organisation."""


def secret_in_variable(organization_id: str, name: str, *, field: str) -> str:
    """The secret in the organisation's environment variable; raises ConfigError if it is not one line of text."""
    variable = f"{VARIABLE_PREFIX}{organization_id}__{name}"
    secret = os.environ.get(variable)
    if not secret:
        raise ConfigError(f"the environment variable {variable} is not set", field=field, hint=RULE)
    if not secret.isprintable():
        raise ConfigError(f"the environment variable {variable} is not one line of text", field=field, hint=RULE)
    return secret


def secret_in_file(organization_id: str, name: str, *, field: str) -> str:
    """The one line in the organisation's file of that name.

    Links are followed within the organisation's folder, as mounted secrets need it.

    Raises ConfigError if the operator keeps no secrets in files, or the file is missing or holds anything but one line
    of text; IsolationError if a link leads out of the organisation's folder of secrets.
    """
    folder = secrets_folder()
    if folder is None:
        raise ConfigError(f"the environment variable {FOLDER_VARIABLE} is not set", field=field, hint=RULE)
    own = folder / organization_id
    file = Path(os.path.realpath(own / name))
    if not file.is_relative_to(own):
        raise IsolationError(
            f'the secret "{name}" is a link that leads out of the organisation\'s folder', field=field, hint=RULE
        )
    try:
        content = file.read_bytes()[: _LONGEST_SECRET + 1] if file.is_file() else b""
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:  # its text would quote the secret
        problem = "is not text in UTF-8"
    else:
        if secret and len(content) <= _LONGEST_SECRET and secret.isprintable():
            return secret
        problem = "is not a file with one line of text"
    raise ConfigError(f'the secret "{name}" {problem}', field=field, hint=RULE)


def secrets_folder() -> Path | None:
    """The operator's folder of all secrets, links followed; None if there is none."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(os.path.realpath(named)) if named else None
