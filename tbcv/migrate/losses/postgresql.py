"""What a step takes away on PostgreSQL: from its catalog, and from triggers that fire for a statement without rows.

Tables and columns are told apart by their numbers, so that one that was renamed is not taken for dropped, and one that
was dropped and made anew is not taken for the old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import DatabaseURL
from tbcv.migrate.bookkeeping import BOOKKEEPING
from tbcv.migrate.losses.columns import widens
from tbcv.migrate.losses.model import How, Taken, once

# Theirs is an own schema, where no revision looks.
_NOTES = (
    "CREATE SCHEMA IF NOT EXISTS tbcv_watch",
    "CREATE TABLE IF NOT EXISTS tbcv_watch.notes (relation oid, operation text, statement text)",
    """CREATE OR REPLACE FUNCTION tbcv_watch.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO tbcv_watch.notes VALUES (TG_RELID, TG_OP, current_query()); RETURN NULL; END $$""",
    "TRUNCATE tbcv_watch.notes",
)
_UNWATCHED = text(
    "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) "
    "AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) "
    "AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'tbcv_watch')"
)
# Always: a revision may silence triggers with session_replication_role.
_WATCH = (
    """CREATE TRIGGER tbcv_watch AFTER UPDATE OR DELETE OR TRUNCATE ON {0} FOR EACH STATEMENT
    EXECUTE FUNCTION tbcv_watch.note()""",
    "ALTER TABLE {0} ENABLE ALWAYS TRIGGER tbcv_watch",
)
_COLUMNS = text(
    "SELECT c.oid, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS type FROM pg_class c "
    "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "WHERE c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) "
    "AND c.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) "
    "ORDER BY c.oid, a.attnum"
)
_REFERENCES = text(
    "SELECT conrelid AS child, confrelid AS parent, conkey AS columns, confkey AS keys, confdeltype::text AS deleting, "
    "confupdtype::text AS updating FROM pg_constraint WHERE contype = 'f'"
)
_SET = re.compile(
    r"^\s*UPDATE\s+(?:ONLY\s+)?[\w\".$]+\s+(?:\*\s+)?(?:(?:AS\s+)?[\w\"$]+\s+)?SET\s+(?P<list>.*)$",
    re.IGNORECASE | re.DOTALL,
)
_PIECE = re.compile(r"'(?:[^']|'')*'|\$\w*\$|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|[\w$]+|\s+|.", re.DOTALL)
_NAMES = re.compile(r"^\s*(?P<names>[\w$]+|\"[^\"]+\"|\([\w$\s,\"]+\))\s*=")


class Column(NamedTuple):
    """A column and its type."""

    name: str
    type: str


class Table(NamedTuple):
    """A table and its columns by number."""

    name: str
    columns: dict[int, Column]


class Reference(NamedTuple):
    """A foreign key, and what it does to rows: ``c`` deletes or changes them, ``n`` and ``d`` empty the columns."""

    child: int
    parent: int
    columns: list[int]
    keys: list[int]
    deleting: str
    updating: str


class PostgresqlWatch:
    """Watches the steps of a plan on a scratch database of PostgreSQL.

    Args:
        address: The scratch database.
    """

    def __init__(self, address: DatabaseURL) -> None:
        self._address = address
        self._first: dict[int, Table] | None = None
        self._before: dict[int, Table] = {}
        self._references: list[Reference] = []

    def engine(self) -> None:
        """Make no engine in particular: what is watched is the database."""

    async def begin(self) -> None:
        """Look at the schema before a step, and watch its tables."""
        engine = migration_engine(self._address)
        try:
            async with engine.begin() as connection:
                for statement in _NOTES:
                    await connection.exec_driver_sql(statement)
                for table in (await connection.execute(_UNWATCHED)).scalars().all():
                    for statement in _WATCH:
                        await connection.exec_driver_sql(statement.format(table))
                self._before = await _tables(connection)
                self._references = [Reference(**row) for row in (await connection.execute(_REFERENCES)).mappings()]
        finally:
            await engine.dispose()
        if self._first is None:
            self._first = self._before

    async def taken(self) -> list[Taken]:
        """Return what the step since then took away."""
        engine = migration_engine(self._address)
        try:
            async with engine.connect() as connection:
                after = await _tables(connection)
                notes = (await connection.exec_driver_sql("SELECT * FROM tbcv_watch.notes")).all()
        finally:
            await engine.dispose()
        found = [*self._missing(after)]
        for note in notes:
            updates = note.operation == "UPDATE"
            found += self._changed(note.relation, note.statement) if updates else self._deleted(note.relation)
        return once(found)

    def _taken(self, relation: int, number: int | None, how: How) -> Iterator[Taken]:
        """Name something as it was called before the plan; what the plan made is nobody's loss."""
        table = (self._first or {}).get(relation)
        if table is None:
            return
        if number is None:
            yield Taken(table.name, None, how)
        elif number in table.columns:
            yield Taken(table.name, table.columns[number].name, how)

    def _missing(self, after: dict[int, Table]) -> Iterator[Taken]:
        for relation, table in self._before.items():
            if relation not in after:
                yield from self._taken(relation, None, How.DROPPED)
                continue
            columns = after[relation].columns
            for number, column in table.columns.items():
                if number not in columns:
                    yield from self._taken(relation, number, How.DROPPED)
                elif not widens(column.type, columns[number].type):
                    yield from self._taken(relation, number, How.CHANGED)

    def _deleted(self, relation: int) -> Iterator[Taken]:
        """Give the rows that are deleted, and what foreign keys do then."""
        todo = [relation]
        seen: set[int] = set()
        while todo:
            parent = todo.pop()
            if parent in seen:
                continue
            seen.add(parent)
            yield from self._taken(parent, None, How.DELETED)
            for one in self._references:
                if one.parent == parent and one.deleting == "c":
                    todo.append(one.child)
                elif one.parent == parent and one.deleting in "nd":
                    for number in one.columns:
                        yield from self._taken(one.child, number, How.CHANGED)

    def _changed(self, relation: int, statement: str) -> Iterator[Taken]:
        """Give the columns that are overwritten: all of them where the statement stands in a function."""
        table = self._before.get(relation)
        if table is None:
            return
        names = updated_columns(statement)
        numbers = [number for number, one in table.columns.items() if names is None or one.name in names]
        for number in numbers:
            yield from self._taken(relation, number, How.CHANGED)
        for one in self._references:
            if one.parent == relation and one.updating in "cnd" and set(one.keys) & set(numbers):
                for number in one.columns:
                    yield from self._taken(one.child, number, How.CHANGED)


def updated_columns(statement: str) -> frozenset[str] | None:
    """Return the columns that a plain UPDATE assigns to; None where that cannot be told from its text."""
    match = _SET.match(statement)
    if match is None:
        return None
    assignments, depth = [""], 0
    for piece in _PIECE.findall(match["list"]):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(piece, 0)
        if piece == ";" or piece.startswith("$$"):
            return None
        if depth == 0 and piece.upper() in ("WHERE", "FROM", "RETURNING"):
            break
        if depth == 0 and piece == ",":
            assignments.append("")
        else:
            assignments[-1] += piece
    names: set[str] = set()
    for one in assignments:
        target = _NAMES.match(one)
        if target is None:
            return None
        words = re.findall(r"\"[^\"]+\"|[\w$]+", target["names"])
        names.update(word[1:-1] if word.startswith('"') else word.lower() for word in words)
    return frozenset(names)


async def _tables(connection: AsyncConnection) -> dict[int, Table]:
    found: dict[int, Table] = {}
    for row in await connection.execute(_COLUMNS):
        if row.relname in BOOKKEEPING:
            continue
        table = found.setdefault(row.oid, Table(row.relname, {}))
        if row.attnum is not None:
            table.columns[row.attnum] = Column(row.attname, row.type)
    return found
