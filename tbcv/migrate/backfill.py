"""Backfills for the middle of a zero-downtime change: in batches that commit, so that nobody waits for long.

One UPDATE over a large table keeps every row that it has touched locked until it ends, and what it did is lost when it
is interrupted. Batches hold few rows for moments, and whoever starts anew goes on where the last one stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from alembic import op
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Table,
    and_,
    bindparam,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.util.concurrency import await_only, in_greenlet

from tbcv.errors import MigrationError

_log = logging.getLogger(__name__)


def backfill(
    table: str,
    values: Mapping[str, object],
    *,
    where: str,
    rows: int = 1000,
    pause_seconds: float = 0.05,
    schema: str | None = None,
) -> int:
    """Give columns of existing rows a value; called in the ``upgrade`` or ``downgrade`` of a revision of its own.

    Each batch is a transaction. What was executed in the same revision before it cannot be rolled back any more, so
    let the revision do nothing else. In offline mode a single UPDATE is written instead.

    Args:
        table: The table; it must have a primary key.
        values: Column to value, or to an SQL expression such as ``sa.text("lower(name)")``.
        where: SQL that holds for the rows that still need it, and no longer once they have it: it is how a second
            run knows what the first one did.
        rows: The size of a batch.
        pause_seconds: How long others have the database to themselves between two batches.
        schema: The schema of the table, where it is not the default one.

    Returns:
        How many rows were changed; 0 in offline mode.

    Raises:
        MigrationError: The table has no primary key.
    """
    context = op.get_context()
    needed: ColumnElement[bool] = literal_column(f"({where})", Boolean)
    if context.as_sql:
        target = Table(table, MetaData(), *(Column(name) for name in values), schema=schema)
        op.execute(update(target).values(dict(values)).where(needed))
        return 0
    with context.autocommit_block():
        connection = op.get_bind()
        target = Table(table, MetaData(), schema=schema, autoload_with=connection)
        return _run(connection, target, values, needed, rows=rows, pause_seconds=pause_seconds)


def _run(
    connection: Connection,
    target: Table,
    values: Mapping[str, object],
    needed: ColumnElement[bool],
    *,
    rows: int,
    pause_seconds: float,
) -> int:
    keys = tuple(target.primary_key.columns)
    if not keys:
        raise MigrationError(
            f"{target.name} has no primary key to walk along", hint="update it in one statement, or give it a key"
        )
    key = tuple_(*keys)
    changed, left = 0, needed
    while found := connection.execute(select(*keys).where(left).order_by(*keys).limit(rows)).all():
        last = tuple_(*(bindparam(None, value, column.type) for value, column in zip(found[-1], keys, strict=True)))
        # Asked again, since somebody else may have changed a row in the meantime.
        changed += connection.execute(update(target).values(dict(values)).where(left, key <= last)).rowcount
        left = and_(needed, key > last)
        _log.info("%s: %d rows filled", target.name, changed)
        _pause(pause_seconds)
    return changed


def _pause(seconds: float) -> None:
    # Between the statements of an asynchronous driver, the event loop must go on.
    if in_greenlet():
        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)
