"""One migrator of a database at a time.

PostgreSQL: an advisory lock of a transaction on a connection of its own. It ends with that transaction, so it
cannot be left behind, not even in a session that a transaction pooler hands to somebody else. Whoever waits polls
with no transaction open: a waiter inside `pg_advisory_lock` would hold a snapshot, for which the holder's
CREATE INDEX CONCURRENTLY waits for ever.

SQLite: a lock on a file beside the database, which the operating system releases when its holder dies.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from filelock import FileLock, Timeout
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tbcv.engine.engines import connected, migration_engine
from tbcv.engine.url import DatabaseURL
from tbcv.engine.waiting import settled
from tbcv.errors import LockLostError, LockTimeoutError

LOCK_KEY = 0x7462_6376_6D69_6772
"""The advisory lock of migrations: 'tbcvmigr' in ASCII. PostgreSQL keeps advisory locks per database."""

WORK_KEY = LOCK_KEY + 1
"""Held, shared, by every transaction of a migration.

The lock itself goes as soon as its holder dies, and what the holder's other session was doing may still go on.
"""

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_TELL_SECONDS = 2.0
_WATCH_SECONDS = 0.2
_ACTIVITY = (
    "SELECT a.pid, a.application_name, a.client_addr, a.state, extract(epoch FROM now() - a.xact_start) AS seconds "
    "FROM pg_stat_activity a "
)
_HOLDER = text(
    _ACTIVITY + "JOIN pg_locks l USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32 | l.objid::bigint) IN (:lock, :work) ORDER BY l.objid"
)
_BLOCKERS = text(_ACTIVITY + "WHERE a.pid = ANY (pg_blocking_pids(:pid))")


class HeldLock:
    """The migration lock while it is held.

    Attributes:
        lost: Whether the connection that holds it has died; always False on SQLite, where a process holds it.
        migrator: The server process that runs the migration, once it is known.
        blockers: Who the migration last had to wait for, in words; empty if it never had to.
    """

    def __init__(self) -> None:
        self.lost = False
        self.migrator: int | None = None
        self.blockers = ""

    @property
    def in_the_way(self) -> str:
        """Who the migration had to wait for, in words."""
        return self.blockers or "another session"

    def require(self) -> None:
        """Check that nobody else can have begun to migrate.

        Raises:
            LockLostError: The connection that holds the lock has died.
        """
        if self.lost:
            raise LockLostError(
                "the connection that holds the migration lock was closed by the server",
                hint="what was in progress was rolled back; run it again",
            )


@asynccontextmanager
async def migration_lock(address: DatabaseURL, timeout_seconds: float) -> AsyncIterator[HeldLock]:
    """Hold the migration lock of a database.

    Args:
        address: The database; one in memory has no other migrator and needs no lock.
        timeout_seconds: How long to wait for it.

    Raises:
        LockTimeoutError: Somebody else held it all that time.
    """
    if address.dialect == "postgresql":
        async with _advisory_lock(address, timeout_seconds) as held:
            yield held
    elif address.sqlite_path is not None:
        path = address.sqlite_path
        async with file_lock(path.with_name(f"{path.name}-migrate.lock"), timeout_seconds, "migration"):
            yield HeldLock()
    else:
        yield HeldLock()


@asynccontextmanager
async def _advisory_lock(address: DatabaseURL, timeout_seconds: float) -> AsyncIterator[HeldLock]:
    engine = migration_engine(address)
    held = HeldLock()
    try:
        async with connected(engine) as connection:
            await _poll(partial(_take, connection), timeout_seconds, partial(_describe_holder, connection))
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            raw.add_termination_listener(lambda _: setattr(held, "lost", True))
            # A bare task: it never fails, and a task group would wrap what the caller raises.
            released = anyio.Event()
            watcher = asyncio.create_task(_watch(engine, held, released))
            try:
                yield held
            finally:
                with anyio.CancelScope(shield=True):
                    # Told, not cancelled: asyncpg would open another connection to stop the statement in progress.
                    released.set()
                    await settled(watcher)
                    with suppress(DBAPIError):
                        await connection.rollback()
    finally:
        with anyio.CancelScope(shield=True):
            await engine.dispose()


async def _take(connection: AsyncConnection) -> bool:
    """Take the lock, unless somebody has it or a dead holder's work still goes on."""
    # The server would otherwise end a transaction that idles while a long revision runs.
    await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
    got = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    if got:
        # Rolling back to the savepoint gives this lock back: our own work will want it, shared.
        savepoint = await connection.begin_nested()
        got = await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": WORK_KEY})
        await savepoint.rollback()
    if not got:
        await connection.rollback()
    return bool(got)


async def _watch(engine: AsyncEngine, held: HeldLock, released: anyio.Event) -> None:
    """Note who the migration waits for, until the lock is released or lost."""
    if await _comes(released):
        return
    with suppress(DBAPIError, OSError):
        # On a connection of its own: a CREATE INDEX CONCURRENTLY that meets a query in the transaction of the lock
        # waits for the end of that transaction, which waits for the index.
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            while True:
                if held.migrator is not None:
                    rows = (await connection.execute(_BLOCKERS, {"pid": held.migrator})).all()
                    held.blockers = "; ".join(_describe(row) for row in rows) or held.blockers
                if held.lost or await _comes(released):
                    return


async def _comes(released: anyio.Event) -> bool:
    with anyio.move_on_after(_WATCH_SECONDS):
        await released.wait()
    return released.is_set()


async def _describe_holder(connection: AsyncConnection) -> str:
    row = (await connection.execute(_HOLDER, {"lock": LOCK_KEY, "work": WORK_KEY})).first()
    await connection.rollback()
    return "a migrator that has just finished" if row is None else _describe(row)


def _describe(row: Row[Any]) -> str:
    """Say who somebody is, without the text of their query, which may hold data."""
    who = f"{row.application_name or 'unnamed'}, {row.client_addr or 'local'}, {row.state}"
    return f"server process {row.pid} ({who}) for {row.seconds or 0:.0f} s"


@asynccontextmanager
async def file_lock(path: Path, timeout_seconds: float, what: str) -> AsyncIterator[None]:
    """Hold a lock on a file, which the operating system releases when its holder dies.

    Args:
        path: The file; made where it is not there, and left behind.
        timeout_seconds: How long to wait for it.
        what: What its holder does, in a word.

    Raises:
        LockTimeoutError: Somebody else held it all that time.
        OSError: The file cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Where it cannot be made, the lock would be tried for as long as one that somebody holds.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    lock = FileLock(path, thread_local=False, on_acquired=_sign)

    async def take() -> bool:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    async def holder() -> str:
        return _signature(path) or f"whoever holds {path}"

    await _poll(take, timeout_seconds, holder, what)
    try:
        yield
    finally:
        lock.release()


def _sign(descriptor: int) -> None:
    """Write into a lock file who has locked it, for those who wait."""
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"process {os.getpid()} on {platform.node()}, {datetime.now(UTC).timestamp()}\n".encode())


def _signature(path: Path) -> str:
    with suppress(OSError, ValueError):
        who, _, since = path.read_text().rpartition(", ")
        return f"{who} for {datetime.now(UTC).timestamp() - float(since):.0f} s"
    return ""


async def _poll(
    take: Callable[[], Awaitable[bool]],
    timeout_seconds: float,
    holder: Callable[[], Awaitable[str]],
    what: str = "migration",
) -> None:
    start = time.monotonic()
    told = False
    while not await take():
        waited = time.monotonic() - start
        if waited >= _TELL_SECONDS and not told:
            told, who = True, await holder()
            _log.info("waiting for another %s, held by %s", what, who, extra={"event": "waiting", "holder": who})
        if waited >= timeout_seconds:
            raise LockTimeoutError(
                f"waited {waited:.1f} s for another {what} to end, held by {await holder()}",
                hint="wait for it, or raise TBCV_LOCK_TIMEOUT_SECONDS",
            )
        # Thirty replicas that start together must not ask together.
        await anyio.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311  # no secret
