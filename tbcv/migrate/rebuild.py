"""What Alembic's batch mode loses on SQLite when it builds a table anew.

SQLite can hardly alter a table, so batch mode makes a new one out of what SQLAlchemy reflects, copies the rows and
drops the old one. Triggers, collations, AUTOINCREMENT, unnamed CHECKs, conflict clauses, a second UNIQUE on the same
columns, and the expressions, orders and collations of indexes are not reflected: they go without a word. A step after
which they are missing is rolled back, unless it dropped them by name or says that it means to. A view on the table
would make SQLite refuse the new table's name; for that one statement it does not look at views.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, NullPool, create_engine, event, text

from tbcv.errors import RefusedError
from tbcv.migrate.snapshot.sqlite import read_facts
from tbcv.migrate.snapshot.tokens import as_name, spell

ANNOUNCEMENT = "gives_up"
"""Module attribute by which a revision names what a rebuild of its may lose, in the words of the refusal."""

_TEMPORARY = "_alembic_tmp_"
_TEMPORARY_LENGTH = 50
_DROP = re.compile(
    r'^\s*DROP\s+(?P<kind>TABLE|TRIGGER|INDEX)\s+(?P<exists>IF\s+EXISTS\s+)?(?P<name>"[^"]+"|\w+)', re.IGNORECASE
)
_RENAME = re.compile(rf'^\s*ALTER\s+TABLE\s+"?{_TEMPORARY}.*\bRENAME\s+TO\b', re.IGNORECASE | re.DOTALL)
# SQLAlchemy reflects the expression of a column only where it is spelled in full, with GENERATED ALWAYS.
_NO_EXPRESSION = re.compile(
    rf'^\s*CREATE\s+TABLE\s+"?{_TEMPORARY}.*?"?(?P<column>\w+)"?[^,\n]* GENERATED ALWAYS AS \(\)',
    re.IGNORECASE | re.DOTALL,
)
_PECULIAR = re.compile(r"\bcollate\b|\bdesc\b|\bwhere\b|\(.*\(", re.IGNORECASE)


class Property(NamedTuple):
    """Something about a table that batch mode does not carry along.

    Attributes:
        label: What it is, for people: ``COLLATE nocase of items.name``.
        definition: All of it.
        name: Its own name, where it has one.
    """

    label: str
    definition: str
    name: str = ""


class Table(NamedTuple):
    """What counts of a table.

    Attributes:
        columns: Its columns.
        properties: What a rebuild may lose.
    """

    columns: frozenset[str]
    properties: frozenset[Property]


def may_lose(path: Path) -> bool:
    """Whether any table of a database has what batch mode does not carry along."""
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path), poolclass=NullPool)
    with engine.connect() as connection:
        return any(table.properties for table in _tables(connection).values())


class RebuildCheck:
    """A step listener that raises, and so rolls the step back, when a rebuild in the step lost something.

    Args:
        connection: The migrating connection, on SQLite.

    Raises:
        RefusedError: From the call.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rebuilt: dict[str, Table] = {}
        self._dropped: set[str] = set()

    def __call__(self, *, step: MigrationInfo, **_: object) -> None:
        """Judge one step, inside its transaction."""
        announced = getattr(getattr(step.up_revision, "module", None), ANNOUNCEMENT, ())
        now = {one: found for name in self._rebuilt for one, found in _tables(self._connection, name).items()}
        # A table that is gone or has another name by now was dropped or renamed on purpose.
        lost = [one for name, old in self._rebuilt.items() if name in now for one in _lost(old, now[name])]
        missing = sorted(one.label for one in lost if one.name not in self._dropped and one.label not in announced)
        self._rebuilt, self._dropped = {}, set()
        if missing:
            raise RefusedError(
                f"rebuilding a table would lose what batch mode does not carry along: {'; '.join(missing)}",
                hint=f"make it again in the revision after the batch, or set {ANNOUNCEMENT} = {tuple(missing)!r} in it",
            )

    def before(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        """Look at a table that is about to be replaced."""
        if _RENAME.match(statement):
            self._connection.exec_driver_sql("PRAGMA legacy_alter_table=ON")
        if match := _NO_EXPRESSION.match(statement):
            raise RefusedError(
                f"rebuilding a table would lose the expression of its generated column {match['column']}",
                hint="give batch_alter_table the table as copy_from",
            )
        match = _DROP.match(statement)
        if match is None:
            return
        name = as_name(match["name"])
        if match["kind"].upper() != "TABLE":
            self._dropped.add(name)
        elif name not in self._rebuilt and self._is_replaced(match["name"].strip('"')):
            self._rebuilt[name] = _tables(self._connection, name)[name]

    def after(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        """Let SQLite look at views again."""
        if _RENAME.match(statement):
            self._connection.exec_driver_sql("PRAGMA legacy_alter_table=OFF")

    def _is_replaced(self, name: str) -> bool:
        replacement = f"{_TEMPORARY}{name}"[:_TEMPORARY_LENGTH]
        found = text("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = :name")
        return self._connection.execute(found, {"name": replacement}).first() is not None


@contextmanager
def watched_rebuilds(connection: Connection) -> Iterator[RebuildCheck]:
    """Give the listener for the steps of one run on SQLite."""
    check = RebuildCheck(connection)
    listeners = {"before_cursor_execute": check.before, "after_cursor_execute": check.after}
    for name, listener in listeners.items():
        event.listen(connection, name, listener)
    try:
        yield check
    finally:
        for name, listener in listeners.items():
            event.remove(connection, name, listener)


def _lost(old: Table, new: Table) -> Iterator[Property]:
    gone = old.columns - new.columns
    for one in old.properties - new.properties:
        # What goes with its column is meant to go; a column that has another name now keeps its collation.
        words = set(re.findall(r"\w+", one.definition))
        if not words & gone or (one.label.startswith("COLLATE") and new.columns - old.columns):
            yield one


def _tables(connection: Connection, only: str | None = None) -> dict[str, Table]:
    lines: dict[str, list[str]] = {}
    for fact in read_facts(connection, only):
        kind, _, name = fact.subject.partition(" ")
        if kind == "table":
            lines.setdefault(name, []).append(fact.line)
    return {name: _table(name, found) for name, found in lines.items()}


def _table(table: str, lines: list[str]) -> Table:
    columns: set[str] = set()
    properties: set[Property] = set()
    unique: dict[str, list[str]] = {}
    for line in lines:
        kind, _, rest = line.partition(" ")
        name, _, definition = rest.removeprefix(f"{table}.").partition(": ")
        match kind:
            case "table":
                properties.update(Property(f"{word.upper()} of {table}", word) for word in _options(table, rest))
            case "column":
                columns.add(name)
                properties.update(_of_column(f"{table}.{name}", name, definition))
            case "constraint":
                properties.update(_of_constraint(table, name, definition))
                if definition.startswith("unique"):
                    unique.setdefault(definition, []).append(name)
            case "trigger":
                properties.add(Property(f"trigger {table}.{name}", definition, name))
            case "index" if _PECULIAR.search(definition):
                properties.add(Property(f"index {table}.{name}", definition, name))
    for definition, names in unique.items():
        if len(names) > 1:
            # SQLAlchemy tells UNIQUE constraints of SQLite apart by their columns alone, and finds one of these.
            both = " and ".join(names)
            properties.add(Property(f"one of {both} of {table}, which say the same", f"{definition} {both}"))
    return Table(frozenset(columns), frozenset(properties))


def _options(table: str, rest: str) -> list[str]:
    words = rest.removeprefix(table).strip()
    return [option for option in ("strict", "without rowid") if option in words]


def _of_column(where: str, column: str, definition: str) -> Iterator[Property]:
    for collation in re.findall(r"\bcollate (\S+)", definition):
        yield Property(f"COLLATE {collation} of {where}", column)
    if "generated always as" in definition:
        yield Property(f"the expression of {where}", column)
    for action in re.findall(r"\bon conflict (\w+)", definition):
        yield Property(f"ON CONFLICT {action} of {where}", column)


def _of_constraint(table: str, name: str, definition: str) -> Iterator[Property]:
    if name == spell("unnamed") and definition.startswith("check"):
        yield Property(f"CHECK {definition.removeprefix('check').strip()} of {table}", definition)
    if "autoincrement" in definition:
        yield Property(f"AUTOINCREMENT of {table}", definition)
    for action in re.findall(r"\bon conflict (\w+)", definition):
        yield Property(f"ON CONFLICT {action} of {table}", definition)
