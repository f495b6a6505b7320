"""What surrounds every statement of a migration on PostgreSQL.

A statement that waits for a lock makes all traffic behind it wait, so it may not wait long. A migration whose lock
is gone may not go on, since another one may have begun. And an index that a killed CREATE INDEX CONCURRENTLY left
behind must not keep the revision from running again.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.engine.interfaces import ExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.errors import LockLostError
from tbcv.migrate.lock import WORK_KEY, HeldLock

_log = logging.getLogger(__name__)

_PASSING = {"55P03": "a lock timeout", "40P01": "a deadlock", "40001": "a serialization failure"}
_OPENING = (
    "SELECT set_config('lock_timeout', '{milliseconds}ms', true), pg_backend_pid(), "
    f"pg_try_advisory_xact_lock_shared({WORK_KEY})"
)
_CONCURRENTLY = re.compile(
    r"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?(?P<name>\S+)\s+ON\b",
    re.IGNORECASE,
)
_VALIDITY = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


@dataclass(frozen=True, slots=True)
class DdlPolicy:
    """How patient a migration is with other sessions of the server.

    Attributes:
        lock_timeout_seconds: How long one statement may wait for a lock.
        attempts: How often a revision is tried whose statement waited longer.
    """

    lock_timeout_seconds: float = 1.0
    attempts: int = 20


def passing(error: BaseException | None) -> str:
    """Return what a failure was if trying again may help, else nothing."""
    code = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return _PASSING.get(code or "", "")


def guard(engine: AsyncEngine, held: HeldLock, policy: DdlPolicy) -> None:
    """Guard all statements of a PostgreSQL engine that migrates.

    Args:
        engine: Used for one run.
        held: The lock under which it runs.
        policy: How long a statement may wait.
    """
    opening = _OPENING.format(milliseconds=int(policy.lock_timeout_seconds * 1000))

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            # LOCAL to the transaction: a pooler may give the session to somebody else after it.
            held.migrator = connection.exec_driver_sql(opening).one()[1]

    @event.listens_for(engine.sync_engine, "before_cursor_execute", retval=True)
    def _before(
        connection: Connection,
        _cursor: object,
        statement: str,
        parameters: Any,  # noqa: ANN401  # as the driver takes them
        _context: ExecutionContext | None,
        _many: bool,
    ) -> tuple[str, Any]:
        _require(held)
        match = _CONCURRENTLY.match(statement)
        return (_clear_leftover(connection, match, statement) if match else statement), parameters

    @event.listens_for(engine.sync_engine, "commit")
    def _commit(_connection: Connection) -> None:
        _require(held)


def _require(held: HeldLock) -> None:
    if held.lost:
        raise LockLostError(
            "the connection that holds the migration lock was closed by the server",
            hint="what was in progress was rolled back; run it again",
        )


def _clear_leftover(connection: Connection, match: re.Match[str], statement: str) -> str:
    """Drop an invalid index of the name that is to be built, and keep a valid one."""
    name = match.group("name")
    valid = connection.execute(_VALIDITY, {"name": name}).scalar()
    if valid is None:
        return statement
    if valid:
        _log.warning("index %s was built by an earlier attempt and is kept", name)
        start = match.start("name")
        return statement if match.group("exists") else f"{statement[:start]}IF NOT EXISTS {statement[start:]}"
    _log.warning("index %s was left unfinished by an earlier attempt: it is dropped and built again", name)
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
    return statement
