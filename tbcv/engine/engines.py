"""Engines for the three uses of a database: by the application, by a migration, and for a look.

An application's engine pools and enforces foreign keys. A migration's engine does neither: a pooled connection
would outlive the run, and SQLite deletes the children of every table that a batch rebuild replaces while foreign
keys are enforced. An engine for a look never writes and never creates a file.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool

from tbcv.engine.postgresql import connect
from tbcv.engine.scripts import with_scripts
from tbcv.engine.sqlite import own_transactions
from tbcv.engine.url import DatabaseURL
from tbcv.engine.waiting import to_its_end
from tbcv.settings import Settings

# NaN and Infinity are no JSON: PostgreSQL refuses them, and SQLite would keep a text that nothing can read.
_serialize = partial(json.dumps, allow_nan=False, ensure_ascii=False)

# More than the tables of a schema, each of which is a question.
_PREPARED = 500

# Each engine has a dialect object of its own, which is all that the events of a connection tell of it.
_OWN: WeakSet[Dialect] = WeakSet()


def application_engine(address: DatabaseURL, settings: Settings) -> AsyncEngine:
    """Create the pooled engine of an application process; it connects on first use."""
    if address.dialect == "postgresql":
        return _engine(
            address,
            pool_size=settings.pool_size,
            max_overflow=settings.pool_max_overflow,
            pool_timeout=settings.pool_timeout_seconds,
            pool_pre_ping=True,
        )
    busy = f"busy_timeout={int(settings.sqlite_busy_timeout_seconds * 1000)}"
    if address.is_memory:
        # One connection is the database, so tasks take turns on it instead of mixing their transactions.
        engine = _engine(address, poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=0)
        return own_transactions(engine, (busy, "foreign_keys=ON"))
    engine = _engine(address, pool_timeout=settings.pool_timeout_seconds)
    _create_parent_directory(engine, address)
    return own_transactions(engine, (busy, "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"))


def migration_engine(address: DatabaseURL, *, busy_timeout_seconds: float = 5.0) -> AsyncEngine:
    """Create an engine for one run of migrations: a connection per use, foreign keys off, BEGIN IMMEDIATE."""
    engine = _engine(address, poolclass=NullPool)
    if address.dialect == "postgresql":
        with_scripts(engine.sync_engine)
        return engine
    _create_parent_directory(engine, address)
    pragmas = (f"busy_timeout={int(busy_timeout_seconds * 1000)}", "foreign_keys=OFF", "synchronous=FULL")
    return own_transactions(engine, pragmas, begin="IMMEDIATE")


def observing_engine(address: DatabaseURL) -> AsyncEngine:
    """Create an engine that asks a scratch database on PostgreSQL the same again and again: each is prepared once.

    Not for any other database: in front of that there may be a pooler, and what is prepared would be lost.
    """
    sizes = {"statement_cache_size": _PREPARED, "prepared_statement_cache_size": _PREPARED}
    return migration_engine(DatabaseURL(address.url, {**address.connect_args, **sizes}))


def file_engine(address: DatabaseURL, *, foreign_keys: bool = False) -> Engine:
    """Create an engine for work on a SQLite scratch file in a thread, without aiosqlite.

    That passes every statement from thread to thread, which takes longer than most statements do.

    Args:
        address: A file.
        foreign_keys: Whether they are enforced.
    """
    engine = own(create_engine(f"sqlite:///{address.sqlite_path}", poolclass=NullPool))

    @event.listens_for(engine, "connect")
    def _connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        # SQLite takes any bytes for a text, and whoever looks at all rows must not stumble over one.
        connection.text_factory = _read_text
        for pragma in (f"foreign_keys={'ON' if foreign_keys else 'OFF'}", "synchronous=OFF"):
            connection.cursor().execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _read_text(stored: bytes) -> str:
    return stored.decode(errors="backslashreplace")


def administration_engine(address: DatabaseURL) -> AsyncEngine:
    """Create an engine that creates and drops databases on a PostgreSQL server; it keeps its connections."""
    return _engine(address, isolation_level="AUTOCOMMIT", pool_pre_ping=True)


def reading_engine(address: DatabaseURL) -> AsyncEngine:
    """Create an engine that cannot write: no file is made, no row and no header changed.

    A SQLite file must exist; see `DatabaseURL.sqlite_path`.
    """
    if address.dialect == "postgresql":
        engine = _engine(address, poolclass=NullPool)
        return engine.execution_options(postgresql_readonly=True)
    if address.sqlite_path is None:
        return own_transactions(_engine(address, poolclass=NullPool), ("query_only=ON",))
    # mode=rw falls back to reading where the file is read-only, and never creates one. mode=ro would leave the
    # side files of a WAL database behind.
    uri = f"file:{quote(str(address.sqlite_path))}"
    url = URL.create(address.url.drivername, database=uri, query={"mode": "rw", "uri": "true"})
    engine = create_async_engine(url, poolclass=NullPool, connect_args=dict(address.connect_args))
    own(engine.sync_engine)
    return own_transactions(engine, ("busy_timeout=5000", "query_only=ON"))


def own(engine: Engine) -> Engine:
    """Note that an engine is tbcv's, and not that of an application whose ``env.py`` is being run."""
    _OWN.add(engine.dialect)
    return engine


def is_own(dialect: Dialect) -> bool:
    """Tell whether the engine of a dialect was made by tbcv."""
    return dialect in _OWN


@asynccontextmanager
async def connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Give a connection that is closed when the block is left, also when a cancel scope or a signal ends it.

    Left to itself, closing goes on in the background, and holds its locks, while the cancelled caller moves on.
    """
    connection = await engine.connect()
    try:
        yield connection
    finally:
        await to_its_end(connection.close())


def is_absent(address: DatabaseURL) -> bool:
    """Tell whether an address is of a SQLite file that is not there yet, or has nothing in it."""
    path = address.sqlite_path
    return path is not None and (not path.exists() or path.stat().st_size == 0)


def _engine(address: DatabaseURL, **options: Any) -> AsyncEngine:  # noqa: ANN401  # create_async_engine's own
    how = {"async_creator_fn": connect} if address.dialect == "postgresql" else {}
    engine = create_async_engine(
        address.url, connect_args={**address.connect_args, **how}, json_serializer=_serialize, **options
    )
    own(engine.sync_engine)
    return engine


def _create_parent_directory(engine: AsyncEngine, address: DatabaseURL) -> None:
    """Create the directory of a SQLite file when the first connection is made, not before."""
    path = address.sqlite_path
    if path is None:
        return

    @event.listens_for(engine.sync_engine, "do_connect")
    def _make(_dialect: object, _entry: object, _args: list[Any], _params: Mapping[str, Any]) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
