"""Marks in a database: of each applied revision, whether the release before it may run on the schema.

A release that was rolled back meets revisions for which it has no files. What it may do with them it can only learn
from the database. So each upgrade leaves a mark of its revision, inside the revision's own transaction, in the table
of the journal; each downgrade takes it away, and a stamp, which runs nothing and proves nothing, takes all away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from tbcv.engine.failures import reason
from tbcv.errors import BrokenHistoryError
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import History
from tbcv.migrate.journal import ACTOR_TYPE, Journal, has_table, write_row
from tbcv.migrate.ledger import ledger_path, read_ledger
from tbcv.migrate.location import AlembicEnvironment

_log = logging.getLogger(__name__)

_ACTION = "revision "


@dataclass(frozen=True, slots=True)
class Mark:
    """What a database says about a revision that was applied to it.

    Attributes:
        revision: Which.
        parents: The revisions that it follows.
        additive: Whether the release before it may run on its schema; None where nobody has found out.
    """

    revision: str
    parents: tuple[str, ...]
    additive: bool | None


@dataclass(frozen=True, slots=True)
class MarkKeeper:
    """Keeps the marks of a database in step with its revisions; a step listener.

    Attributes:
        journal: Where they are kept.
        marks: Of every revision of the history, by id; empty where nobody has found out anything.
    """

    journal: Journal
    marks: Mapping[str, Mark]

    def __call__(self, *, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
        """Follow one step, inside its transaction."""
        if ctx.connection is None:
            return
        if step.is_stamp:
            remove_marks(ctx.connection, self.journal)
        elif step.is_upgrade:
            self.write(ctx.connection, [one for one in step.up_revision_ids if one in self.marks])
        else:
            remove_marks(ctx.connection, self.journal, step.up_revision_ids)

    def write(self, connection: Connection, revisions: Iterable[str]) -> None:
        """Mark revisions, if the database has a table for that; the caller commits."""
        write_marks(connection, self.journal, [self.marks[one] for one in revisions])


def marks_of(environment: AlembicEnvironment, history: History) -> dict[str, Mark]:
    """Return the marks that the ledger gives to the revisions on disk.

    What it says of a file that was changed since counts for nothing. Without a ledger there are none.
    """
    if not ledger_path(environment).exists():
        return {}
    try:
        entries = read_ledger(environment)
    except BrokenHistoryError:
        entries = {}
    found = {}
    for revision in history.revisions.values():
        entry = entries.get(revision.id)
        same = entry is not None and entry.checksum == checksum(revision.path.read_bytes())
        found[revision.id] = Mark(revision.id, revision.parents, entry.additive if entry is not None and same else None)
    return found


def write_marks(connection: Connection, journal: Journal, marks: Iterable[Mark]) -> None:
    """Write marks, in place of others of their revisions, if the database has a table for them; the caller commits.

    What cannot be written is unknown later, and fails nobody now.
    """
    if not has_table(connection, journal):
        return
    savepoint = connection.begin_nested()
    try:
        marks = tuple(marks)
        remove_marks(connection, journal, [one.revision for one in marks])
        for one in marks:
            what = {"revision": one.revision, "parents": list(one.parents), "additive": one.additive}
            write_row(connection, journal, f"{_ACTION}{one.revision}", {"changes": what}, {"ended": "done"})
    except SQLAlchemyError as error:
        savepoint.rollback()
        _log.warning("whether an older release may run here could not be recorded: %s", reason(error))
    else:
        savepoint.commit()


def remove_marks(connection: Connection, journal: Journal, revisions: Iterable[str] | None = None) -> None:
    """Remove the marks of revisions, or all; the caller commits."""
    if not has_table(connection, journal):
        return
    statement = f"DELETE FROM {journal.table} WHERE actor_type = '{ACTOR_TYPE}' AND action "
    if revisions is None:
        connection.execute(text(f"{statement} LIKE '{_ACTION}%'"))
        return
    for one in revisions:
        connection.execute(text(f"{statement} = :action"), {"action": f"{_ACTION}{one}"})


def read_marks(connection: Connection, journal: Journal) -> dict[str, Mark]:
    """Read all marks of a database, by revision; leaves the connection outside of a transaction."""
    found: dict[str, Mark] = {}
    if has_table(connection, journal):
        query = text(
            f"SELECT changes FROM {journal.table} WHERE actor_type = '{ACTOR_TYPE}' AND action LIKE '{_ACTION}%'"
        )
        for value in connection.execute(query).scalars():
            said: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
            found[said["revision"]] = Mark(said["revision"], tuple(said["parents"]), said["additive"])
    connection.rollback()
    return found


def above(
    current: Sequence[str], history: History, marks: Mapping[str, Mark]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Follow the marks from revisions without a file down to the heads of a history.

    Args:
        current: The revisions that the database records, none of them in the history.
        history: The revisions on disk.
        marks: What the database says about its revisions.

    Returns:
        The revisions above the heads, lowest first; and those of them on which this release may not run, or nobody
        knows whether it may. Where the way does not end at the heads, all are.
    """
    way: list[str] = []
    roots: set[str] = set()
    todo = list(current)
    while todo:
        one = todo.pop(0)
        if one in history.revisions:
            roots.add(one)
        elif one not in way:
            way.append(one)
            todo += marks[one].parents if one in marks else ()
    way.reverse()
    arrived = roots == set(history.heads)
    blocking = [one for one in way if not (arrived and one in marks and marks[one].additive)]
    return tuple(way), tuple(blocking)
