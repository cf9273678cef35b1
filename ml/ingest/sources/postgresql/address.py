"""`scadaDbConfig` as the connection string of libpq."""

from __future__ import annotations

from typing import Any

from ml.errors import ConfigError
from ml.options.access.database_url import LIBPQ_WITHOUT_LOGINS
from ml.options.source import ScadaDbConfig

APPLICATION = "eagle-ml"
# A dead peer is noticed after about a minute, not after the two hours that systems allow by default.
_KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_SSL_FIELD = "scadaDbConfig.ssl"
_SSL_KEYS = ("rejectUnauthorized", "ca")


def connection_string(database: ScadaDbConfig, password: str | None) -> str:
    """Keywords and values for libpq, the password among them: never to be written anywhere.

    Raises ConfigError if `ssl` holds what has no counterpart.
    """
    sslmode, authority = _encryption(database)
    parts: dict[str, Any] = {
        "host": database.host,
        "port": database.port,
        "dbname": database.database,
        "user": database.user,
        "password": password or "",  # not PGPASSWORD, which is no organisation's
        "sslmode": sslmode,
        "sslrootcert": authority,
        "connect_timeout": database.connect_timeout_seconds,
        "application_name": APPLICATION,
        **_KEEPALIVE,
        **LIBPQ_WITHOUT_LOGINS,
    }
    return " ".join(f"{name}={_quoted(str(value))}" for name, value in parts.items() if value is not None)


def _encryption(database: ScadaDbConfig) -> tuple[str | None, str | None]:
    """`sslmode` and `sslrootcert`; what node-postgres does with `ssl`, unless `sslmode` says otherwise."""
    authority = database.ssl_root_cert
    if database.sslmode is not None or database.ssl is None:
        return database.sslmode, authority
    if isinstance(database.ssl, bool):
        return ("verify-full", authority or "system") if database.ssl else ("disable", None)
    unknown = sorted(set(database.ssl) - set(_SSL_KEYS))
    if unknown:
        raise ConfigError(
            f'ssl holds "{unknown[0]}", which is not supported; allowed are {" and ".join(_SSL_KEYS)}',
            field=_SSL_FIELD,
            hint="use sslmode and sslRootCert",
        )
    if database.ssl.get("rejectUnauthorized") is False:
        return "require", None
    if "ca" in database.ssl and authority is None:
        raise ConfigError(
            "ssl.ca holds the text of a certificate; the driver reads it from a file",
            field=_SSL_FIELD,
            hint="write it to a file, name the file in sslRootCert, and set sslmode to verify-full",
        )
    return "verify-full", authority or "system"


def _quoted(value: str) -> str:
    """A value that cannot end early, whatever is in it."""
    if "\0" in value:
        raise ConfigError("a value of scadaDbConfig holds a zero byte", field="scadaDbConfig")
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
