"""A fresh database, built from the models at once; kept only if it equals what the chain would have built."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from tbcv.migrate.ledger import short
from tbcv.migrate.marks import MarkKeeper
from tbcv.migrate.snapshot import Snapshot, take_snapshot
from tbcv.migrate.status import version_table


def create_at_head(
    connection: Connection,
    create_all: Callable[[Connection], None],
    head: str,
    fingerprint: str,
    keeper: MarkKeeper | None = None,
) -> bool:
    """Build the schema of the models and record head, in one transaction.

    Args:
        connection: On an empty database, in no transaction; left in none.
        create_all: Builds the schema.
        head: The revision to record.
        fingerprint: What the schema must have to be kept, shortened as in the ledger.
        keeper: Marks the revisions that the chain would have applied; None where none are marked.

    Returns:
        Whether it was kept; if not, nothing was changed.
    """
    before = set(take_snapshot(connection).facts)
    create_all(connection)
    made = Snapshot.of(
        connection.dialect.name, (fact for fact in take_snapshot(connection).facts if fact not in before)
    )
    if short(made.fingerprint) != fingerprint:
        connection.rollback()
        return False
    version_table.create(connection, checkfirst=True)
    connection.execute(version_table.insert().values(version_num=head))
    if keeper is not None:
        keeper.write(connection, keeper.marks)
    connection.commit()
    return True
