"""Where a database stands among the revisions, as a value. Looking takes no lock and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from tbcv.engine.failures import reason
from tbcv.errors import DatabaseAheadError, HistoryDivergedError, RefusedError, UnversionedDatabaseError
from tbcv.migrate.bookkeeping import BOOKKEEPING, VERSION_TABLE
from tbcv.migrate.history import History
from tbcv.migrate.journal import Journal
from tbcv.migrate.marks import above, read_marks

ID_LENGTH = 32
"""How many characters of a revision's id Alembic's version table holds, unless an environment makes it wider."""

version_table = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(ID_LENGTH), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""As Alembic makes it."""


class State(StrEnum):
    """The one word for where a database stands."""

    EMPTY = "empty"
    UNVERSIONED = "unversioned"
    BEHIND = "behind"
    AT_HEAD = "at-head"
    AHEAD = "ahead"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class Status:
    """Where a database stands.

    Attributes:
        state: In a word.
        current: The revisions that the database records.
        heads: The heads of the history on disk.
        pending: The revisions that an upgrade to the heads would apply, in order.
        unknown: Those of ``current`` for which there is no file.
        tables: The tables of tbcv in a database without a revision; empty otherwise.
        above: What lies above the heads of the history in a database that is ahead, lowest first, as far as the
            database tells.
        blocking: Those of ``above`` that are not recorded as additive, so that this release may not run on them.
    """

    state: State
    current: tuple[str, ...]
    heads: tuple[str, ...]
    pending: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    above: tuple[str, ...] = ()
    blocking: tuple[str, ...] = ()

    @property
    def tolerable(self) -> bool:
        """Whether the database is ahead by nothing but additive revisions, so that this release may run on it."""
        return self.state is State.AHEAD and bool(self.above) and not self.blocking

    @property
    def description(self) -> str:
        """The state in words, with its number."""
        match self.state:
            case State.BEHIND:
                return f"behind by {len(self.pending)}"
            case State.AT_HEAD:
                return "at head"
            case State.AHEAD if self.tolerable:
                number = len(self.above)
                return f"ahead by {number} additive revision{'s' if number > 1 else ''}, on which this release may run"
            case _:
                return str(self.state)

    def has(self, revision: str) -> bool | None:
        """Whether the database has a revision of the history; None where its place is unknown."""
        if self.state in (State.UNVERSIONED, State.AHEAD, State.DIVERGED):
            return None
        return revision not in self.pending


def read_status(
    connection: Connection, history: History, managed: AbstractSet[str] | None, *, journal: Journal | None = None
) -> Status:
    """Look at a database.

    Args:
        connection: Left outside of a transaction.
        history: The revisions on disk.
        managed: The tables that are tbcv's; None takes every table for one.
        journal: Where upgrades leave marks in this database; None where they leave none.
    """
    current = read_revisions(connection)
    tables = () if current else _tables(connection, managed)
    if tables:
        # Another run may have made both since the revisions were read.
        current = read_revisions(connection)
    if current:
        status = place(current, history)
        if status.state is State.AHEAD and journal is not None:
            over, blocking = above(current, history, read_marks(connection, journal))
            return replace(status, above=over, blocking=blocking)
        return status
    state = State.UNVERSIONED if tables else State.EMPTY
    return Status(state, (), history.heads, _ids(history, ()), tables=tables)


def empty_status(history: History) -> Status:
    """Return the status of a database that does not exist yet."""
    return Status(State.EMPTY, (), history.heads, _ids(history, ()))


def read_revisions(connection: Connection) -> tuple[str, ...]:
    """Return the revisions that a database records; none where it has no version table."""
    query = text(f"SELECT version_num FROM {VERSION_TABLE}")
    try:
        rows = connection.execute(query).scalars().all()
    except DBAPIError as error:
        connection.rollback()
        # Its name is in the message of a missing table, and in none about the database as a whole.
        if VERSION_TABLE not in reason(error):
            raise
        # It may have been made since.
        rows = connection.execute(query).scalars().all() if inspect(connection).has_table(VERSION_TABLE) else []
    finally:
        connection.rollback()
    return tuple(sorted(rows))


def read_id_length(connection: Connection) -> int | None:
    """Return how many characters of an id the version table holds; None where it sets no limit."""
    try:
        columns = inspect(connection).get_columns(VERSION_TABLE)
    except NoSuchTableError:
        return ID_LENGTH
    finally:
        connection.rollback()
    length: int | None = next((getattr(one["type"], "length", None) for one in columns), None)
    return length


def require_room(history: History, ids: Iterable[str], length: int | None) -> None:
    """Refuse revisions whose ids the version table cannot hold, which PostgreSQL would say after they have run.

    Args:
        history: Where they stand.
        ids: What is to be recorded.
        length: As `read_id_length` returns it.

    Raises:
        RefusedError: An id is longer.
    """
    longest = max(ids, key=len, default="")
    if length is not None and len(longest) > length:
        raise RefusedError(
            f"the id of revision {history.located([longest])} has {len(longest)} characters, "
            f"and {VERSION_TABLE} holds {length}",
            hint="give it a shorter one, in its file and in those that follow it; nothing was changed",
        )


def place(current: tuple[str, ...], history: History) -> Status:
    """Place recorded revisions in a history."""
    unknown = tuple(one for one in current if one not in history.revisions)
    if unknown:
        state = State.AHEAD if len(unknown) == len(current) else State.DIVERGED
        return Status(state, current, history.heads, unknown=unknown)
    if any(one in history.ancestors([other]) for one in current for other in current if one != other):
        return Status(State.DIVERGED, current, history.heads)
    pending = _ids(history, current)
    return Status(State.BEHIND if pending else State.AT_HEAD, current, history.heads, pending)


def require_known_place(status: Status) -> None:
    """Refuse to migrate a database whose place in the history is unknown.

    Raises:
        UnversionedDatabaseError, DatabaseAheadError, HistoryDivergedError: As the state says.
    """
    match status.state:
        case State.UNVERSIONED:
            raise UnversionedDatabaseError(
                f"the database has {len(status.tables)} tables ({_some(status.tables)}) and no revision recorded",
                hint="`tbcv migrate adopt` finds the revision that it equals or comes nearest to; nothing was changed",
            )
        case State.AHEAD:
            raise DatabaseAheadError(
                f"the database is at revision {', '.join(status.unknown)}, which this release does not have"
                f"{_blocked(status)}",
                hint=f"deploy the release that contains it, or downgrade with that release: "
                f"`tbcv migrate downgrade -r {' '.join(status.heads) or 'base'}`",
            )
        case State.DIVERGED:
            raise HistoryDivergedError(
                f"the database records {', '.join(status.current)}, which do not lie on one path of this history",
                hint="deploy the release that contains them all, or correct alembic_version with "
                "`tbcv migrate stamp` once you know what the schema is",
            )
        case _:
            return


def _blocked(status: Status) -> str:
    """Say which revisions keep this release from running on a newer schema, where the database tells of several."""
    if not status.blocking or status.blocking == status.unknown:
        return ""
    return f", and {', '.join(status.blocking)} not recorded as additive"


def _ids(history: History, current: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one.id for one in history.pending(current))


def _tables(connection: Connection, managed: AbstractSet[str] | None) -> tuple[str, ...]:
    names = set(inspect(connection).get_table_names()) - BOOKKEEPING
    connection.rollback()
    return tuple(sorted(names if managed is None else names & managed))


def _some(names: tuple[str, ...], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
