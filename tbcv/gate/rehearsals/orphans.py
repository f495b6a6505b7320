"""Rows that refer to nothing, as SQLite allows unless it is told not to: whether an upgrade deletes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tbcv.engine.scratch import ScratchDatabases, worked
from tbcv.engine.url import DatabaseURL
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.contents import Contents
from tbcv.gate.rehearsals.losses import RowsLost, find_losses
from tbcv.gate.rehearsals.rehearsed import StepRehearsal
from tbcv.gate.rehearsals.retrial import with_losses
from tbcv.gate.seeding.tables import read_tables
from tbcv.gate.staging.stage import Stage

_DELETES_OTHERS = re.compile(r"^\s*DELETE\b.*\bNOT\s+(?:IN|EXISTS)\b", re.IGNORECASE | re.DOTALL)
_NOWHERE = 800_000


async def with_orphans(
    stage: Stage, scratch: ScratchDatabases, template: DatabaseURL, step: StepRehearsal
) -> StepRehearsal:
    """Run an upgrade that deletes rows by what others do not hold where some rows refer to nothing.

    Args:
        stage: Runs the revision.
        scratch: Where a copy is made.
        template: A database at the revision's parents.
        step: What came of the revision where there were no such rows.

    Returns:
        The same, with what is lost besides, and not restored.
    """
    if template.dialect != "sqlite" or not any(_DELETES_OTHERS.search(one.sql) for one in step.of(Run.UP)):
        return step
    known = {(one.table, one.column, one.how) for one in step.losses}

    def find(before: Contents, after: Contents) -> Iterator[RowsLost]:
        found = find_losses(before, after)
        return (one for one in found if (one.table, one.column, one.how) not in known)

    async with scratch.copy(template) as trial:
        await worked(trial, _orphan)
        return await with_losses(stage, trial, step, find)


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
