"""Rows that the schema before a revision accepts and the one after it would not: what the upgrade does about them.

Rows made from types and names satisfy a rule that nobody has written down yet more often than the application's do:
numbers are not negative, and what looks like a reference points at something. So the rows that a new rule refuses are
put where there was none, and the upgrade is run on them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tbcv.engine.engines import migration_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.contents import find_losses, find_unrestored, new_references, read_contents
from tbcv.gate.rehearsals.interruption import failure_again, failure_back
from tbcv.gate.rehearsals.rehearsed import Failure, StepRehearsal
from tbcv.gate.releases.attempts import Objection
from tbcv.gate.releases.passage import on
from tbcv.gate.releases.shape import read_shape
from tbcv.gate.releases.traffic import Answers, Step, Traffic, converse, play, put
from tbcv.gate.seeding.tables import read_tables
from tbcv.gate.staging.stage import Stage
from tbcv.migrate.snapshot import Difference

_RULE = re.compile(r"^constraint [^:]+: (check|foreign key)\b(?!.* not valid\b)", re.IGNORECASE | re.DOTALL)
_DEFAULT = r"^column \S*\b{}: .*\bdefault (?P<value>-?\d+|'(?:[^']|'')*')"
_DELETES_OTHERS = re.compile(r"^\s*DELETE\b.*\bNOT\s+(?:IN|EXISTS)\b", re.IGNORECASE | re.DOTALL)
_NOWHERE = 800_000
_RULES = {Objection.CHECK, Objection.FOREIGN_KEY}


async def failure_on_strays(
    stage: Stage, scratch: ScratchDatabases, before: DatabaseURL, after: DatabaseURL, step: StepRehearsal
) -> Failure | None:
    """Run an upgrade on rows that its new foreign keys and CHECKs refuse.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        before: A database at the revision's parents.
        after: One at the revision.
        step: The revision, with what its upgrade changed.

    Returns:
        Why it fails; None where it makes no such rule for columns that were there, or copes with the rows.
    """
    tables = frozenset(_ruled(step.schema))
    if not tables:
        return None
    shape = await on(before, read_shape)
    only = frozenset(one.id for one in shape.relations if one.label in tables and not one.view)
    traffic, worked = await on(before, converse, shape.around(only), only)
    refused = frozenset(_refused(worked, await on(after, play, traffic, only)))
    if not refused:
        return None
    async with scratch.copy(before) as trial:
        await on(trial, _put, traffic, refused)
        return await failure_again(stage, trial, step.revision)


async def failure_without_defaults(
    stage: Stage, scratch: ScratchDatabases, before: DatabaseURL, step: StepRehearsal
) -> Failure | None:
    """Run an upgrade where the rows are not there that the defaults of its new columns point at.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        before: A database at the revision's parents.
        step: The revision, with what its upgrade changed.

    Returns:
        Why it fails; None where no new column has such a default, or the revision sees to the row.
    """
    deletions = tuple(_defaults(step.schema)) if before.dialect == "postgresql" else ()
    if not deletions:
        return None
    async with scratch.copy(before) as trial:
        await on(trial, _delete, deletions)
        return await failure_again(stage, trial, step.revision)


async def with_orphans(
    stage: Stage, scratch: ScratchDatabases, before: DatabaseURL, step: StepRehearsal
) -> StepRehearsal:
    """Run an upgrade that deletes rows where some rows refer to nothing, which SQLite allows unless it is told not to.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        before: A database at the revision's parents.
        step: What came of the revision where there were no such rows.

    Returns:
        The same, with what is lost besides, and not restored.
    """
    if before.dialect != "sqlite" or not any(_DELETES_OTHERS.search(one.sql) for one in step.of(Run.UP)):
        return step
    async with scratch.copy(before) as trial:
        engine = migration_engine(trial)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(_orphan)
        finally:
            await engine.dispose()
        filled = await on(trial, read_contents)
        if await failure_again(stage, trial, step.revision):
            return step
        found = find_losses(filled, await on(trial, read_contents))
        known = {(one.table, one.column, one.how) for one in step.losses}
        losses = tuple(one for one in found if (one.table, one.column, one.how) not in known)
        step = replace(step, losses=(*step.losses, *losses))
        back = step.way_back
        if not losses or not back or await failure_back(stage, trial, step.revision):
            return step
        return replace(step, way_back=back.lacking(find_unrestored(filled, await on(trial, read_contents))))


def _orphan(connection: Connection) -> None:
    """Let some rows refer to what is not there; foreign keys must not be enforced."""
    for table in read_tables(connection):
        for reference in table.references:
            if len(reference.columns) == 1 and reference.table != table.name:
                name = '"' + reference.columns[0].replace('"', '""') + '"'
                savepoint = connection.begin_nested()
                try:
                    connection.exec_driver_sql(
                        f"UPDATE {table.name} SET {name} = {_NOWHERE} + rowid "
                        f"WHERE rowid % 7 = 3 AND {name} IS NOT NULL"
                    )
                    savepoint.commit()
                except DBAPIError:
                    savepoint.rollback()
    connection.commit()


def _defaults(schema: Difference) -> Iterator[str]:
    """Give statements that delete the rows which the defaults of new columns point at."""
    for reference in new_references(schema):
        pattern = re.compile(_DEFAULT.format(re.escape(reference.column)), re.IGNORECASE)
        lines = (one.line for one in schema.unexpected if one.subject == f"table {reference.table}")
        for default in filter(None, map(pattern.match, lines)):
            yield f"DELETE FROM {reference.target} WHERE {reference.key} = {default['value']}"


def _delete(connection: Connection, statements: Collection[str]) -> None:
    connection.exec_driver_sql("SET session_replication_role = replica")
    for statement in statements:
        connection.exec_driver_sql(statement)
    connection.commit()


def _ruled(schema: Difference) -> Iterator[str]:
    """Give the tables that have a foreign key or a CHECK which was not there before."""
    for fact in schema.unexpected:
        if _RULE.match(fact.line):
            yield fact.subject.removeprefix("table ").replace('"', "")


def _refused(worked: Answers, answers: Answers) -> Iterator[Step]:
    """Give the rows that the one schema takes and a rule of the other does not."""
    for step, before in worked.items():
        after = answers.get(step)
        if step.verb == "INSERT" and before.worked and after is not None and after.objection in _RULES:
            yield step


def _put(connection: Connection, traffic: Traffic, steps: Collection[Step]) -> None:
    put(connection, traffic, steps)
    connection.commit()
