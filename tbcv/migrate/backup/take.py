"""Taking a backup: measured, written beside, proven, and only then given its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.engines import is_absent, migration_engine, reading_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError
from tbcv.migrate.backup import dump, export, sqlite
from tbcv.migrate.backup.contents import Contents, difference, read_contents
from tbcv.migrate.backup.model import SCHEMA, Backup, Doomed, Export, Kind
from tbcv.migrate.backup.shelf import Slot, create_private, database_name, prune, require_space, writing
from tbcv.migrate.backup.tools import Tools, find_tools
from tbcv.migrate.backup.work import in_thread

T = TypeVar("T")

_SEARCH_PATH = text("SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name")
_TABLE_BYTES = text("SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class WHERE relkind IN ('r', 'm')")


async def take_backup(
    address: DatabaseURL,
    directory: Path,
    *,
    reason: str,
    scratch: ScratchDatabases,
    losses: Sequence[Doomed] | None = None,
    full: bool = False,
    keep: int = 5,
) -> Backup | None:
    """Take a backup, prove that it can be restored, and remove older ones of the same database.

    It takes no migration lock, since a run that wants one holds it already. Others may go on writing. A backup that
    fails or is cancelled leaves nothing behind and removes nothing.

    Args:
        address: The database.
        directory: Where backups stand; made, for nobody else to read, if it is not there.
        reason: Why, for people.
        scratch: Where a backup of PostgreSQL is proven. A partial one is proven in temporary tables of the database
            itself where no other PostgreSQL can be had.
        losses: PostgreSQL: what is about to be dropped, which is then all that is backed up. None backs up the whole
            database, as SQLite always does.
        full: Whether to back up the whole database all the same.
        keep: How many backups of this database stay, the new one included; 0 removes none.

    Returns:
        The backup; None where there is nothing to back up: a database in memory, an absent or empty file, no losses.

    Raises:
        BackupError: It cannot be written, is not equal to the database, or there is too little room for it.
        ScratchUnavailableError: A full backup of PostgreSQL, and no PostgreSQL to prove it on.
        DatabaseUnavailableError: The database cannot be read.
    """
    request = _Request(address, directory, reason, keep)
    with database_errors(address):
        if address.dialect == "sqlite":
            return await _sqlite(request)
        if losses is None or full:
            return await _full(request, scratch)
        return await _partial(request, scratch, losses)


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked for, and the steps that all backups have in common."""

    address: DatabaseURL
    directory: Path
    reason: str
    keep: int

    async def require_space(self, needed_bytes: int) -> None:
        """Raise a `BackupError` where there is no room."""
        await self.written(partial(require_space, self.directory, needed_bytes))

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Give a place, which is gone afterwards unless it was published."""
        slot = Slot(self.directory)
        try:
            await self.written(slot.open)
            yield slot
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(lambda _stop: slot.discard())

    async def publish(self, slot: Slot, kind: Kind, contents: Contents, exports: Sequence[Export] = ()) -> Backup:
        """Complete a backup that was proven, and remove older ones."""

        def publish() -> Backup:
            create_private(slot.path / SCHEMA).write_text(contents.snapshot.text, encoding="utf-8")
            files = slot.files()
            name = slot.name(contents.revisions)
            backup = Backup(
                id=name,
                path=self.directory / name,
                dialect=self.address.dialect,
                kind=kind,
                reason=self.reason,
                database=database_name(self.address),
                revisions=contents.revisions,
                created_at=slot.created_at,
                size_bytes=sum(file.bytes for file in files.values()),
                fingerprint=contents.snapshot.fingerprint,
                made_by=contents.made_by,
                rows=dict(contents.rows),
                files=files,
                exports=tuple(exports),
            )
            slot.publish(backup)
            if self.keep:
                prune(backup, self.keep)
            return backup

        return await self.written(publish)

    async def written(self, work: Callable[[], T]) -> T:
        """Do what writes files in a thread; what the system refuses becomes a `BackupError`."""
        with writing(self.directory):
            return await in_thread(lambda _stop: work())


async def _sqlite(request: _Request) -> Backup | None:
    source = request.address.sqlite_path
    if source is None or is_absent(request.address):
        return None
    await in_thread(partial(sqlite.require_readable, source))
    await request.require_space(sqlite.size(source))
    async with request.slot() as slot:
        target = await request.written(partial(create_private, slot.path / sqlite.DATABASE))
        contents = await in_thread(partial(sqlite.copy, source, target))
        return await request.publish(slot, "full", contents)


async def _partial(request: _Request, scratch: ScratchDatabases, losses: Sequence[Doomed]) -> Backup | None:
    async with looking(request.address) as connection:
        planned = await export.plan_exports(connection, losses)
        if not planned:
            return None
        await request.require_space(await export.estimate(connection, planned))
        contents = await connection.run_sync(partial(read_contents, counting=False))
        async with request.slot() as slot:
            with writing(request.directory):
                exports = [await export.write_export(connection, one, slot.path) for one in planned]
            foreign = {one.table: await export.foreign_columns(connection, one) for one in exports}
            async with _proving(request.address, scratch) as proving:
                for one in exports:
                    await export.prove_export(proving, one, slot.path, foreign[one.table])
            counted = replace(contents, rows={one.table: one.rows for one in exports})
            return await request.publish(slot, "partial", counted, exports)


async def _full(request: _Request, scratch: ScratchDatabases) -> Backup:
    address = request.address
    async with looking(address) as connection:
        tools = await server_tools(connection)
        await request.require_space((await connection.execute(_TABLE_BYTES)).scalar_one())
        contents = await connection.run_sync(read_contents)
        path = (await connection.execute(_SEARCH_PATH)).scalar_one()
        async with request.slot() as slot:
            target = await request.written(partial(create_private, slot.path / dump.DUMP))
            snapshot = (await connection.execute(text("SELECT pg_export_snapshot()"))).scalar_one()
            await dump.dump(tools, address, target, snapshot)
            async with scratch.database("postgresql") as copy:
                await dump.restore(tools, copy, target, roles=False)
                async with looking(copy, path) as copied:
                    what = difference(contents, await copied.run_sync(read_contents))
            if what:
                raise BackupError(f"the dump of {address.redacted} does not give back what it was made of: {what}")
            return await request.publish(slot, "full", contents)


async def server_tools(connection: AsyncConnection) -> Tools:
    """Find client programs for the server of a connection.

    Raises:
        BackupError: As `find_tools`.
    """
    version = await connection.execute(text("SELECT current_setting('server_version_num')"))
    major = int(version.scalar_one()) // 10000
    return await in_thread(lambda _stop: find_tools(major))


@asynccontextmanager
async def looking(address: DatabaseURL, search_path: str = "") -> AsyncIterator[AsyncConnection]:
    """Hold one read-only transaction on PostgreSQL that sees one moment throughout."""
    engine = reading_engine(address).execution_options(isolation_level="REPEATABLE READ")
    try:
        async with engine.connect() as connection:
            await export.settle(connection)
            if search_path:
                await connection.exec_driver_sql(f"SET LOCAL search_path = {search_path}")
            yield connection
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


@asynccontextmanager
async def _proving(address: DatabaseURL, scratch: ScratchDatabases) -> AsyncIterator[AsyncConnection]:
    """Give a transaction in which files are loaded into temporary tables."""
    async with AsyncExitStack() as stack:
        if "postgresql" in scratch.dialects:
            address = await stack.enter_async_context(scratch.database("postgresql"))
        engine = migration_engine(address)
        stack.push_async_callback(engine.dispose)
        connection = await stack.enter_async_context(engine.connect())
        await export.settle(connection)
        yield connection
