"""Where an organisation's rows come from: `scadaDbConfig` or `dataSource`, within `dataRange`."""

from __future__ import annotations

import os
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from ml.errors import ConfigError
from ml.options.base import PositiveSeconds, Section

PASSWORD_IN_URL = re.compile(r"//[^/@]*:[^/@]*@|[?&][^=]*(pass|pwd|secret|token)[^=]*=", re.IGNORECASE)
_LONGEST_PASSWORD = 4096  # bytes; a longer file was named by mistake


class ScadaDbConfig(Section):
    """Connection to the organisation's SCADA database."""

    driver: Literal["postgresql", "sqlite", "sqlalchemy"] = Field(
        default="postgresql",
        description="Kind of database: postgresql (TimescaleDB as well), sqlite, or sqlalchemy for any other.",
    )
    database: str = Field(
        min_length=1,
        description="Database name; for sqlite the path of the file; for sqlalchemy a URL without a password, such as "
        "`mysql+pymysql://reader@host/plant`.",
    )
    table: str | None = Field(
        default=None, min_length=1, description="Table or view with one row per reading, as `table` or `schema.table`."
    )
    host: str | None = Field(default=None, description="Server name.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Server port.")
    user: str | None = Field(default=None, description="Role to connect as; read-only is enough.")
    password: SecretStr | None = Field(
        default=None,
        exclude=True,
        description="Password; better `passwordEnv` or `passwordFile`. Never written anywhere.",
    )
    password_env: str | None = Field(default=None, description="Environment variable that holds the password.")
    password_file: str | None = Field(
        default=None,
        min_length=1,
        description="File that holds the password and nothing else, such as a mounted secret; a line break at its end "
        "is not part of it.",
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

    @model_validator(mode="after")
    def url_holds_no_password(self) -> Self:
        """A URL is written into the log and the artifacts, so a password must not be part of it."""
        if self.driver == "sqlalchemy" and PASSWORD_IN_URL.search(self.database):
            raise PydanticCustomError(
                "password_in_url", "the URL in database must not hold a password; use passwordEnv or passwordFile"
            )
        return self

    @model_validator(mode="after")
    def one_password_source(self) -> Self:
        """Two sources for one secret would leave it unclear which one counts."""
        if sum(each is not None for each in (self.password, self.password_env, self.password_file)) > 1:
            raise PydanticCustomError("two_passwords", "password, passwordEnv and passwordFile exclude each other")
        return self

    def secret(self) -> str | None:
        """The password, from here, from the environment or from its file.

        Raises
        ------
        ConfigError
            If `passwordEnv` names a variable that is not set, or `passwordFile` a file that holds no password.
        """
        if self.password is not None:
            return self.password.get_secret_value()
        if self.password_file is not None:
            return _password_in(Path(self.password_file))
        if self.password_env is None:
            return None
        if self.password_env not in os.environ:
            raise ConfigError(
                f"the environment variable {self.password_env} is not set",
                field="scadaDbConfig.passwordEnv",
                hint="set it where the step is spawned",
            )
        return os.environ[self.password_env]


def _password_in(file: Path) -> str:
    try:
        content = file.read_bytes()[: _LONGEST_PASSWORD + 1] if file.is_file() else b""
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:  # its text would quote the password
        problem = "is not text in UTF-8"
    else:
        if password and len(content) <= _LONGEST_PASSWORD and password.isprintable():
            return password
        problem = "is not a file with one line of text"
    raise ConfigError(
        f"the password file {file.name} {problem}",
        field="scadaDbConfig.passwordFile",
        hint="put the password, and nothing else, into a file that the step may read",
    )


class DataSource(Section):
    """Rows in a file instead of a database."""

    path: str = Field(min_length=1, description="CSV (.csv, .csv.gz) or Parquet (.parquet) file.")


class DataRange(Section):
    """Which rows to use: startDate <= time < endDate."""

    start_date: datetime | None = Field(default=None, description="First instant, ISO 8601.")
    end_date: datetime | None = Field(default=None, description="Instant after the last, ISO 8601.")

    @model_validator(mode="after")
    def starts_before_it_ends(self) -> Self:
        """An empty range is a mistake, not a wish."""
        start, end = self.start_date, self.end_date
        if start is None or end is None:
            return self
        if (start.tzinfo is None) != (end.tzinfo is None):
            raise PydanticCustomError("mixed_zones", "startDate and endDate must both have a time zone, or neither")
        if start >= end:
            raise PydanticCustomError("empty_range", "startDate must lie before endDate")
        return self
