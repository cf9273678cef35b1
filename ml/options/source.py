"""Where an organisation's rows come from: `scadaDbConfig` or `dataSource`, within `dataRange`."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ml.options.access.database_url import UrlError, check_database_name, check_host, check_user, parse_url, refuse_url
from ml.options.access.secrets import SecretName, secret_in_file, secret_in_variable
from ml.options.base import ADDRESS_ERROR, PositiveSeconds, Section

_WORDS_OF_SSL = ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n")  # as pydantic reads a boolean
FOLDER = "folder"
"""Key of the context of a validation: the folder in which the configuration lies."""
PASSWORD_HINT = "the password belongs in password, or its name in passwordEnv or passwordFile"


FILE_DRIVERS = ("sqlite",)
"""Drivers whose `database` is the path of a file."""


class ScadaDbConfig(Section):
    """Connection to the organisation's SCADA database."""

    driver: Literal["postgresql", "sqlite", "sqlalchemy"] = Field(
        default="postgresql",
        description="Kind of database: postgresql (TimescaleDB as well), sqlite, or sqlalchemy for any other.",
    )
    database: str = Field(
        min_length=1,
        description="Database name; for sqlite the path of the file; for sqlalchemy a URL without a password, such as "
        "`mysql+pymysql://reader@host/plant`, with the options that "
        "[the documentation](#databases-by-url) lists.",
    )
    table: str | None = Field(
        default=None, min_length=1, description="Table or view with one row per reading, as `table` or `schema.table`."
    )
    host: str | None = Field(default=None, description="Name or address of the server.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Server port.")
    user: str | None = Field(default=None, description="Role to connect as; read-only is enough.")
    password: SecretStr | None = Field(
        default=None,
        exclude=True,
        description="Password; better `passwordEnv` or `passwordFile`. Never written anywhere.",
    )
    password_env: SecretName | None = Field(
        default=None,
        description="Name of the password: it is in the environment variable `EAGLE_SECRET_<organizationId>__<name>`.",
    )
    password_file: SecretName | None = Field(
        default=None,
        description="Name of the password: it is the one line of the file `<organizationId>/<name>` in the folder "
        "`EAGLE_ML_SECRETS`, such as a mounted secret.",
    )
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        default=None, description="As in libpq, for postgresql. Default: what `ssl` says, else prefer."
    )
    ssl: bool | dict[str, Any] | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="As the backend writes it for node-postgres: true is verify-full against the system's authorities, "
        "false is disable, `{rejectUnauthorized: false}` is require, `{ca}` needs the file in `sslRootCert`. "
        "`sslmode` comes before it.",
    )
    ssl_root_cert: str | None = Field(
        default=None, description="File of the certificate authority, or `system`; for postgresql."
    )
    connect_timeout_seconds: Annotated[int, Field(ge=1, le=600)] = Field(
        default=10, description="How long one attempt to connect may take; for postgresql."
    )
    statement_timeout_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=600, description="How long the server may work on one slice; for postgresql."
    )
    slice_seconds: PositiveSeconds | None = Field(
        default=None,
        description="Time that is fetched at once and then kept. Default: about 100,000 rows, in whole hours or days.",
    )
    require_least_privilege: bool = Field(
        default=False,
        description="Refuse a role that may do more than read: a superuser, one that bypasses row security, or one "
        "that may write to the table. Otherwise such a role gets a warning; for postgresql.",
    )

    @field_validator("ssl", mode="before")
    @classmethod
    def ssl_may_be_text(cls, value: Any) -> Any:
        """Forms hand objects on as JSON text; any other text but a word for true or false belongs elsewhere."""
        if not isinstance(value, str) or value.lower() in _WORDS_OF_SSL:
            return value
        with suppress(ValueError, RecursionError):
            if isinstance(read := json.loads(value), dict | bool):
                return read
        raise PydanticCustomError(
            "ssl", "must be true, false or an object as in node-postgres; a mode of libpq goes to sslmode"
        )

    @field_validator("host", "user", "table", "ssl_root_cert")
    @classmethod
    def no_key_holds_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        """People paste whole addresses where a name belongs; what is pasted is written into artifacts."""
        checks = {"host": check_host, "user": check_user}
        if value:
            _checked(checks.get(info.field_name or "", refuse_url), value)
        return found_path(value, info) if value and info.field_name == "ssl_root_cert" else value

    @field_validator("database")
    @classmethod
    def database_is_what_the_driver_takes(cls, value: str, info: ValidationInfo) -> str:
        """A name, a path or a URL, which is written into the log and the artifacts: no password may be part of it."""
        checks = {"postgresql": check_database_name, "sqlite": refuse_url, "sqlalchemy": parse_url}
        if "driver" in info.data:
            _checked(checks[info.data["driver"]], value)
        return found_path(value, info) if info.data.get("driver") in FILE_DRIVERS else value

    @property
    def database_file(self) -> str | None:
        """The path of the database, if that is a file."""
        return self.database if self.driver in FILE_DRIVERS else None

    @model_validator(mode="after")
    def one_password_source(self) -> Self:
        """Two sources for one secret would leave it unclear which one counts."""
        if sum(each is not None for each in (self.password, self.password_env, self.password_file)) > 1:
            raise PydanticCustomError("two_passwords", "password, passwordEnv and passwordFile exclude each other")
        return self

    def secret(self, organization_id: str) -> str | None:
        """The password, from here or from where the operator keeps it for the organisation.

        Raises ConfigError, IsolationError as `ml.options.access.secrets.secret_in_variable` and `secret_in_file`.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is not None:
            return secret_in_file(organization_id, self.password_file, field="scadaDbConfig.passwordFile")
        if self.password_env is not None:
            return secret_in_variable(organization_id, self.password_env, field="scadaDbConfig.passwordEnv")
        return None


def _checked(check: Callable[[str], object], value: str) -> None:
    try:
        check(value)
    except UrlError as error:
        hint = {"hint": PASSWORD_HINT} if "password" in str(error) else {}
        raise PydanticCustomError(ADDRESS_ERROR, "{reason}", {"reason": str(error), **hint}) from None


def checked_path(value: str, info: ValidationInfo) -> str:
    """A path of a file as it is found; a URL in its place may hold a password."""
    _checked(refuse_url, value)
    return found_path(value, info)


def found_path(value: str, info: ValidationInfo) -> str:
    """A relative path as it is found: in the working directory, else in the configuration's folder.

    That folder is `FOLDER` in the context of the validation. What lies there is named from the root, so that a
    configuration means the same from everywhere, also where it is the working directory. Every other path stays as it
    is written.
    """
    folder = (info.context or {}).get(FOLDER)
    if folder is None or os.path.isabs(value):  # noqa: PTH117 - false for any odd name
        return value
    is_here = os.path.realpath(folder) == os.path.realpath(os.curdir)
    if not is_here and _leads_somewhere(value):
        return value
    beside = os.path.join(folder, value)  # noqa: PTH118
    return beside if _leads_somewhere(beside) else value


def _leads_somewhere(path: str) -> bool:
    """Whether a file or folder has the name, or one fits the pattern."""
    if os.path.exists(path):  # noqa: PTH110 - false for any odd name
        return True
    return "\0" not in path and next(glob.iglob(path), None) is not None  # noqa: PTH207 - patterns with folders


class DataSource(Section):
    """Rows in a file instead of a database."""

    path: Annotated[str, AfterValidator(checked_path)] = Field(
        min_length=1,
        description="File, folder, or pattern such as `data/*.csv`: CSV, Parquet, JSON lines, Excel, zip; see "
        "[layouts.md](layouts.md#files).",
    )


class DataRange(Section):
    """Which rows to use: startDate <= time < endDate."""

    start_date: datetime | None = Field(default=None, description="First instant, ISO 8601.")
    end_date: datetime | None = Field(default=None, description="Instant after the last, ISO 8601.")
    last: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[hdw]$")] | None = Field(
        default=None,
        description="In place of startDate, how far to go back from endDate or, without one, from the newest row of "
        "the source: hours, days or weeks, such as `36h`, `365d` or `52w`.",
    )

    @property
    def last_seconds(self) -> int | None:
        """`last` in seconds."""
        return (
            None if self.last is None else int(self.last[:-1]) * {"h": 3600, "d": 86_400, "w": 604_800}[self.last[-1]]
        )

    @model_validator(mode="after")
    def starts_before_it_ends(self) -> Self:
        """An empty range is a mistake, not a wish."""
        start, end = self.start_date, self.end_date
        if start is not None and self.last is not None:
            raise PydanticCustomError("two_starts", "startDate and last exclude each other")
        if start is None or end is None:
            return self
        if (start.tzinfo is None) != (end.tzinfo is None):
            raise PydanticCustomError("mixed_zones", "startDate and endDate must both have a time zone, or neither")
        if start >= end:
            raise PydanticCustomError("empty_range", "startDate must lie before endDate")
        return self
