"""Schema snapshots: the one concept with which tbcv compares databases, revisions and models."""

from __future__ import annotations

from sqlalchemy import Connection

from tbcv.migrate.snapshot import postgresql, sqlite
from tbcv.migrate.snapshot.model import Difference, Fact, Snapshot, compare

# A fact is a line, and what breaks lines in a view, a function or a string counts.
_ONE_LINE = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})

__all__ = ["Difference", "Fact", "Snapshot", "compare", "take_snapshot"]


def take_snapshot(connection: Connection) -> Snapshot:
    """Ask an engine for the schema of its database, the version table excepted.

    Args:
        connection: On SQLite or PostgreSQL; what it sees inside its transaction counts.
    """
    read = sqlite.read_facts if connection.dialect.name == "sqlite" else postgresql.read_facts
    facts = (Fact(subject, line.translate(_ONE_LINE)) for subject, line in read(connection))
    return Snapshot.of(connection.dialect.name, facts)
