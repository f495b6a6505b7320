"""Rows that are there already under the keys of those that an upgrade inserts: whether it writes over them.

``INSERT OR REPLACE`` and ``ON CONFLICT DO UPDATE`` do nothing to rows of which none has such a key, and a setting that
a revision puts in may have been chosen by somebody long ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.contents import Contents, TableRows
from tbcv.gate.rehearsals.forms import Value
from tbcv.gate.rehearsals.losses import RowsLost
from tbcv.gate.rehearsals.rehearsed import StepRehearsal
from tbcv.gate.rehearsals.retrial import with_losses
from tbcv.gate.releases.passage import on
from tbcv.gate.seeding.seed import without_triggers
from tbcv.gate.seeding.tables import SeedTable, read_tables
from tbcv.gate.seeding.values import Kind
from tbcv.gate.staging.stage import Stage

_WRITES_OVER = re.compile(
    r"\bOR\s+REPLACE\s+INTO\b|^\s*REPLACE\s+INTO\b|\bON\s+CONFLICT\b.*\bDO\s+UPDATE\b|^\s*(?:WITH\b.*)?MERGE\s+INTO\b",
    re.IGNORECASE | re.DOTALL,
)
_INSERTS = re.compile(r"\bINSERT\b.*\bINTO\b", re.IGNORECASE | re.DOTALL)
_DELETES = re.compile(r"^\s*(?:WITH\b.*)?DELETE\b", re.IGNORECASE | re.DOTALL)
_MOST = 20


async def with_rows_in_place(
    stage: Stage,
    scratch: ScratchDatabases,
    template: DatabaseURL,
    step: StepRehearsal,
    found: tuple[Contents, Contents],
) -> StepRehearsal:
    """Run an upgrade that may write over rows, or a downgrade that may delete them, on a database that has such rows.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        template: A database at the revision's parents.
        step: What came of the revision where no row was in its way.
        found: What was in the database before the upgrade then, and what after it.

    Returns:
        The same, with what is lost of rows that are in its way, and not restored.
    """
    writes_over = any(_WRITES_OVER.search(one.sql) for one in step.of(Run.UP))
    inserts = any(_INSERTS.search(one.sql) for one in step.of(Run.UP))
    deletes = inserts and any(_DELETES.search(one.sql) for one in step.of(Run.DOWN))
    if not (writes_over or deletes):
        return step
    inserted = dict(_inserted(*found))
    if not inserted:
        return step
    async with scratch.copy(template) as trial:
        # A number that a revision chose has hardly been chosen by somebody else, too, as a word has.
        await on(trial, _put, found[0], inserted, only_words=not writes_over)
        return await with_losses(stage, trial, step, partial(_overwritten, found[0]), and_back=deletes)


def _inserted(before: Contents, after: Contents) -> Iterator[tuple[str, tuple[Mapping[str, Value], ...]]]:
    """Give the rows that are new in tables from before."""
    for name, table in before.items():
        now = after.get(name)
        keys = [column.name for column in table.columns if column.is_key]
        if now is None or not keys or not set(keys) <= now.positions.keys() or not table.rows:
            continue
        known = {tuple(row[table.positions[one]] for one in keys) for row in table.rows}
        new = [row for row in now.rows if tuple(row[now.positions[one]] for one in keys) not in known]
        if new:
            yield name, tuple({one: row[place] for one, place in now.positions.items()} for row in new[:_MOST])


def _overwritten(known: Contents, before: Contents, after: Contents) -> Iterator[RowsLost]:
    """Count the rows that were put there and are not what they were."""
    for name, table in before.items():
        put = set(table.rows) - set(known[name].rows)
        if not put or name not in after:
            continue
        shared = [one for one in table.positions if one in after[name].positions]
        there = {tuple(row[after[name].positions[one]] for one in shared) for row in after[name].rows}
        changed = sum(1 for row in put if tuple(row[table.positions[one]] for one in shared) not in there)
        if changed:
            yield RowsLost(name, None, changed, "overwritten")


def _put(
    connection: Connection,
    before: Contents,
    inserted: Mapping[str, Iterable[Mapping[str, Value]]],
    *,
    only_words: bool,
) -> None:
    """Insert rows with the keys of those, and with what another row has for the rest."""
    without_triggers(connection)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    for seeded in read_tables(connection):
        name = seeded.name if seeded.name in before else seeded.name.strip('"')
        if only_words and not _has_words(seeded):
            continue
        for row in inserted.get(name, ()):
            savepoint = connection.begin_nested()
            try:
                connection.exec_driver_sql(_insert(seeded, before[name], row))
                savepoint.commit()
            except DBAPIError:
                savepoint.rollback()
    connection.commit()


def _has_words(seeded: SeedTable) -> bool:
    """Tell whether words are a key of a table, or a part of one."""
    columns = [seeded.column(name) for key in seeded.keys for name in key]
    return any(one is not None and one.kind in (Kind.TEXT, Kind.ENUM) for one in columns)


def _insert(seeded: SeedTable, table: TableRows, row: Mapping[str, Value]) -> str:
    keys = {name for key in seeded.keys for name in key}
    # A number that the database gives is no key to find a row by, where there is another.
    columns = [
        one.name for one in seeded.columns if one.name in table.positions and not (one.automatic and keys - {one.name})
    ]
    other = max(table.rows, key=lambda one: sum(one[table.positions[name]] != row.get(name) for name in columns))
    values = [row.get(name) if name in keys else other[table.positions[name]] for name in columns]
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
    literals = ", ".join("NULL" if one is None else "'" + one.replace("'", "''") + "'" for one in values)
    return f"INSERT INTO {seeded.name} ({names}) VALUES ({literals})"
