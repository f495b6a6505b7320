"""What a statement did on SQLite: which tables lie elsewhere in the file, and how many rows were written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sqlalchemy.engine.interfaces import DBAPIConnection

from tbcv.gate.observers.observed import Statement
from tbcv.gate.observers.watcher import Rows, fetch

_QUOTES = re.compile(r"[\"'`\[\]]")
_NAME = r'"[^"]+"|`[^`]+`|\[[^\]]+\]|[^\s"`\[;]+'
_DROPS = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:main\.)?(?P<table>{_NAME})\s+DROP\s+(?:COLUMN\s+)?(?P<column>{_NAME})\s*;?\s*$",
    re.IGNORECASE,
)
_TABLES = (
    "SELECT name, rootpage, sql FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 "
    "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> 'alembic_version'"
)


@dataclass(frozen=True)
class SqliteState:
    """What SQLite says at one moment.

    Attributes:
        roots: The first page of each table; a table that was built anew has another one.
        texts: How each table was made.
        filled: The tables among them that hold rows and were not where they are now.
        changes: Rows written by this connection.
    """

    roots: Mapping[str, int]
    texts: Mapping[str, str]
    filled: frozenset[str]
    changes: int


class SqliteEye:
    """Reads the state of a SQLite database for one run.

    Args:
        rows: The rows of each table before the run.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._before: Mapping[str, int] | None = None
        self._told: set[str] = set()

    def look(self, raw: DBAPIConnection) -> SqliteState:
        """Read the state."""
        listed = fetch(raw, _TABLES)
        roots = {row[0]: row[1] for row in listed}
        if self._before is None:
            self._before = roots
        moved = [name for name, root in roots.items() if self._before.get(name, root) != root]
        filled = [name for name in moved if fetch(raw, f"SELECT EXISTS (SELECT 1 FROM {_quoted(name)})")[0][0]]
        texts = {row[0]: row[2] for row in listed}
        return SqliteState(roots, texts, frozenset(filled), fetch(raw, "SELECT total_changes()")[0][0])

    def enclose(self, raw: DBAPIConnection, statement: str) -> bool:  # noqa: ARG002
        """Leave a statement alone: SQLite has no locks on tables that could be looked at."""
        return False

    def forget(self, state: SqliteState) -> SqliteState:
        """Return the state: nothing of it ends with a transaction."""
        return state

    def describe(self, before: SqliteState, after: SqliteState, statement: Statement) -> Statement:
        """Return a statement with what it did to what was there before the run."""
        shortened = {*self._without_a_column(before, statement)} - after.filled
        written = {*after.filled, *shortened}
        anew = tuple(sorted(name for name in written if name not in self._told and self._rows.get(name, 1)))
        self._told.update(anew)
        return replace(
            statement,
            rewritten=anew,
            shortened=tuple(name for name in anew if name in shortened),
            rows=max(statement.rows, after.changes - before.changes),
        )

    def _without_a_column(self, before: SqliteState, statement: Statement) -> Iterator[str]:
        """Give the table of which a column was dropped: where its values are stored, every row is written again."""
        match = _DROPS.match(statement.sql)
        if match is None:
            return
        named, column = (_QUOTES.sub("", match[one]) for one in ("table", "column"))
        table = next((name for name in before.texts if name.lower() == named.lower()), None)
        if table is None or table not in (self._before or {}):
            return
        virtual = rf"\b{re.escape(column)}\b[^,]*\bAS\s*\((?!.*\bSTORED\b)"
        if not re.search(virtual, before.texts[table], re.IGNORECASE):
            yield table


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
