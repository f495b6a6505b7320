"""One statement on a scratch database: whether it works, on how many rows, and if not, what kind of objection there is.

Each runs in a savepoint, so that a failure harms nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from tbcv.engine.failures import reason


class Objection(StrEnum):
    """What an engine has against a statement.

    The first four are about values in their relation to other values: another statement of the same form may work.
    """

    CHECK = "check"
    UNIQUE = "unique"
    FOREIGN_KEY = "foreign-key"
    EXCLUSION = "exclusion"
    NULL = "null"
    OTHER = "other"


_STATES = {
    "23514": Objection.CHECK,
    "23505": Objection.UNIQUE,
    "23503": Objection.FOREIGN_KEY,
    "23001": Objection.FOREIGN_KEY,
    "23P01": Objection.EXCLUSION,
    "23502": Objection.NULL,
}
_MESSAGES = {
    "CHECK constraint failed": Objection.CHECK,
    "UNIQUE constraint failed": Objection.UNIQUE,
    "FOREIGN KEY constraint failed": Objection.FOREIGN_KEY,
    "NOT NULL constraint failed": Objection.NULL,
}
_BEGUN = "tbcv.attempts.begun"
_CONSTRAINT = re.compile(r'constraint "([^"]+)"|constraint failed: (.+)$')


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a statement.

    Attributes:
        statement: As it was run.
        error: The engine's words, in a line; empty where it worked.
        objection: Their kind; None where it worked.
        constraint: The constraint that they name, as far as they do.
        detail: All that the engine says.
        count: How many rows it concerned.
        row: The first row that it returned.
    """

    statement: str
    error: str = ""
    objection: Objection | None = None
    constraint: str = ""
    detail: str = ""
    count: int = 0
    row: tuple[Any, ...] | None = None

    @property
    def worked(self) -> bool:
        """Whether the engine had nothing against it."""
        return self.objection is None


def attempt(connection: Connection, statement: str, *, keep: bool = False, rows: bool = False) -> Answer:
    """Run a statement in a savepoint.

    Args:
        connection: In a transaction.
        statement: With literals instead of parameters.
        keep: Whether what it changes stays.
        rows: Whether the answer is to have the first row; else it may have none.
    """
    if connection.dialect.name == "postgresql":
        return _attempt_on_server(connection, statement, keep=keep, rows=rows)
    savepoint = connection.begin_nested()
    try:
        result = connection.exec_driver_sql(statement)
        found = [tuple(row) for row in result.fetchall()] if result.returns_rows else []
        count = len(found) if result.returns_rows else result.rowcount
    except (DBAPIError, ValueError, OverflowError) as error:
        # A driver may not understand a value that it reads, which is no answer of the engine's.
        savepoint.rollback()
        return _refused(statement, error.orig if isinstance(error, DBAPIError) and error.orig else error)
    if keep:
        savepoint.commit()
    else:
        savepoint.rollback()
    return Answer(statement, count=count, row=found[0] if found else None)


def _attempt_on_server(connection: Connection, statement: str, *, keep: bool, rows: bool) -> Answer:
    """Run a statement without preparing it: that takes five times as long, and there are hundreds of them."""
    if not connection.in_transaction() or connection.info.get(_BEGUN) is not connection.get_transaction():
        # The driver begins its transaction with the first statement that SQLAlchemy sends.
        connection.exec_driver_sql("SELECT 1")
        connection.info[_BEGUN] = connection.get_transaction()
    raw: Any = connection.connection.driver_connection
    found: list[tuple[Any, ...]] = []
    try:
        if rows:
            await_only(raw.execute("SAVEPOINT attempt"))
            found = [tuple(row) for row in await_only(raw.fetch(statement))]
            count = len(found)
        else:
            count = _count(await_only(raw.execute(f"SAVEPOINT attempt; {statement}")))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError, OverflowError) as error:
        await_only(raw.execute("ROLLBACK TO attempt; RELEASE attempt"))
        return _refused(statement, error)
    await_only(raw.execute("RELEASE attempt" if keep else "ROLLBACK TO attempt; RELEASE attempt"))
    return Answer(statement, count=count, row=found[0] if found else None)


def _count(tag: str) -> int:
    """Return how many rows a command tag tells of, as in ``UPDATE 3``."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdigit() else 0


def _refused(statement: str, error: BaseException) -> Answer:
    words = reason(error)
    state = getattr(error, "sqlstate", None) or ""
    kind = _STATES.get(state) or next((kind for text, kind in _MESSAGES.items() if text in words), Objection.OTHER)
    found = _CONSTRAINT.search(words)
    return Answer(statement, words, kind, (found[1] or found[2]).strip() if found else "", str(error))
