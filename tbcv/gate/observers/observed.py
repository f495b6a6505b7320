"""What was seen, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tbcv.findings import Location


class Run(StrEnum):
    """Which of the three runs of a rehearsal a statement belongs to."""

    UP = "up"
    DOWN = "down"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock on a table that was there before the revision, or on an index of one.

    Attributes:
        table: The table.
        mode: As PostgreSQL calls it: ``AccessExclusiveLock``.
        statement: The number, in its run, of the statement that took it.
    """

    table: str
    mode: str
    statement: int

    @property
    def blocks_reads(self) -> bool:
        """Whether a SELECT has to wait."""
        return self.mode == "AccessExclusiveLock"

    @property
    def blocks_writes(self) -> bool:
        """Whether an INSERT, an UPDATE or a DELETE has to wait."""
        return self.mode in _BLOCK_WRITES

    @property
    def words(self) -> str:
        """The mode in SQL's words."""
        return _WORDS.get(self.mode, self.mode)


_WORDS = {
    "AccessShareLock": "ACCESS SHARE",
    "RowShareLock": "ROW SHARE",
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
    "ShareLock": "SHARE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}
_BLOCK_WRITES = {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}


@dataclass(frozen=True, slots=True)
class Work:
    """What a statement did with the rows of a table that was there before the revision.

    Attributes:
        table: The table.
        rows: How many rows it had before the statement.
        scans: How often it was read from one end to the other.
        read: Rows read.
        inserted: Rows.
        updated: Rows.
        deleted: Rows.
        locked: Rows that were read in order to change them later.
    """

    table: str
    rows: int
    scans: int = 0
    read: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    locked: int = 0

    @property
    def is_full_scan(self) -> bool:
        """Whether the whole table was read."""
        return self.scans > 0 and self.read >= self.rows * 0.9

    @property
    def changed(self) -> int:
        """Rows that others cannot change until the transaction ends."""
        return max(self.updated + self.deleted, self.locked)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a revision and what it did.

    Attributes:
        run: Which run.
        number: Counted from 0 within its run.
        sql: The statement.
        location: File and line of the operation in the revision that issued it.
        transaction: The number of its transaction within its run.
        alone: Whether it ran outside of the revision's transaction, as in an autocommit block.
        milliseconds: How long it took.
        rows: Rows that it gave or changed, as the driver counts them.
        held: Locks held on tables from before when it ended, its own among them.
        work: What it did with rows of tables from before.
        rewritten: Tables from before whose contents were written anew.
        shortened: Those among them that are the same tables, each row without a column.
        indexed: Tables from before on which it built an index.
        validated: Constraints on tables from before that it proved by looking at the rows.
        invalid: Indexes that it left invalid.
        commits: How many transactions it committed by itself, as a procedure can.
        wal_bytes: What it wrote to the log.
        error: Why it failed; empty when it did not.
        code: The SQLSTATE of that.
    """

    run: Run
    number: int
    sql: str
    location: Location | None
    transaction: int
    alone: bool
    milliseconds: float
    rows: int = 0
    held: tuple[HeldLock, ...] = ()
    work: tuple[Work, ...] = ()
    rewritten: tuple[str, ...] = ()
    shortened: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    validated: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    commits: int = 0
    wal_bytes: int = 0
    error: str = ""
    code: str = ""

    @property
    def taken(self) -> tuple[HeldLock, ...]:
        """The locks that it took itself."""
        return tuple(lock for lock in self.held if lock.statement == self.number)
