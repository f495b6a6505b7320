"""The exact SQL of a plan for one database, as a script that a bare client can replay.

PostgreSQL's is written by Alembic's offline mode. SQLite's batch operations read the table that they rebuild,
so there the plan runs on a scratch copy of the database and what reaches the engine is written down.
"""

from __future__ import annotations

import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.plan import Plan

_STRING_OR_PLACEHOLDER = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\?", re.DOTALL)
# What a virtual table makes for itself comes with it, and is refused by its name.
_DEFINITIONS = (
    "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL "
    "ORDER BY CASE type WHEN 'table' THEN 1 WHEN 'index' THEN 2 ELSE 3 END, rowid"
)
_READS = re.compile(r"\s*(SELECT|EXPLAIN|PRAGMA(?![^=]*=))\b", re.IGNORECASE)


def stamp_script(revisions: Sequence[str]) -> str:
    """Return the SQL that records revisions in a database of either engine, and nothing else."""
    return "\n".join(["BEGIN;", *stamp_statements(revisions), "COMMIT;"]) + "\n"


def stamp_statements(revisions: Sequence[str]) -> list[str]:
    """Return the statements of `stamp_script` without their transaction."""
    create = f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (\n    version_num VARCHAR(32) NOT NULL,\n"
    return [
        f"{create}    CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)\n);",
        f"DELETE FROM {VERSION_TABLE};",
        *(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ({_literal(one)});" for one in revisions),
    ]


def finish_postgresql_script(sql: str) -> str:
    """Complete Alembic's offline SQL: what tbcv sets on its own connections, a bare client has to set too."""
    return f"SET TIME ZONE 'UTC';\n\n{sql.strip()}\n"


@contextmanager
def recorded(engine: AsyncEngine) -> Iterator[list[str]]:
    """Write down the statements that change a SQLite database through an engine; rolled back ones are left out.

    Yields:
        The script's statements; complete when the block ends.
    """
    script: list[str] = ["PRAGMA foreign_keys=OFF;"]
    open_transaction: list[str] = []

    def executed(
        _connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        parameters: Any,  # noqa: ANN401  # as the driver takes them
        _context: ExecutionContext | None,
        executemany: bool,
    ) -> None:
        if _READS.match(statement) or (cursor.description is not None and statement.lstrip()[:4].upper() == "WITH"):
            return
        rows = parameters if executemany else [parameters]
        target = open_transaction if open_transaction or statement.startswith("BEGIN") else script
        target += [expand(statement, row) + ";" for row in rows]

    def committed(_connection: Connection) -> None:
        # A transaction that changed nothing is of no interest: BEGIN alone.
        if len(open_transaction) > 1:
            script.extend([*open_transaction, "COMMIT;"])
        open_transaction.clear()

    def rolled_back(_connection: Connection) -> None:
        open_transaction.clear()

    listeners: tuple[tuple[str, Callable[..., None]], ...] = (
        ("after_cursor_execute", executed),
        ("commit", committed),
        ("rollback", rolled_back),
    )
    for name, listener in listeners:
        event.listen(engine.sync_engine, name, listener)
    try:
        yield script
    finally:
        for name, listener in listeners:
            event.remove(engine.sync_engine, name, listener)


@contextmanager
def copy_address() -> Iterator[tuple[DatabaseURL, Path]]:
    """Give a path for a scratch copy of a SQLite database."""
    with tempfile.TemporaryDirectory(prefix="tbcv-preview-") as directory:
        path = Path(directory, "copy.db")
        yield parse_database_url(f"sqlite:///{path}"), path


async def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database consistently while others use it; an absent one gives an absent copy."""
    if source.exists() and source.stat().st_size:
        await anyio.to_thread.run_sync(_copy, source, target)


async def copy_schema(source: Path, target: Path) -> None:
    """Copy the tables and all else of a database that has a definition, and the recorded revisions, but no rows."""
    await anyio.to_thread.run_sync(_copy_schema, source, target)


def expand(statement: str, parameters: Sequence[object] | None) -> str:
    """Write a statement's parameters into it as literals."""
    if not parameters:
        return statement.strip()
    values = iter(parameters)

    def literal(match: re.Match[str]) -> str:
        return _literal(next(values)) if match.group() == "?" else match.group()

    return _STRING_OR_PLACEHOLDER.sub(literal, statement).strip()


def script_text(plan: Plan, statements: Sequence[str]) -> str:
    """Join a recorded script under a heading."""
    steps = ", ".join(plan.ids) or "nothing to do"
    return f"-- {plan.direction} to {plan.target}: {steps}\n" + "\n".join(statements) + "\n"


def _literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(int(value))
        case int():
            return str(value)
        case float():
            return {"inf": "9e999", "-inf": "-9e999", "nan": "NULL"}.get(repr(value), repr(value))
        case bytes():
            return f"X'{value.hex()}'"
        case _:
            text = str(value).replace("'", "''")
            return f"'{text}'"


def _copy(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)


def _copy_schema(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True)) as old,
        closing(sqlite3.connect(target, isolation_level=None)) as new,
    ):
        for (definition,) in old.execute(_DEFINITIONS).fetchall():
            with suppress(sqlite3.Error):
                new.execute(definition)
        recorded = old.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall()
        new.executemany(f"INSERT INTO {VERSION_TABLE} VALUES (?)", recorded)
