"""SQLite connections whose transactions are what they say.

The sqlite3 module begins transactions by its own lights and leaves DDL outside of them, and a plain BEGIN that
reads before it writes cannot wait for another writer. Here the driver never begins anything: SQLAlchemy does,
and an engine that writes begins with IMMEDIATE.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import aiosqlite
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

# Of a query that is read bit by bit; aiosqlite's own number.
_ROWS_AT_ONCE = 64

BEGIN_OPTION = "sqlite_begin"
"""Execution option that names the kind of BEGIN: DEFERRED, IMMEDIATE or EXCLUSIVE."""


class _RolledBack(sqlite3.Connection):
    """A connection whose transaction ends when it is closed.

    SQLite keeps a closed connection, with its locks, for as long as one of its statements is unfinished; a task that
    is cancelled between a query and its rows leaves such a statement to the garbage collector. Nor could it be rolled
    back: once interrupted, everything is refused until the last statement has ended.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # sqlite3's own
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()
        super().__init__(*arguments, **options)

    def cursor(self, *arguments: Any) -> Any:  # noqa: ANN401  # sqlite3's own
        made = super().cursor(*arguments)
        self._cursors.add(made)
        return made

    def execute(self, *arguments: Any) -> Any:  # noqa: ANN401  # sqlite3's own
        # The module's shortcuts make their cursors without asking the method above.
        return self.cursor().execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:  # noqa: ANN401  # sqlite3's own
        return self.cursor().executemany(*arguments)

    def close(self) -> None:
        # Raised where the connection is closed already, as after a cancelled task that tidied up.
        with suppress(sqlite3.ProgrammingError):
            for one in list(self._cursors):
                one.close()
        super().close()


class _StoppedOnce(aiosqlite.Connection):
    """A connection whose thread is asked to end once, however often somebody asks.

    A task that is cancelled while it closes a connection closes it anew without waiting. The thread answers the first
    of the two, and aiosqlite would wait for ever for an answer to the other.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=_ROWS_AT_ONCE)
        # As SQLAlchemy does: a process ends with its main thread.
        self._thread.daemon = True
        self._asked = False
        self._answer: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        if not self._asked:
            self._asked = True
            self._answer = super().stop()
        return self._answer


def _connection(*arguments: Any, **options: Any) -> aiosqlite.Connection:  # noqa: ANN401  # sqlite3's own
    return _StoppedOnce(partial(sqlite3.connect, *arguments, **options, factory=_RolledBack))


def own_transactions(engine: AsyncEngine, pragmas: tuple[str, ...], begin: str = "DEFERRED") -> AsyncEngine:
    """Make an engine begin its SQLite transactions itself, and set pragmas on every new connection.

    Args:
        engine: An engine on aiosqlite; changed in place.
        pragmas: As in ``busy_timeout=5000``, in the order in which they are set.
        begin: The kind of BEGIN where the execution option `BEGIN_OPTION` does not say.

    Returns:
        The same engine.
    """

    @event.listens_for(engine.sync_engine, "do_connect")
    def _open(_dialect: object, _entry: object, arguments: list[Any], options: dict[str, Any]) -> None:
        # Where opening fails, aiosqlite leaves a thread behind whose answer comes when the event loop is closed.
        sqlite3.connect(arguments[0], uri=bool(options.get("uri"))).close()
        options["async_creator_fn"] = _connection

    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") == "AUTOCOMMIT":
            return
        try:
            connection.exec_driver_sql(f"BEGIN {options.get(BEGIN_OPTION, begin)}")
        except BaseException:
            # A connection whose BEGIN failed would run its next statement in autocommit.
            connection.close()
            raise

    return engine
