"""The journal: who migrated what, when, how long it took, and how it ended.

It is kept in ``audit_logs``, where people look for who did what, as soon as a database has that table; failed and
refused runs too. It is written on a connection of its own after the run, and a journal that cannot be written
never fails a run.
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

from sqlalchemy import Connection, RowMapping, inspect, text
from sqlalchemy.dialects.postgresql import JSONB

from tbcv import __version__
from tbcv.migrate.plan import AppliedStep, Direction

TABLE = "audit_logs"
ACTOR_TYPE = "migrator"
_ACTION = "migration "
_DOCUMENTS = ("before_state", "after_state", "changes", "metadata")
_COLUMNS = {"id", "action", "actor", "actor_type", "notes", "created_at", *_DOCUMENTS}


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
    who: str = ""
    host: str = ""
    version: str = __version__
    at: datetime | None = None


def write_entry(connection: Connection, entry: Entry) -> None:
    """Write an entry, if the database has a table for it; commits.

    Args:
        connection: In no transaction.
        entry: The run; who and where are filled in.
    """
    if has_table(connection):
        documents = {
            "before_state": {"revisions": list(entry.before)},
            "after_state": {"revisions": list(entry.after)},
            "changes": {"steps": [{"revision": one.id, "seconds": round(one.seconds, 3)} for one in entry.steps]},
        }
        write_row(connection, f"{_ACTION}{entry.direction}", documents, ended=entry.ended, reason=entry.reason)
        connection.commit()
    else:
        connection.rollback()


def has_table(connection: Connection) -> bool:
    """Tell whether a database has a table for the journal, with all columns that it needs."""
    return _kinds(connection).keys() >= _COLUMNS


def write_row(
    connection: Connection, action: str, documents: Mapping[str, Any], *, ended: str = "done", reason: str = ""
) -> None:
    """Insert a row into the table of the journal; the caller commits.

    Args:
        connection: On a database that has the table.
        action: What was done.
        documents: What goes into the columns ``before_state``, ``after_state`` and ``changes``.
        ended: How it ended.
        reason: Why it failed.
    """
    kinds = _kinds(connection)
    given = {**documents, "metadata": {"ended": ended, "host": platform.node(), "version": __version__}}
    values = {name: json.dumps(document) for name, document in given.items()}
    slots = {name: f"CAST(:{name} AS JSONB)" if kinds[name] else f":{name}" for name in values}
    connection.execute(
        text(
            f"INSERT INTO {TABLE} (id, action, actor, actor_type, notes, created_at, {', '.join(slots)}) "
            f"VALUES (:id, :action, :actor, '{ACTOR_TYPE}', :notes, CURRENT_TIMESTAMP, {', '.join(slots.values())})"
        ),
        {"id": str(uuid4()), "action": action, "actor": _user()[:100], "notes": reason or None, **values},
    )


def read_entries(connection: Connection) -> tuple[Entry, ...]:
    """Read the journal, newest first; empty where the database has no table for it."""
    if not has_table(connection):
        return ()
    rows = connection.execute(
        text(
            f"SELECT action, actor, notes, created_at, {', '.join(_DOCUMENTS)} FROM {TABLE} "
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


def _kinds(connection: Connection) -> dict[str, bool]:
    """Return the columns of the table, and which of them are JSONB."""
    inspector = inspect(connection)
    if not inspector.has_table(TABLE):
        return {}
    return {one["name"]: isinstance(one["type"], JSONB) for one in inspector.get_columns(TABLE)}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user may have a number and no name.
        return str(os.getuid())
