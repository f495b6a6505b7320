"""Database URLs: what people write, in the one form that the drivers of tbcv can be given.

People bring URLs that were written for libpq (``psql``, psycopg) or for SQLAlchemy, and asyncpg understands
neither in full. So every parameter is read here: it is translated, dropped because nothing depends on it, or
refused by name. No message repeats a value, because a password may stand anywhere in a malformed URL.

As with libpq, a parameter wins over the part before the question mark, an empty value counts as absent, and
what the URL leaves open is taken from the environment (by asyncpg: ``PGUSER``, ``PGPASSWORD``, ``PGSSLMODE``,
...). As with SQLAlchemy, and unlike libpq, a plus sign in the query is a space. Unlike libpq, the time limit
for connecting is one for all hosts together, because asyncpg has only that.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlencode

from sqlalchemy import URL

from tbcv.errors import ConfigurationError, UnsupportedDatabaseError

CONNECT_TIMEOUT_SECONDS = 10.0
APPLICATION_NAME = "tbcv"

_DRIVERNAMES = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "sqlite+pysqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
    "postgresql+psycopg": "postgresql+asyncpg",
    "postgresql+psycopg2": "postgresql+asyncpg",
}
_FORMS = "give one of sqlite:///file, sqlite+aiosqlite:///file, postgresql://host/name, postgresql+asyncpg://..."
_SLASHES = "sqlite:///data/tbcv.db is a relative path, sqlite:////srv/tbcv.db an absolute one, sqlite:// memory"
_ENCODE = "percent-encode : / ? # @ % in user names and passwords, as %3A %2F %3F %23 %40 %25"
_LISTED = "docs/configuration.md lists what a database URL may hold"


class Parameter(NamedTuple):
    """A query parameter: the keyword it becomes ("" drops it), a pattern of its values, and that in words."""

    keyword: str
    pattern: str = ".+"
    values: str = "a text"


_SECONDS = (r"-?[0-9]{1,9}(\.[0-9]{1,6})?", "a number of seconds")
_COUNT = ("[0-9]{1,6}", "a whole number")
_MODES = "disable|allow|prefer|require|verify-ca|verify-full"
_SESSIONS = "any|read-write|read-only|primary|standby|prefer-standby"
_TLS_VERSION = ("TLSv1|TLSv1[.][123]", "TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")
_NEVER_REQUIRED = ("disable|prefer", "disable or prefer, because asyncpg does not support it")

_TLS_PARAMETERS = {
    **{name: Parameter(name) for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl", "sslpassword")},
    "sslmode": Parameter("sslmode", _MODES, _MODES.replace("|", ", ")),
    "ssl_min_protocol_version": Parameter("ssl_min_protocol_version", *_TLS_VERSION),
    "ssl_max_protocol_version": Parameter("ssl_max_protocol_version", *_TLS_VERSION),
}
_POSTGRESQL_PARAMETERS = {
    **_TLS_PARAMETERS,
    **{name: Parameter(name) for name in ("host", "port", "user", "password", "passfile", "options")},
    "dbname": Parameter("database"),
    "application_name": Parameter("application_name"),
    "fallback_application_name": Parameter("fallback_application_name"),
    "target_session_attrs": Parameter("target_session_attrs", _SESSIONS, _SESSIONS.replace("|", ", ")),
    "connect_timeout": Parameter("timeout", *_SECONDS),
    "timeout": Parameter("timeout", *_SECONDS),
    "command_timeout": Parameter("command_timeout", *_SECONDS),
    "statement_cache_size": Parameter("statement_cache_size", *_COUNT),
    "prepared_statement_cache_size": Parameter("prepared_statement_cache_size", *_COUNT),
    "ssl": Parameter("sslmode", f"{_MODES}|true", f"{_MODES}|true".replace("|", ", ")),
    "channel_binding": Parameter("", *_NEVER_REQUIRED),
    "gssencmode": Parameter("", *_NEVER_REQUIRED),
    # asyncpg always speaks UTF-8.
    "client_encoding": Parameter("", "(?i:utf-?8)", "utf8"),
    # asyncpg has no such knobs; the pool finds a dead connection by its ping.
    "keepalives": Parameter("", *_COUNT),
    "keepalives_idle": Parameter("", *_COUNT),
    "keepalives_interval": Parameter("", *_COUNT),
    "keepalives_count": Parameter("", *_COUNT),
}
# aiosqlite gives every connection a thread of its own, so nothing is there to check.
_SQLITE_PARAMETERS = {"check_same_thread": Parameter("")}
_SQLITE_INSTEAD = {
    "mode": "tbcv itself decides whether to read, to write or to create a file",
    "cache": "SQLite advises against a shared cache; give a file, or sqlite:// for memory",
    "timeout": "set TBCV_SQLITE_BUSY_TIMEOUT_SECONDS",
    "uri": _SLASHES,
}


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseURL:
    """A database address in the one form that tbcv uses; printing it shows no password.

    Attributes:
        url: Who, where and which database; SQLAlchemy wants several hosts, or a socket, in its query.
        connect_args: What the driver's ``connect()`` is given besides.

    """

    url: URL
    connect_args: Mapping[str, object] = field(hash=False)

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """The engine, by SQLAlchemy's name."""
        return "sqlite" if self.url.drivername.startswith("sqlite") else "postgresql"

    @property
    def redacted(self) -> str:
        """The address for people: no password, and nothing encoded that reads better as it is."""
        if self.is_memory:
            return "sqlite:///:memory:"
        shown = self.url.set(drivername=self.dialect).render_as_string(hide_password=True)
        return shown.replace("%2F", "/").replace("%2C", ",").replace("%3A", ":")

    @property
    def sqlite_path(self) -> Path | None:
        """The file, relative if the URL is; None for memory and for PostgreSQL."""
        if self.dialect != "sqlite" or self.is_memory:
            return None
        return Path(str(self.url.database))

    @property
    def is_memory(self) -> bool:
        """Whether this is a SQLite database that ends with its connection."""
        return self.dialect == "sqlite" and self.url.database in {None, "", ":memory:"}

    def __repr__(self) -> str:
        return f"DatabaseURL({self.redacted!r})"

    def __str__(self) -> str:
        return self.redacted


def schemes() -> Mapping[str, str]:
    """Return every scheme that a database URL may have, with the engine and driver that it becomes."""
    return MappingProxyType(_DRIVERNAMES)


def parameters(dialect: Literal["sqlite", "postgresql"]) -> Mapping[str, Parameter]:
    """Return every query parameter that the URL of an engine may have, by name."""
    return MappingProxyType(_SQLITE_PARAMETERS if dialect == "sqlite" else _POSTGRESQL_PARAMETERS)


def parse_database_url(text: str) -> DatabaseURL:
    """Read a database URL.

    Parsing the ``url`` of the result again, rendered with its password, gives an equal ``url``, but not equal
    ``connect_args``: those come from parameters, which the rendered URL no longer has.

    Args:
        text: As in ``DATABASE_URL``; see `docs/configuration.md` for every form.

    Raises:
        UnsupportedDatabaseError: The URL names another engine, or a driver that cannot be replaced.
        ConfigurationError: The URL is malformed, or holds a parameter that cannot be honoured.

    """
    if not text.strip():
        raise ConfigurationError("the database URL is empty", hint=_FORMS)
    if text != text.strip() or not text.isprintable():
        raise ConfigurationError(
            "the database URL holds a line break, an unprintable character or a space at one end",
            hint="remove it; a trailing newline often comes from the file that the URL was read from",
        )
    scheme, separator, rest = text.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+._-]*", scheme):
        raise ConfigurationError("the database URL does not begin with a scheme", hint=_FORMS)
    drivername = _DRIVERNAMES.get(scheme.lower())
    if drivername is None:
        raise UnsupportedDatabaseError(f"tbcv does not support {scheme}:// databases", hint=_FORMS)
    location, _, query = rest.partition("?")
    if drivername == "sqlite+aiosqlite":
        return _sqlite(drivername, location, query)
    authority, _, path = location.partition("/")
    if authority.count("@") > 1 or "@" in path:
        raise ConfigurationError("the database URL has an @ too many", hint=_ENCODE)
    return _postgresql(drivername, authority, _decode(path), query)


def _sqlite(drivername: str, location: str, query: str) -> DatabaseURL:
    _parameters(query, _SQLITE_PARAMETERS)
    if location and not location.startswith("/"):
        raise ConfigurationError("the SQLite URL names a host; SQLite has files only", hint=_SLASHES)
    path = _decode(location[1:])
    if location and (not path or path.endswith(("/", " "))):
        raise ConfigurationError("the SQLite URL names no file", hint=_SLASHES)
    if path.startswith(("file:", "~/")):
        raise ConfigurationError("the SQLite URL must hold a plain path, without file: or ~", hint=_SLASHES)
    url = URL.create(drivername, database=None if path in {"", ":memory:"} else path)
    return DatabaseURL(url, MappingProxyType({}))


def _postgresql(drivername: str, authority: str, database: str, query: str) -> DatabaseURL:
    given = _parameters(query, _POSTGRESQL_PARAMETERS)
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    endpoints = [(_decode(host), port) for host, port in _endpoints(hosts)]
    if "host" in given:
        endpoints = list(_endpoints(given["host"]))
    user = given.get("user") or _decode(user)
    password = given.get("password") or _decode(password)
    database = given.get("database") or database
    if database.endswith(" "):
        raise ConfigurationError("the name of the database ends with a space", hint="remove the %20")
    url = URL.create(
        drivername,
        # A password without a user is kept only behind an empty user, which means: the driver's default.
        username=user or ("" if password else None),
        password=password or None,
        database=database or None,
    )
    return DatabaseURL(_placed(url, endpoints, given.get("port")), MappingProxyType(_arguments(given)))


def _arguments(given: Mapping[str, str]) -> dict[str, object]:
    """Return the keywords of ``asyncpg.connect()``, and the one that SQLAlchemy takes out of them."""
    name = given.get("application_name") or given.get("fallback_application_name") or APPLICATION_NAME
    settings = {"application_name": name, "timezone": "UTC"}
    if "options" in given:
        settings["options"] = given["options"]
    seconds = float(given.get("timeout", CONNECT_TIMEOUT_SECONDS))
    arguments: dict[str, object] = {
        "timeout": seconds if seconds > 0 else None,
        "server_settings": settings,
        # A transaction pooler hands every transaction another session, where a prepared statement is missing
        # or a stranger's.
        "statement_cache_size": int(given.get("statement_cache_size", 0)),
        "prepared_statement_cache_size": int(given.get("prepared_statement_cache_size", 0)),
    }
    command_seconds = float(given.get("command_timeout", 0))
    if command_seconds > 0:
        arguments["command_timeout"] = command_seconds
    plain = {name: given[name] for name in ("passfile", "target_session_attrs") if name in given}
    return arguments | plain | _tls(given)


def _tls(given: Mapping[str, str]) -> dict[str, object]:
    """Return how asyncpg shall encrypt: a mode, or a DSN of TLS parameters, from which it makes a context."""
    tls = {name: given[name] for name in _TLS_PARAMETERS if name in given}
    if tls.get("sslmode") == "true":
        tls["sslmode"] = "require"
    if tls.get("sslrootcert") == "system":
        if tls.keys() - {"sslmode", "sslrootcert"} or tls.get("sslmode", "verify-full") != "verify-full":
            raise ConfigurationError(
                "sslrootcert=system goes with sslmode=verify-full and with no other TLS parameter",
                hint=_LISTED,
            )
        return {"ssl": True}
    if tls.keys() == {"sslmode"}:
        return {"ssl": tls["sslmode"]}
    return {"dsn": f"postgresql://?{urlencode(tls)}"} if tls else {}


def _placed(url: URL, endpoints: list[tuple[str, str]], ports: str | None) -> URL:
    """Put hosts where SQLAlchemy looks for them: one in the URL proper, a socket or several in the query."""
    if ports is not None:
        numbers = ports.split(",")
        numbers *= len(endpoints) if len(numbers) == 1 else 1
        if len(numbers) != len(endpoints):
            raise ConfigurationError("the database URL has not as many ports as hosts", hint=_LISTED)
        endpoints = [(host, number) for (host, _), number in zip(endpoints, numbers, strict=True)]
    (host, port), *others = endpoints
    if not all(_is_host(host) and (host or not others) for host, _ in endpoints):
        raise ConfigurationError("a host of the database URL is malformed", hint=_ENCODE)
    if any(port and not _is_port(port) for _, port in endpoints):
        raise ConfigurationError("a port of the database URL is not a number from 1 to 65535", hint=_ENCODE)
    if not others and not host.startswith("/"):
        return url.set(host=host or None, port=int(port) if port else None)
    query = {"host": ",".join(host for host, _ in endpoints)}
    if others or port:
        query["port"] = ",".join(str(int(port or 5432)) for _, port in endpoints)
    return url.set(query=query)


def _endpoints(text: str) -> Iterator[tuple[str, str]]:
    """Split ``host:port,[::1]:port,/directory`` into hosts and ports, either of them possibly empty."""
    for item in text.split(","):
        bracketed = re.fullmatch(r"\[([^]]+)\](?::(.*))?", item)
        if bracketed:
            yield bracketed[1], bracketed[2] or ""
        elif item.startswith("/") or item.count(":") > 1:
            # A directory may hold colons, as those of Cloud SQL do, and so does a bare IPv6 address.
            yield item, ""
        else:
            host, _, port = item.partition(":")
            yield host, port


def _is_host(host: str) -> bool:
    """Whether this is a socket directory, an IPv6 address, a name, an IPv4 address or empty."""
    if host.startswith("/"):
        return "," not in host
    try:
        if ":" in host:
            return "%" not in host and bool(IPv6Address(host))
        # The resolver would fail with a UnicodeError, which no caller expects of a connection.
        host.encode("idna")
    except ValueError:
        return False
    return re.fullmatch(r"[\w.-]*", host) is not None


def _is_port(port: str) -> bool:
    return re.fullmatch("[0-9]{1,5}", port) is not None and 0 < int(port) < 65536


def _parameters(query: str, known: Mapping[str, Parameter]) -> dict[str, str]:
    """Read a query into the keywords that its parameters become; hosts and ports may be repeated."""
    given: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, separator, value = (_decode(part.replace("+", " ")) for part in pair.partition("="))
        if not separator:
            raise ConfigurationError("the query of the database URL is not made of name=value", hint=_ENCODE)
        parameter = known.get(name)
        if parameter is None:
            instead = _SQLITE_INSTEAD if known is _SQLITE_PARAMETERS else {}
            raise _unknown(name, query, hint=instead.get(name, _LISTED))
        if value and not re.fullmatch(parameter.pattern, value):
            raise ConfigurationError(f"{name} in the database URL must be {parameter.values}", hint=_LISTED)
        keyword = parameter.keyword
        if keyword in given and keyword not in {"host", "port"}:
            raise ConfigurationError(f"{name} in the database URL says again what is said before it", hint=_LISTED)
        if value and keyword:
            given[keyword] = f"{given[keyword]},{value}" if keyword in given else value
    return given


def _unknown(name: str, query: str, *, hint: str) -> ConfigurationError:
    # An @ tells of a password that was not encoded, and then the name may be a part of it.
    if "@" in query or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,40}", name):
        return ConfigurationError("the database URL has a parameter that tbcv does not know", hint=_ENCODE)
    return ConfigurationError(
        f"the database URL has the parameter {name}, which tbcv does not support",
        hint=hint,
    )


def _decode(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ConfigurationError("the database URL encodes bytes that are not UTF-8", hint=_ENCODE) from None
    if any(unicodedata.category(character) == "Cc" for character in decoded):
        raise ConfigurationError("the database URL encodes a control character", hint="remove it")
    return decoded
