"""Addresses of databases: a URL is taken apart here, by one short grammar, and libraries get the parts.

A URL of a configuration is written into logs and artifacts, so no place in it can hold a password; and no option of
it can name a file, a program or a login of this machine. Parsers disagree about odd URLs, so odd ones are refused.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

_LONGEST = 2_000  # characters; names of servers, databases and roles are far shorter
_SCHEME = re.compile(r"([a-z][a-z0-9]*)(?:\+([a-z][a-z0-9_]*))?", re.ASCII)
_SERVER = re.compile(r"(?:\[([^\]]*:[^\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")
_HOST_NAME = re.compile(r"[\w.-]+(?:\\[\w$]+)?")  # SQL Server: server\instance
_NAME = re.compile(r"[\w .$@#~+-]+")
_USER = re.compile(r"[\w .$@#~+\\-]+")
_OPTION_VALUE = re.compile(r"[\w .,:+-]+")
_SECRET_WORDS = ("pass", "pwd", "secret", "token")
_ANY_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/*[^/]*@|[A-Za-z][A-Za-z0-9+.-]+://")

NO_PASSWORD = "must not hold a password"
OPTIONS: Mapping[str, frozenset[str]] = {
    "postgresql": frozenset({"sslmode", "connect_timeout", "application_name", "target_session_attrs"}),
    "mysql": frozenset({"charset", "connect_timeout", "read_timeout", "write_timeout"}),
    "mariadb": frozenset({"charset", "connect_timeout", "read_timeout", "write_timeout"}),
    "mssql": frozenset({"driver", "Encrypt", "TrustServerCertificate", "MultiSubnetFailover", "ApplicationIntent"}),
    "oracle": frozenset({"service_name"}),
}
"""What may stand after the "?" of a URL, by dialect; none names a file. Dialects not listed take no option."""

_NOWHERE = f"{os.devnull}/none"  # no file can ever be there
LIBPQ_WITHOUT_LOGINS: Mapping[str, str] = {"passfile": _NOWHERE, "sslcert": _NOWHERE, "gssencmode": "disable"}
"""What keeps libpq from the logins of this account (.pgpass, client certificate), which are no organisation's."""


class UrlError(ValueError):
    """What is wrong with an address, in words that repeat nothing of it."""


@dataclass(frozen=True)
class DatabaseUrl:
    """The parts of ``dialect+driver://user@host:port/database?option=value``, decoded."""

    dialect: str
    driver: str | None
    user: str | None
    host: str | None
    port: int | None
    database: str
    options: Mapping[str, str]

    @property
    def scheme(self) -> str:
        """``dialect+driver``, or the dialect alone."""
        return self.dialect if self.driver is None else f"{self.dialect}+{self.driver}"


def parse_url(text: str) -> DatabaseUrl:
    """The parts of a URL; raises UrlError."""
    if len(text) > _LONGEST:
        raise UrlError(f"must have at most {_LONGEST:,} characters")
    scheme, separator, rest = text.partition("://")
    named = _SCHEME.fullmatch(scheme)
    if not separator or named is None:
        raise UrlError("must be a URL such as dialect+driver://user@host:port/database")
    location, _, query = rest.partition("?")
    authority, _, database = location.partition("/")
    user, _, server = authority.rpartition("@")
    if ":" in unquote(user) or "@" in unquote(database) or "@" in query:
        raise UrlError(NO_PASSWORD)
    host, port = _server(server)
    return DatabaseUrl(
        dialect=named[1],
        driver=named[2],
        user=_decoded(user, _USER, "the user") if user else None,
        host=host,
        port=port,
        database=_decoded(database, _NAME, "the database") if database else "",
        options=_options(query, OPTIONS.get(named[1], frozenset()), named[1]),
    )


def check_host(host: str) -> None:
    """Raise UrlError unless `host` is a name or an address, or several with commas between; a path is none."""
    for one in host.split(","):
        if ":" in one:
            try:
                ipaddress.ip_address(one.partition("%")[0])
            except ValueError:
                raise UrlError(
                    "must be the name or address of a server; the port belongs in port, the user in user, and a "
                    "password in neither"
                ) from None
        elif not _HOST_NAME.fullmatch(one):
            raise UrlError("must be the name or address of a server: no path, no URL, no user")


def check_user(user: str) -> None:
    """Raise UrlError unless `user` can be a role, and no password follows it."""
    if not _USER.fullmatch(user):
        raise UrlError("must be the name of a role; a password does not belong there")


def check_database_name(name: str) -> None:
    """Raise UrlError unless `name` can be a database's, and not a URL or connection string."""
    if not _NAME.fullmatch(name) or "@" in name:
        raise UrlError(
            "must be the name of a database: letters, digits, blanks and . _ $ # ~ + -; server, user and password have "
            "keys of their own"
        )


def refuse_url(text: str) -> None:
    """Raise UrlError if `text` begins like a URL, which may hold a password, where it does not belong."""
    if _ANY_URL.match(text):
        raise UrlError("must not be a URL")


def _server(text: str) -> tuple[str | None, int | None]:
    found = _SERVER.fullmatch(text)
    port = int(found[3]) if found and found[3] else None
    if found is None or (port is not None and not 0 < port <= 65_535):
        raise UrlError("must have a number from 1 to 65535 for the port, and must not hold a password")
    host = found[1] or found[2] or None
    try:
        if host is not None:
            check_host(host)
    except UrlError:
        raise UrlError("must have the name or address of one server between // and /") from None
    return host, port


def _decoded(part: str, allowed: re.Pattern[str], what: str) -> str:
    decoded = unquote(part)
    if not allowed.fullmatch(decoded):
        raise UrlError(f"has a character in {what} that is not allowed there")
    return decoded


def _options(query: str, allowed: frozenset[str], dialect: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, separator, value = (unquote(piece) for piece in part.replace("+", " ").partition("="))
        if any(word in name.lower() for word in _SECRET_WORDS):
            raise UrlError(NO_PASSWORD)
        if name not in allowed:
            listing = f"allowed are {', '.join(sorted(allowed))}" if allowed else "none is allowed"
            raise UrlError(f"has an option that is not allowed; for {dialect} {listing}")
        if name in options or not separator or not _OPTION_VALUE.fullmatch(value):
            raise UrlError(f"has an option {name} whose value is missing, given twice or not plain text")
        options[name] = value
    return options
