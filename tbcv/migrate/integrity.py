"""Referential integrity across a step on SQLite, where foreign keys are off while a migration runs.

Old databases may hold dangling references already, so a step is judged by what it adds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection

from tbcv.errors import ForeignKeyViolationError

ANNOUNCEMENT = "leaves_dangling_references"
"""Module attribute by which a revision says in which direction it leaves such references, and why it may."""


class Reference(NamedTuple):
    """A foreign key of one table."""

    table: str
    columns: tuple[str, ...]
    parent: str

    def __str__(self) -> str:
        return f"{self.table}({', '.join(self.columns)}) -> {self.parent}"


def dangling_references(connection: Connection) -> Mapping[Reference, tuple[int | None, ...]]:
    """Return the rowids of the rows whose reference points at nothing, per foreign key; SQLite only."""
    keys: dict[tuple[str, int], list[tuple[int, str]]] = {}
    found: dict[Reference, list[int | None]] = {}
    for table, rowid, parent, number in connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        if (table, number) not in keys:
            quoted = table.replace('"', '""')
            for row in connection.exec_driver_sql(f'PRAGMA foreign_key_list("{quoted}")').all():
                keys.setdefault((table, row[0]), []).append((row[1], row[3]))
        columns = tuple(name for _, name in sorted(keys[table, number]))
        found.setdefault(Reference(table, columns, parent), []).append(rowid)
    return {reference: tuple(rows) for reference, rows in found.items()}


class IntegrityCheck:
    """A step listener that raises, and so rolls the step back, when the step adds dangling references.

    Args:
        connection: The migrating connection, before the first step; left outside of a transaction if it was.

    Raises:
        ForeignKeyViolationError: From the call.
    """

    def __init__(self, connection: Connection) -> None:
        began_before = connection.in_transaction()
        self._known = _counts(dangling_references(connection))
        if not began_before:
            # Alembic neither commits nor enters an autocommit block in a transaction that it did not begin.
            connection.rollback()

    def __call__(self, *, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
        """Judge one step, inside its transaction."""
        if ctx.connection is None or step.is_stamp:
            return
        found = dangling_references(ctx.connection)
        direction = "upgrade" if step.is_upgrade else "downgrade"
        announced = getattr(getattr(step.up_revision, "module", None), ANNOUNCEMENT, None) == direction
        added = [key for key, count in _counts(found).items() if count > self._known[key]]
        if added and not announced:
            where = "; ".join(f"{key} in rows {_some(found[key])}" for key in added)
            raise ForeignKeyViolationError(
                f"the {direction} of revision {step.up_revision_id} leaves references to nothing: {where}",
                hint=f"repair the rows in the revision, or set {ANNOUNCEMENT} = {direction!r} in it if it means to",
            )
        self._known = _counts(found)


def _counts(found: Mapping[Reference, tuple[int | None, ...]]) -> Counter[Reference]:
    return Counter({reference: len(rows) for reference, rows in found.items()})


def _some(rows: tuple[int | None, ...], most: int = 5) -> str:
    shown = ", ".join(str(row) for row in rows[:most])
    return f"{shown}, … ({len(rows)} in all)" if len(rows) > most else shown
