"""What surrounds every statement of a migration.

A statement that waits for a lock makes all traffic behind it wait, so it may not wait long. A migration whose lock
is gone may not go on, since another one may have begun. What stands outside of a transaction cannot be rolled back,
so it must be possible to run it again. And what stands before it must not be committed without its revision.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import ExecutionContext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.engine.scripts import is_script
from tbcv.errors import RefusedError
from tbcv.migrate.autocommit import commit_singly, is_autocommit
from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.lock import WORK_KEY, HeldLock
from tbcv.migrate.patience import DdlPolicy
from tbcv.migrate.repeatable import repeatable

# A server that does not look whether its client is still there works on for a dead one, and its locks stay.
_OPENING = (
    "SELECT set_config('lock_timeout', '{milliseconds}ms', true), pg_backend_pid(), "
    f"pg_try_advisory_xact_lock_shared({WORK_KEY}), "
    "(SELECT set_config(name, '1s', true) FROM pg_settings "
    "WHERE name = 'client_connection_check_interval' AND version() !~* 'mingw|visual c|msvc')"
)
_ONLY_LOOKS = re.compile(
    r"^\s*(SELECT|PRAGMA|SHOW|SET|VALUES|EXPLAIN|LOCK|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|COMMIT)\b", re.IGNORECASE
)


def guard(engine: AsyncEngine, held: HeldLock, policy: DdlPolicy) -> None:
    """Guard all statements of a PostgreSQL engine that migrates.

    Args:
        engine: Used for one run.
        held: The lock under which it runs.
        policy: How long a statement may wait.
    """
    opening = _OPENING.format(milliseconds=int(policy.lock_timeout_seconds * 1000))
    commit_singly(engine, held, policy, opening)

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        if not is_autocommit(connection):
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
        held.require()
        return (repeatable(connection, statement) if is_autocommit(connection) else statement), parameters

    @event.listens_for(engine.sync_engine, "commit")
    def _commit(connection: Connection) -> None:
        if held.lost:
            _roll_back(connection)
        held.require()


@contextmanager
def whole_steps(connection: Connection) -> Iterator[None]:
    """Refuse to commit what a revision did before its autocommit block, on either engine.

    That commit comes without the revision: should the block fail, the revision could neither go on nor begin again.

    Raises:
        RefusedError: From the commit, which becomes a rollback.
    """
    changes: list[str] = []

    def begin(_connection: Connection) -> None:
        changes.clear()

    def statement(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        # A script may begin by looking.
        if not is_autocommit(connection) and (is_script(statement) or not _ONLY_LOOKS.match(statement)):
            changes.append(statement)

    def commit(connection: Connection) -> None:
        if changes and not is_autocommit(connection) and not any(VERSION_TABLE in one for one in changes):
            _roll_back(connection)
            raise RefusedError(
                "statements before an autocommit block would be committed without their revision",
                hint="give the block a revision of its own, or put it first",
            )

    listeners: dict[str, Callable[..., None]] = {"begin": begin, "before_cursor_execute": statement, "commit": commit}
    for name, listener in listeners.items():
        event.listen(connection, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(connection, name, listener)


def _roll_back(connection: Connection) -> None:
    """Roll back instead of committing: SQLAlchemy takes a commit that raises for the end of the transaction."""
    with suppress(DBAPIError):
        connection.connection.rollback()
