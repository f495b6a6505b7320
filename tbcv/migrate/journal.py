"""The journal: who migrated what, when, how long it took, and how it ended.

tbcv's own is kept in ``audit_logs``, where people look for who did what, as soon as a database has that table. Another
project's database may have a table of that name that means something else, so its journal has a table of its own, which
is made only when somebody asks for it. Failed and refused runs are written down too. It is written on a connection of
its own after the run, and a journal that cannot be written never fails a run.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    DateTime,
    MetaData,
    PrimaryKeyConstraint,
    RowMapping,
    String,
    Table,
    Text,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from tbcv import __version__
from tbcv.errors import RefusedError
from tbcv.migrate.bookkeeping import JOURNAL_TABLE
from tbcv.migrate.plan import AppliedStep, Direction

ACTOR_TYPE = "migrator"
_ACTION = "migration "
_DOCUMENTS = ("before_state", "after_state", "changes", "metadata")
_COLUMNS = {"id", "action", "actor", "actor_type", "notes", "created_at", *_DOCUMENTS}
# SQLite's CURRENT_TIMESTAMP knows no fractions, and runs of one second would have no order.
_NOW = {"sqlite": r"strftime('%Y-%m-%d %H\:%M\:%f000', 'now')"}


@dataclass(frozen=True, slots=True)
class Journal:
    """Where a database keeps its journal.

    Attributes:
        table: The table; it is written to as soon as the database has it.
        dedicated: Whether nothing else is kept there. Then it is written to wherever the database stands; a table of
            the application's is left alone where its shape is not known.
    """

    table: str
    dedicated: bool


OWN_JOURNAL = Journal("audit_logs", dedicated=False)
"""That of tbcv's own database."""

OTHER_JOURNAL = Journal(JOURNAL_TABLE, dedicated=True)
"""That of another project's database."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run.

    Attributes:
        direction: Which way it went.
        ended: ``done``, ``failed``, ``refused`` or ``interrupted``.
        before: The revisions recorded before.
        after: The revisions recorded after.
        steps: What it applied or reverted.
        reason: Why it failed or was refused; empty otherwise.
        backup: The id of the backup that was taken first; empty where none was.
        who: The user of the operating system.
        host: The machine.
        version: The release of tbcv.
        at: When it ended, in UTC; None before it is written.
    """

    direction: Direction
    ended: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    steps: tuple[AppliedStep, ...] = ()
    reason: str = ""
    backup: str = ""
    who: str = ""
    host: str = ""
    version: str = __version__
    at: datetime | None = None


def make_table(connection: Connection, journal: Journal) -> None:
    """Make the table of a journal, unless it is there; commits.

    Args:
        connection: In no transaction.
        journal: A dedicated one.

    Raises:
        RefusedError: There is a table of that name that is no journal.
    """
    if not _kinds(connection, journal):
        _definition(journal).create(connection)
    elif not has_table(connection, journal):
        connection.rollback()
        raise RefusedError(
            f"the database has a table {journal.table} that is no journal of tbcv's",
            hint="run it without --journal, or give that table another name; nothing was changed",
        )
    connection.commit()


def write_entry(connection: Connection, journal: Journal, entry: Entry) -> None:
    """Write an entry, if the database has a table for it; commits.

    Args:
        connection: In no transaction.
        journal: Where.
        entry: The run; who and where are filled in.
    """
    if has_table(connection, journal):
        documents = {
            "before_state": {"revisions": list(entry.before)},
            "after_state": {"revisions": list(entry.after)},
            "changes": {"steps": [{"revision": one.id, "seconds": round(one.seconds, 3)} for one in entry.steps]},
        }
        told = {"ended": entry.ended, "backup": entry.backup}
        write_row(connection, journal, f"{_ACTION}{entry.direction}", documents, told, reason=entry.reason)
        connection.commit()
    else:
        connection.rollback()


def has_table(connection: Connection, journal: Journal) -> bool:
    """Tell whether a database has the table of a journal, with all columns that it needs."""
    return _kinds(connection, journal).keys() >= _COLUMNS


def write_row(
    connection: Connection,
    journal: Journal,
    action: str,
    documents: Mapping[str, Any],
    told: Mapping[str, str],
    *,
    reason: str = "",
) -> None:
    """Insert a row into the table of the journal; the caller commits.

    Args:
        connection: On a database that has the table.
        journal: Whose table.
        action: What was done.
        documents: What goes into the columns ``before_state``, ``after_state`` and ``changes``.
        told: What goes into the column ``metadata``, besides where it was done and by which release.
        reason: Why it failed.
    """
    kinds = _kinds(connection, journal)
    now = _NOW.get(connection.dialect.name, "CURRENT_TIMESTAMP")
    given = {**documents, "metadata": {**told, "host": platform.node(), "version": __version__}}
    values = {name: json.dumps(document) for name, document in given.items()}
    slots = {name: f"CAST(:{name} AS JSONB)" if kinds[name] else f":{name}" for name in values}
    connection.execute(
        text(
            f"INSERT INTO {journal.table} (id, action, actor, actor_type, notes, created_at, {', '.join(slots)}) "
            f"VALUES (:id, :action, :actor, '{ACTOR_TYPE}', :notes, {now}, {', '.join(slots.values())})"
        ),
        {"id": str(uuid4()), "action": action, "actor": _user()[:100], "notes": reason or None, **values},
    )


def read_entries(connection: Connection, journal: Journal) -> tuple[Entry, ...]:
    """Read a journal, newest first; empty where the database has no table for it."""
    if not has_table(connection, journal):
        return ()
    rows = connection.execute(
        text(
            f"SELECT action, actor, notes, created_at, {', '.join(_DOCUMENTS)} FROM {journal.table} "
            f"WHERE actor_type = '{ACTOR_TYPE}' AND action LIKE '{_ACTION}%' ORDER BY created_at DESC, id"
        )
    ).mappings()
    return tuple(_entry(row) for row in rows)


def _entry(row: RowMapping) -> Entry:
    before, after, changes, metadata = (_document(row[name]) for name in _DOCUMENTS)
    return Entry(
        direction=Direction(str(row["action"]).removeprefix(_ACTION)),
        ended=metadata["ended"],
        before=tuple(before["revisions"]),
        after=tuple(after["revisions"]),
        steps=tuple(AppliedStep(one["revision"], "", one["seconds"]) for one in changes["steps"]),
        reason=str(row["notes"] or ""),
        backup=metadata.get("backup", ""),
        who=str(row["actor"]),
        host=metadata["host"],
        version=metadata["version"],
        at=_moment(row["created_at"]),
    )


def _document(value: Any) -> dict[str, Any]:  # noqa: ANN401  # text or, from JSONB, what it holds
    loaded: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return loaded


def _moment(value: object) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _definition(journal: Journal) -> Table:
    document = JSON().with_variant(JSONB(), "postgresql").with_variant(Text(), "sqlite")
    return Table(
        journal.table,
        MetaData(),
        Column("id", String(36), nullable=False),
        Column("action", String(300), nullable=False),
        Column("actor", String(100)),
        Column("actor_type", String(20)),
        *(Column(name, document) for name in _DOCUMENTS),
        Column("notes", Text),
        Column("created_at", DateTime(timezone=True), nullable=False),
        PrimaryKeyConstraint("id", name=f"{journal.table}_pkc"),
    )


def _kinds(connection: Connection, journal: Journal) -> dict[str, bool]:
    """Return the columns of the table, and which of them are JSONB."""
    inspector = inspect(connection)
    if not inspector.has_table(journal.table):
        return {}
    return {one["name"]: isinstance(one["type"], JSONB) for one in inspector.get_columns(journal.table)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        return str(os.getuid())
