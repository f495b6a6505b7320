"""How an ``env.py`` comes to the database: on the connection that it is given, or by one of its own.

Somebody else's may know only its own way. That is well as long as the way leads to the same database; where it does
not, as on a scratch database for which the project's own settings know no name, nothing may be run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from tbcv.errors import ConnectsElsewhereError

Place = tuple[str, ...]
"""What tells a database from all others, as it tells itself."""

_POSTGRESQL_PLACE = (
    "SELECT oid, datname, pg_postmaster_start_time(), (SELECT setting FROM pg_settings WHERE name = 'port') "
    "FROM pg_database WHERE datname = current_database()"
)


@dataclass(slots=True)
class Arrival:
    """Watches one run of an ``env.py``.

    Attributes:
        reached: Whether it has come to a database at all.
        apart: Whether it did on a connection of its own.
    """

    reached: bool = False
    apart: bool = False

    def note(self, context: MigrationContext, given: Connection | None, place: Callable[[], Place]) -> None:
        """Look where it has come to, before a revision is run.

        Args:
            context: Alembic's, as it was configured.
            given: The connection that it was given.
            place: Tells where that is.

        Raises:
            ConnectsElsewhereError: It has come to another database.
        """
        own = context.connection
        self.reached = True
        self.apart = own is not given
        if self.apart and (own is None or read_place(own) != place()):
            raise ConnectsElsewhereError(
                "env.py connects by itself, and to another database than the one that was asked for",
                hint="let it take config.attributes['connection'], or sqlalchemy.url of its config; nothing was run",
            )

    def cautions(self, dialect: str) -> str:
        """Say what cannot be promised of a run; nothing if everything can."""
        if not self.apart:
            return ""
        what = (
            "what a revision does before it fails may stay"
            if dialect == "sqlite"
            else "it waits for locks without a limit, and goes on when the migration lock is lost"
        )
        return f"env.py does not take config.attributes['connection'] but connects by itself: {what}"


def read_place(connection: Connection) -> Place:
    """Return which database a connection leads to, within the transaction that it is in."""
    match connection.dialect.name:
        case "sqlite":
            files = [row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main"]
            return ("sqlite", *(str(Path(one).resolve()) for one in files))
        case "postgresql":
            return ("postgresql", *map(str, connection.exec_driver_sql(_POSTGRESQL_PLACE).one()))
        case other:
            return (other,)
