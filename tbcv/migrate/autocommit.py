"""Statements in an autocommit block of PostgreSQL: each in a transaction of its own, if it can be in one.

So it waits for a lock no longer than any other statement, and can be tried again alone: those before it in the block
are committed and not to be done twice. What PostgreSQL executes in no transaction, such as CREATE INDEX CONCURRENTLY,
is executed bare.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

from tbcv.errors import LockTimeoutError
from tbcv.migrate.lock import HeldLock
from tbcv.migrate.patience import QUIETER, DdlPolicy, delay_seconds, passing

_log = logging.getLogger(__name__)

# "cannot run inside a transaction block", and a procedure or DO block that ends the transaction itself.
_BARE = frozenset({"25001", "2D000"})
_TRANSACTION = re.compile(r"^\s*(BEGIN|START|SAVEPOINT|RELEASE|ROLLBACK|COMMIT|END|ABORT)\b", re.IGNORECASE)


def is_autocommit(connection: Connection) -> bool:
    """Whether each statement on a connection is committed by itself."""
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def commit_singly(engine: AsyncEngine, held: HeldLock, policy: DdlPolicy, opening: str) -> None:
    """Let every statement outside of a transaction wait for a lock for a bounded time, and try it again.

    Args:
        engine: Of PostgreSQL; used for one run.
        held: The lock under which it runs.
        policy: How long a statement may wait, and how often it is tried.
        opening: What begins each transaction of the run; its second column is the server process.
    """

    def handler(name: str) -> Callable[..., bool]:
        def handle(*arguments: object) -> bool:
            context: Any = arguments[-1]
            connection, statement = context.root_connection, str(arguments[1])
            inside = connection.connection.driver_connection.is_in_transaction()
            if not is_autocommit(connection) or inside or _TRANSACTION.match(statement):
                return False
            execute = partial(getattr(context.dialect, name), *arguments)
            _Single(connection, held, policy, opening).execute(execute)
            return True

        return handle

    for name in ("do_execute", "do_execute_no_params", "do_executemany"):
        event.listen(engine.sync_engine, name, handler(name))


class _Single:
    """One statement and the transaction around it."""

    def __init__(self, connection: Connection, held: HeldLock, policy: DdlPolicy, opening: str) -> None:
        self._cursor = connection.connection.cursor()
        self._errors = connection.dialect.loaded_dbapi.Error
        self._held, self._policy, self._opening = held, policy, opening

    def execute(self, statement: Callable[[], object]) -> None:
        """Execute it until it works, or fails for a reason that does not pass.

        Raises:
            LockTimeoutError: Somebody was in the way in each attempt.
            LockLostError: The migration lock is gone.
        """
        for number in range(1, self._policy.attempts + 1):
            try:
                self._attempt(statement)
            except self._errors as error:
                if getattr(error, "sqlstate", None) in _BARE:
                    statement()
                    return
                what = passing(error)
                if not what:
                    raise
                self._wait(number, what)
            else:
                return

    def _attempt(self, statement: Callable[[], object]) -> None:
        self._held.require()
        self._cursor.execute("BEGIN")
        try:
            self._cursor.execute(self._opening)
            self._held.migrator = self._cursor.fetchall()[0][1]
            statement()
            self._held.require()
            self._cursor.execute("COMMIT")
        except Exception:
            # A connection that is gone has rolled back already.
            with suppress(self._errors):
                self._cursor.execute("ROLLBACK")
            raise

    def _wait(self, number: int, what: str) -> None:
        """Wait before another attempt, or raise after the last one."""
        who, attempts = self._held.in_the_way, self._policy.attempts
        if number == attempts:
            raise LockTimeoutError(
                f"{what} in each of {attempts} attempts at a statement of its autocommit block, held by {who}",
                hint=QUIETER,
            )
        seconds = delay_seconds(number)
        _log.warning(
            "a statement of an autocommit block was rolled back after %s, held by %s; attempt %d of %d in %.1f s",
            what,
            who,
            number + 1,
            attempts,
            seconds,
            extra={"event": "retry", "attempt": number + 1, "blockers": who},
        )
        await_only(asyncio.sleep(seconds))
