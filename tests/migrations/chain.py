"""A database somewhere on the chain of revisions, whose rows go in and out as both engines store them.

The models are of no use here: most revisions know columns that the models no longer have.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg

from tbcv.core.database import Base
from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import own_environment
from tbcv.migrate.plan import Outcome
from tbcv.migrate.runner import MigrationRunner
from tests.migrations.templates import copy_at

Row = dict[str, Any]
Rows = dict[str, Row]
"""The rows of a table by their primary keys."""

TABLES = (
    "workflows",
    "checkpoints",
    "validation_results",
    "recommendations",
    "audit_logs",
    "cache_entries",
    "metrics",
)
"""The seven tables, parents before children."""

KEYS = {"cache_entries": "cache_key"}


class Chain:
    """A database and its migrations.

    On PostgreSQL timestamps are text and booleans are 0 and 1, as on SQLite, so that one test serves both.

    Args:
        url: The database; its file need not exist.
    """

    def __init__(self, url: str) -> None:
        self.address = parse_database_url(url)
        self.runner = MigrationRunner(
            self.address, own_environment(), managed=frozenset(Base.metadata.tables), lock_timeout_seconds=30
        )

    @property
    def sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.address.dialect == "sqlite"

    @property
    def path(self) -> Path:
        """The SQLite file."""
        assert self.address.sqlite_path is not None
        return self.address.sqlite_path

    async def at(self, revision: str) -> None:
        """Begin an empty database at a revision, as the chain builds it."""
        await copy_at(self.address.url, revision)

    async def up(self, target: str = "head") -> Outcome:
        """Upgrade to a revision."""
        return await self.runner.upgrade(target)

    async def down(self, target: str) -> Outcome:
        """Downgrade to a revision."""
        return await self.runner.downgrade(target)

    async def insert(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Insert rows without looking at foreign keys, as TBCV 2.0 did on SQLite."""
        async with self._connected() as connection:
            for row in rows:
                names = ", ".join(row)
                marks = ", ".join("?" if self.sqlite else f"${number + 1}" for number in range(len(row)))
                await connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", *row.values())

    async def execute(self, statement: str) -> None:
        """Execute a statement without looking at foreign keys."""
        async with self._connected() as connection:
            await connection.execute(statement)

    async def fetch(self, query: str) -> list[Row]:
        """Return the rows of a query."""
        async with self._connected() as connection:
            return await connection.fetch(query)

    async def rows(self, table: str) -> Rows:
        """Return the rows of a table by their keys."""
        key = KEYS.get(table, "id")
        found = await self.fetch(f"SELECT * FROM {table}")
        rows = {identity(row[key]): row for row in found}
        assert len(rows) == len(found)
        return rows

    async def column(self, table: str, column: str) -> dict[str, Any]:
        """Return one column of a table by the keys of its rows."""
        return {key: row[column] for key, row in (await self.rows(table)).items()}

    async def everything(self) -> dict[str, Rows]:
        """Return the rows of all seven tables."""
        return {table: await self.rows(table) for table in TABLES}

    async def records(self, revision: str) -> list[Row]:
        """Return the audit records of a revision's repairs, in the order of their ids."""
        return await self.fetch(f"SELECT * FROM audit_logs WHERE actor = 'migration {revision}' ORDER BY id")

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_SQLite | _PostgreSQL]:
        if self.sqlite:
            with closing(sqlite3.connect(self.path)) as connection, connection:
                yield _SQLite(connection)
            return
        url = self.address.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connected = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
        try:
            await connected.execute("SET session_replication_role = replica")
            for name in ("timestamp", "timestamptz"):
                await connected.set_type_codec(name, schema="pg_catalog", encoder=str, decoder=str)
            await connected.set_type_codec(
                "bool",
                schema="pg_catalog",
                encoder=lambda value: "true" if value else "false",
                decoder=lambda text: int(text == "t"),
            )
            yield _PostgreSQL(connected)
        finally:
            await connected.close()


def exact(rows: object) -> object:
    """Return rows in a form that is equal only where type and value of everything are: 1 is not 1.0, NaN is NaN."""
    if isinstance(rows, Mapping):
        return {name: exact(value) for name, value in rows.items()}
    if isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return [exact(value) for value in rows]
    return repr(rows)


def identity(key: object) -> str:
    """Return the key of a row as text: what is no text, which SQLite admits as a key, as Python spells it."""
    return key if isinstance(key, str) else repr(key)


class _SQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row
        # SQLite keeps text that is no UTF-8; reading it must not fail.
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")

    async def execute(self, statement: str, *values: object) -> None:
        self._connection.execute(statement, values)

    async def fetch(self, query: str) -> list[Row]:
        return [dict(row) for row in self._connection.execute(query)]


class _PostgreSQL:
    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    async def execute(self, statement: str, *values: object) -> None:
        await self._connection.execute(statement, *values)

    async def fetch(self, query: str) -> list[Row]:
        return [dict(row) for row in await self._connection.fetch(query)]
