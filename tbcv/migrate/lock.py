"""One migrator of a database at a time.

PostgreSQL: an advisory lock of a transaction on a connection of its own. It ends with that transaction, so it
cannot be left behind, not even in a session that a transaction pooler hands to somebody else. Whoever waits polls
with no transaction open: a waiter inside `pg_advisory_lock` would hold a snapshot, for which the holder's
CREATE INDEX CONCURRENTLY waits for ever.

SQLite: a lock on a file beside the database, which the operating system releases when its holder dies.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from filelock import FileLock, Timeout
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import DatabaseURL
from tbcv.errors import LockTimeoutError

LOCK_KEY = 0x7462_6376_6D69_6772
"""The advisory lock of migrations: 'tbcvmigr' in ASCII. PostgreSQL keeps advisory locks per database."""

_POLL_SECONDS = 0.1
_HOLDER = text(
    "SELECT a.pid, a.application_name, a.client_addr, extract(epoch FROM now() - a.xact_start) AS seconds "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) = :key AND l.objsubid = 1"
)


@asynccontextmanager
async def migration_lock(address: DatabaseURL, timeout_seconds: float) -> AsyncIterator[None]:
    """Hold the migration lock of a database.

    Args:
        address: The database; one in memory has no other migrator and needs no lock.
        timeout_seconds: How long to wait for it.

    Raises:
        LockTimeoutError: Somebody else held it all that time.
    """
    if address.dialect == "postgresql":
        async with _advisory_lock(address, timeout_seconds):
            yield
    elif address.sqlite_path is not None:
        async with _file_lock(address.sqlite_path, timeout_seconds):
            yield
    else:
        yield


@asynccontextmanager
async def _advisory_lock(address: DatabaseURL, timeout_seconds: float) -> AsyncIterator[None]:
    engine = migration_engine(address)
    try:
        async with engine.connect() as connection:

            async def take() -> bool:
                # The server would otherwise end a transaction that idles while a long revision runs.
                await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                got = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
                if not got:
                    await connection.rollback()
                return bool(got)

            async def holder() -> str:
                return await _describe_holder(connection)

            await _poll(take, timeout_seconds, holder)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await connection.rollback()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


async def _describe_holder(connection: AsyncConnection) -> str:
    row = (await connection.execute(_HOLDER, {"key": LOCK_KEY})).first()
    await connection.rollback()
    if row is None:
        return "a migrator that has just finished"
    who = f"{row.application_name or 'unnamed'}, {row.client_addr or 'local'}"
    return f"server process {row.pid} ({who}) for {row.seconds:.0f} s"


@asynccontextmanager
async def _file_lock(database: Path, timeout_seconds: float) -> AsyncIterator[None]:
    path = database.with_name(f"{database.name}-migrate.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)

    async def take() -> bool:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    async def holder() -> str:
        return f"whoever holds {path}"

    await _poll(take, timeout_seconds, holder)
    try:
        yield
    finally:
        lock.release()


async def _poll(
    take: Callable[[], Awaitable[bool]], timeout_seconds: float, holder: Callable[[], Awaitable[str]]
) -> None:
    start = time.monotonic()
    while not await take():
        waited = time.monotonic() - start
        if waited >= timeout_seconds:
            raise LockTimeoutError(
                f"waited {waited:.1f} s for another migration to end, held by {await holder()}",
                hint="wait for it, or raise TBCV_LOCK_TIMEOUT_SECONDS",
            )
        # Thirty replicas that start together must not ask together.
        await anyio.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # no secret
