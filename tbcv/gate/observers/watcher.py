"""Follows a run of a revision statement by statement, whichever engine it is on."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection

from tbcv.engine.failures import reason
from tbcv.findings import Location
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.observers.origin import Origin

S = TypeVar("S")

_BEGINS = re.compile(r"\s*(?:BEGIN|START\s+TRANSACTION)\b", re.IGNORECASE)
_ENDS = re.compile(r"\s*(?:COMMIT|END|ABORT|ROLLBACK(?!\s+TO\b)(?!\s+\w+\s+TO\b))\b(?!\s+PREPARED\b)", re.IGNORECASE)
# Drivers that look whether there is a transaction; to others the one that they began goes on for ever.
_BEGIN_ANEW = {"pysqlite", "aiosqlite", "psycopg", "psycopg_async"}


class Eye(Protocol[S]):
    """Reads what an engine says about its database, on the connection that is being watched."""

    def look(self, raw: DBAPIConnection) -> S:
        """Read the state."""

    def enclose(self, raw: DBAPIConnection, statement: str) -> bool:
        """Put a statement that is to run in autocommit into a transaction of its own, so that its locks can be seen.

        Returns:
            Whether that was possible.
        """

    def describe(self, before: S, after: S, statement: Statement) -> Statement:
        """Return a statement with what it did."""

    def forget(self, state: S) -> S:
        """Return a state without what ends with a transaction."""


@dataclass
class _Pending:
    sql: str
    location: Location
    began: float
    enclosed: bool
    alone: bool


class Watcher(Generic[S]):
    """The audience of one run of one revision.

    Args:
        run: Which run.
        origin: The revision's file.
        eye: The engine's.
    """

    def __init__(self, run: Run, origin: Origin, eye: Eye[S]) -> None:
        self.run = run
        self.statements: list[Statement] = []
        self._origin = origin
        self._eye = eye
        self._states: dict[int, S] = {}
        self._pending: dict[int, _Pending] = {}
        self._transaction = 0
        self._opened_by_hand: set[int] = set()
        self._ended_by_hand: set[int] = set()

    def before(self, connection: Connection, statement: str) -> None:
        """Note where a statement comes from, and look before the first one."""
        location = self._origin.here()
        if location is None:
            return
        raw = _raw(connection)
        key = id(raw)
        alone = key not in self._opened_by_hand and (key in self._ended_by_hand or _is_autocommit(connection, raw))
        if alone:
            self._transaction += 1
        if key not in self._states:
            self._states[key] = self._eye.look(raw)
        enclosed = alone and self._eye.enclose(raw, statement)
        self._pending[key] = _Pending(statement, location, time.perf_counter(), enclosed, alone)

    def after(self, connection: Connection, statement: str, rows: int) -> None:
        """Look at what a statement has done."""
        raw = _raw(connection)
        key = id(raw)
        pending = self._pending.pop(key, None)
        if pending is None:
            return
        elapsed = (time.perf_counter() - pending.began) * 1000
        before = self._states[key]
        state = self._eye.look(raw)
        if pending.enclosed:
            _execute(raw, "COMMIT")
        self.statements.append(
            self._eye.describe(before, state, replace(self._statement(pending, elapsed), rows=max(rows, 0)))
        )
        ends = _ENDS.match(statement) is not None
        self._states[key] = self._eye.forget(state) if pending.alone or ends else state
        if pending.alone or ends:
            self._transaction += 1
        self._follow_by_hand(connection, key, statement)

    def failed(self, connection: Connection, error: BaseException) -> None:
        """Note a statement that was refused; what it did is undone."""
        if connection.closed:
            return
        raw = _raw(connection)
        key = id(raw)
        pending = self._pending.pop(key, None)
        if pending is None:
            return
        if pending.enclosed:
            _execute(raw, "ROLLBACK")
        elapsed = (time.perf_counter() - pending.began) * 1000
        noted = self._statement(pending, elapsed)
        self.statements.append(replace(noted, error=reason(error), code=sqlstate(error)))

    def ended(self, connection: Connection) -> None:
        """Forget the locks of a transaction."""
        if connection.closed:
            return
        key = id(_raw(connection))
        self._transaction += 1
        self._opened_by_hand.discard(key)
        self._ended_by_hand.discard(key)
        if key in self._states:
            self._states[key] = self._eye.forget(self._states[key])

    def _statement(self, pending: _Pending, elapsed: float) -> Statement:
        return Statement(
            self.run,
            len(self.statements),
            pending.sql,
            pending.location,
            self._transaction,
            pending.alone,
            round(elapsed, 2),
        )

    def _follow_by_hand(self, connection: Connection, key: int, statement: str) -> None:
        """Know of a transaction that a revision begins and ends by statements of its own."""
        if _ENDS.match(statement):
            self._opened_by_hand.discard(key)
            if connection.dialect.driver not in _BEGIN_ANEW:
                self._ended_by_hand.add(key)
        elif _BEGINS.match(statement):
            self._opened_by_hand.add(key)


def sqlstate(error: BaseException | None) -> str:
    """Return the SQLSTATE of a driver's error; empty where it has none."""
    while error is not None:
        for name in ("sqlstate", "pgcode"):
            code = getattr(error, name, None)
            if isinstance(code, str):
                return code
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def fetch(raw: DBAPIConnection, statement: str) -> list[Any]:
    """Execute a statement without telling anybody and return its rows."""
    cursor = raw.cursor()
    try:
        cursor.execute(statement)
        return list(cursor.fetchall())
    finally:
        cursor.close()


def _execute(raw: DBAPIConnection, statement: str) -> None:
    cursor = raw.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def begin(raw: DBAPIConnection) -> None:
    """Begin a transaction on a connection in autocommit."""
    _execute(raw, "BEGIN")


def _raw(connection: Connection) -> DBAPIConnection:
    raw = connection.connection.dbapi_connection
    assert raw is not None
    return raw


def _is_autocommit(connection: Connection, raw: DBAPIConnection) -> bool:
    if connection.dialect.name == "sqlite":
        return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
    try:
        return connection.dialect.detect_autocommit_setting(raw)
    except NotImplementedError:
        return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


Rows = Mapping[str, int]
"""How many rows each table had before a run."""
