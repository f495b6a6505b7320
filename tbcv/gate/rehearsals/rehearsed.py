"""What came of a rehearsal, as values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from tbcv.engine.failures import reason
from tbcv.engine.scratch import Dialect
from tbcv.errors import TbcvError
from tbcv.findings import Location
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.observers.origin import Origin
from tbcv.gate.observers.watcher import sqlstate
from tbcv.gate.rehearsals.losses import RowsLost
from tbcv.gate.rehearsals.upkeep import Upkeep
from tbcv.gate.seeding.seed import Seeded
from tbcv.migrate.history import Revision
from tbcv.migrate.snapshot import Difference

_SAME = Difference((), ())


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that did not come to its end.

    Attributes:
        message: Why, in the words of whoever refused.
        code: The SQLSTATE, where there is one.
        statement: The SQL; empty where no statement was refused.
        location: The line of the revision.
        kind: The name of what was raised.
        needs_rows: Whether it fails only where there are rows.
    """

    message: str
    code: str
    statement: str
    location: Location
    kind: str
    needs_rows: bool = False


def failure_of(error: Exception, origin: Origin, refused: Statement | None = None) -> Failure:
    """Describe what ended a run.

    Args:
        error: What was raised.
        origin: The revision's file.
        refused: The statement that the engine refused last, if it is known.
    """
    message = error.message if isinstance(error, TbcvError) else reason(error)
    kind = type(error).__name__
    if message != kind and not isinstance(error, (TbcvError, SQLAlchemyError, CommandError)):
        # What Python says of a key or a value tells little without the kind of error that it was.
        message = f"{kind}: {message}"
    location = origin.of(error)
    if location.line is None and refused is not None and refused.location is not None:
        location = refused.location
    statement = refused.sql if refused is not None else ""
    return Failure(message, sqlstate(error), statement, location, kind)


@dataclass(frozen=True, slots=True)
class Setback:
    """What becomes of an upgrade where an earlier one ended half-way.

    Attributes:
        message: As the end of a sentence: that it fails, or leads to something else.
        location: The line of the revision.
        only_index: Whether all that stands in the way is an index that was to be built CONCURRENTLY.
    """

    message: str
    location: Location
    only_index: bool = False

    @classmethod
    def of(cls, failure: Failure) -> Setback:
        """Describe one that fails."""
        return cls(f"fails: {failure.message}", failure.location)


@dataclass(frozen=True, slots=True)
class Return:
    """What the way down left.

    Attributes:
        failure: Why it did not come to its end.
        schema: How the schema after it differs from that before the upgrade.
        rows: How the rows differ, in words.
        privileges: What somebody was allowed before and is not any more.
    """

    failure: Failure | None = None
    schema: Difference = _SAME
    rows: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether everything is as it was."""
        return self.failure is None and not self.schema and not self.rows and not self.privileges

    def lacking(self, rows: tuple[str, ...]) -> Return:
        """Return the same with more that is not as it was."""
        return replace(self, rows=tuple(dict.fromkeys((*self.rows, *rows))))


@dataclass(frozen=True, slots=True)
class Repetition:
    """How the second upgrade differs from the first.

    Attributes:
        failure: Why it did not come to its end.
        schema: How the schema differs.
        counts: The tables that have another number of rows.
        rows: The tables whose rows differ.
        statements: Whether other statements were executed.
    """

    failure: Failure | None = None
    schema: Difference = _SAME
    counts: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    statements: bool = False


@dataclass(frozen=True, slots=True)
class Silenced:
    """A trigger that is gone, while its table is not.

    Attributes:
        table: The table.
        trigger: Its name, with the table's.
        elsewhere: Whether it changed rows of other tables.
    """

    table: str
    trigger: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class StepRehearsal:
    """One revision, rehearsed.

    Attributes:
        revision: Which.
        seeded: What the database was filled with.
        statements: What was executed on the way up, down, and up again, in order.
        losses: What the upgrade lost.
        dangling: References that point at nothing since the upgrade.
        failure: Why the upgrade did not come to its end.
        way_back: What the downgrade left; None where it could not be tried.
        again: The second upgrade; None where it could not be tried.
        cut_short: What becomes of the upgrade after one that ended half-way; None where it begins again.
        schema: What the upgrade changed.
        types: Columns that have another type since, as table, column, old and new.
        upkeep: Indexes, privileges and sequences before and after.
        reinterpreted: Columns that mean something else since, as table, column and what they are now.
        replaced: Tables in whose place another one stands since.
        moved: Tables of which rows are in another one since, and how many.
        silenced: Triggers that the writes of the release before do not fire any more.
        collided: What is unique since, as lines of the snapshot, and had rows that were alike in it before.
    """

    revision: Revision
    seeded: Seeded
    statements: tuple[Statement, ...] = ()
    losses: tuple[RowsLost, ...] = ()
    dangling: tuple[str, ...] = ()
    failure: Failure | None = None
    way_back: Return | None = None
    again: Repetition | None = None
    cut_short: Setback | None = None
    schema: Difference = _SAME
    types: tuple[tuple[str, str, str, str], ...] = ()
    upkeep: tuple[Upkeep, Upkeep] | None = None
    reinterpreted: tuple[tuple[str, str, str], ...] = ()
    replaced: tuple[str, ...] = ()
    moved: tuple[tuple[str, int], ...] = ()
    silenced: tuple[Silenced, ...] = ()
    collided: tuple[str, ...] = ()

    @property
    def reversible(self) -> bool | None:
        """Whether the downgrade restores schema and rows; None where it could not be tried."""
        return None if self.way_back is None else bool(self.way_back)

    @property
    def is_in_parts(self) -> bool:
        """Whether the upgrade, one that failed perhaps, had something committed before its end."""
        statements = self.of(Run.UP)
        return any(one.alone for one in statements) or len({one.transaction for one in statements}) > 1

    def of(self, run: Run) -> tuple[Statement, ...]:
        """Return the statements of one run."""
        return tuple(one for one in self.statements if one.run is run)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """All new revisions on one engine.

    Attributes:
        dialect: The engine.
        steps: A step per revision that could be tried, in order.
        untried: Revisions that could not, since one before them fails.
    """

    dialect: Dialect
    steps: tuple[StepRehearsal, ...]
    untried: tuple[Revision, ...] = ()
