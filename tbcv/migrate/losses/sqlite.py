"""What a step takes away on SQLite, as the engine's own authorizer is asked for it: statement by statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.engine.engines import is_absent, migration_engine
from tbcv.engine.url import DatabaseURL
from tbcv.migrate.losses.columns import Columns, read_columns, widens
from tbcv.migrate.losses.model import How, Taken, once


class SqliteWatch:
    """Watches the steps of a plan on a scratch database of SQLite.

    A table or a column that has another name afterwards counts as dropped: nothing in the file tells the two apart.

    Args:
        address: The scratch database.
    """

    def __init__(self, address: DatabaseURL) -> None:
        self._address = address
        self._asked: list[tuple[int, str | None, str | None]] = []
        self._before: dict[str, Columns] = {}

    def engine(self) -> AsyncEngine:
        """Make an engine whose statements are watched."""
        engine = migration_engine(self._address)

        @event.listens_for(engine.sync_engine, "connect")
        def _watch(connection: Any, _entry: object) -> None:  # noqa: ANN401  # SQLAlchemy's adapter has no type
            connection.run_async(lambda raw: raw.set_authorizer(self._authorize))

        return engine

    def _authorize(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        self._asked.append((action, first, second))
        return sqlite3.SQLITE_OK

    async def begin(self) -> None:
        """Look at the schema before a step."""
        self._before = await self._look()
        self._asked = []

    async def taken(self) -> list[Taken]:
        """Return what the step since then took away."""
        after = await self._look()
        return once([*self._asked_for(after), *_missing(self._before, after)])

    def _asked_for(self, after: dict[str, Columns]) -> Iterator[Taken]:
        """Give what statements took."""
        dropped: set[str] = set()
        renamed: set[str] = set()
        dropping = ""
        for action, first, second in self._asked:
            table = second if action == sqlite3.SQLITE_ALTER_TABLE else first
            if table is None:
                continue
            if action == sqlite3.SQLITE_DELETE and table == dropping:
                # Dropping a table asks for the deletion of its rows as well.
                dropping = ""
            elif action == sqlite3.SQLITE_DROP_TABLE:
                dropped.add(table)
                dropping = table
            elif action == sqlite3.SQLITE_ALTER_TABLE:
                renamed.add(table)
            elif table not in self._before:
                continue
            elif action == sqlite3.SQLITE_DELETE:
                yield Taken(table, None, How.DELETED)
            elif action == sqlite3.SQLITE_UPDATE and second in self._before[table]:
                yield Taken(table, second, How.CHANGED)
        # One that took the place of another had a name of its own until then.
        if not renamed - after.keys():
            yield from (Taken(one, None, How.DROPPED) for one in sorted(dropped & self._before.keys()))

    async def _look(self) -> dict[str, Columns]:
        if is_absent(self._address):
            return {}
        engine = migration_engine(self._address)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(read_columns)
        finally:
            await engine.dispose()


def _missing(before: dict[str, Columns], after: dict[str, Columns]) -> Iterator[Taken]:
    for table, columns in before.items():
        if table not in after:
            yield Taken(table, None, How.DROPPED)
            continue
        for name, kind in columns.items():
            if name not in after[table]:
                yield Taken(table, name, How.DROPPED)
            elif not widens(kind, after[table][name]):
                yield Taken(table, name, How.CHANGED)
