"""Bringing a backup back: proven first, under the migration lock, and with the present state kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from tbcv.engine.engines import migration_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError
from tbcv.migrate.backup import dump, sqlite
from tbcv.migrate.backup.contents import Contents, difference_to, read_contents
from tbcv.migrate.backup.export import settle
from tbcv.migrate.backup.model import Backup
from tbcv.migrate.backup.recovery import recover, require_places
from tbcv.migrate.backup.shelf import check_files, require_space
from tbcv.migrate.backup.take import looking, server_tools, take_backup
from tbcv.migrate.backup.work import Stop, in_thread
from tbcv.migrate.guard import guard
from tbcv.migrate.lock import HeldLock, migration_lock
from tbcv.migrate.patience import DdlPolicy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        backup: The backup that was restored.
        undo: A backup of what was there before; None where nothing was.
        aside: Where a damaged SQLite file was moved, which could not be backed up.
        rows: How many rows of each table hold what the backup holds.
    """

    backup: Backup
    undo: Backup | None
    aside: Path | None
    rows: Mapping[str, int]


async def restore_backup(
    address: DatabaseURL, backup: Backup, *, scratch: ScratchDatabases, lock_timeout_seconds: float = 300.0
) -> Restored:
    """Restore a backup, under the migration lock, after taking a backup of what it replaces.

    A full backup replaces the whole database. A partial one puts values back into tables and columns that a
    migration has made again: rows are found by their key and the backup wins; rows that came later stay.

    Args:
        address: The database; the file of SQLite keeps its owner and permissions.
        backup: One of `list_backups`.
        scratch: Where the backup of the present state is proven.
        lock_timeout_seconds: How long to wait for a migration that runs, and then for others who write to SQLite.

    Raises:
        BackupError: The backup is damaged or does not fit the database, which is then as it was; or the database
            does not equal it afterwards.
        LockTimeoutError: A migration did not end in time.
        ScratchUnavailableError, DatabaseUnavailableError: As `take_backup`.
    """
    if address.dialect != backup.dialect or address.is_memory:
        raise BackupError(
            f"backup {backup.id} is of a {backup.dialect} database and cannot be restored to {address.redacted}"
        )
    await in_thread(lambda _stop: check_files(backup))
    with database_errors(address):
        async with migration_lock(address, lock_timeout_seconds) as held:
            if address.sqlite_path is not None:
                return await _sqlite(address, address.sqlite_path, backup, scratch, lock_timeout_seconds)
            put_back = _full if backup.kind == "full" else _partial
            return await put_back(address, backup, scratch, held)


async def _sqlite(
    address: DatabaseURL, path: Path, backup: Backup, scratch: ScratchDatabases, timeout_seconds: float
) -> Restored:
    contents = await in_thread(partial(_examine, backup))
    await in_thread(lambda _stop: require_space(path.parent, backup.size_bytes))
    aside = await in_thread(lambda _stop: _set_aside(path))
    undo = await take_backup(address, backup.path.parent, reason=_reason(backup), scratch=scratch, keep=0)
    await in_thread(partial(sqlite.put_back, backup.path, contents, path, timeout_seconds))
    return Restored(backup, undo, aside, backup.rows)


def _examine(backup: Backup, stop: Stop) -> Contents:
    with sqlite.in_words(f"cannot read backup {backup.id}"):
        contents = sqlite.examine(backup.path / sqlite.DATABASE, stop)
    what = difference_to(backup, contents)
    if what:
        raise BackupError(f"backup {backup.id} is damaged: {what}; the database was not touched")
    return contents


def _set_aside(path: Path) -> Path | None:
    """Move a damaged database out of the way: it can neither be copied nor copied over."""
    if not path.exists() or path.stat().st_size == 0 or not sqlite.is_damaged(path):
        return None
    name = f"{path.name}-damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for suffix in sqlite.SIDE_FILES:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(name + suffix))
    _log.warning("%s is damaged and was moved to %s", path, name)
    return path.with_name(name)


async def _partial(address: DatabaseURL, backup: Backup, scratch: ScratchDatabases, held: HeldLock) -> Restored:
    engine = migration_engine(address)
    guard(engine, held, DdlPolicy())
    try:
        async with engine.connect() as connection:
            await settle(connection)
            await require_places(connection, backup)
            await connection.rollback()
            parts = [part for export in backup.exports for part in export.parts]
            undo = await take_backup(
                address, backup.path.parent, reason=_reason(backup), scratch=scratch, losses=parts, keep=0
            )
            await settle(connection)
            rows = await recover(connection, backup)
            await connection.commit()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()
    return Restored(backup, undo, None, rows)


async def _full(address: DatabaseURL, backup: Backup, scratch: ScratchDatabases, _held: HeldLock) -> Restored:
    async with looking(address) as connection:
        tools = await server_tools(connection)
    undo = await take_backup(address, backup.path.parent, reason=_reason(backup), scratch=scratch, keep=0)
    await dump.restore(tools, address, backup.path / dump.DUMP)
    async with looking(address) as connection:
        found = await connection.run_sync(read_contents)
    what = difference_to(backup, found)
    if what:
        raise BackupError(
            f"{address.redacted} was restored and does not equal backup {backup.id}: {what}",
            hint="somebody is writing to it: stop them, and restore it again",
        )
    return Restored(backup, undo, None, found.rows)


def _reason(backup: Backup) -> str:
    return f"before restoring {backup.id}"
