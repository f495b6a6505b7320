"""Watches a run and writes into the journal how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import anyio
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.failures import is_corrupt, reason
from tbcv.errors import (
    AdoptionError,
    MigrationError,
    MultipleHeadsError,
    RefusedError,
    RevisionNotFoundError,
    TbcvError,
)
from tbcv.migrate.executor import StepClock
from tbcv.migrate.journal import Entry, Journal, write_entry
from tbcv.migrate.plan import Direction, Outcome

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trace:
    """What a run leaves for the journal while it goes on.

    Attributes:
        clock: The steps that it took.
        known: Whether the database's place among the revisions is known; a table of the application's is not written
            to otherwise.
        before: The revisions recorded before; None where that was not found out.
        backup: The id of the backup that was taken first; empty where none was.
        outcome: What it did; None while it has done nothing.
    """

    clock: StepClock
    known: bool = False
    before: tuple[str, ...] | None = None
    backup: str = ""
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes entries into the journal of one database.

    Attributes:
        journal: Where; None writes nothing.
        kept: Tells whether the database has a journal.
        connect: Gives a connection that may write, in no transaction.
        current: Reads the recorded revisions.
    """

    journal: Journal | None
    kept: Callable[[], Awaitable[bool]]
    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
    current: Callable[[], Awaitable[tuple[str, ...]]]

    @asynccontextmanager
    async def run(self, direction: Direction, clock: StepClock) -> AsyncIterator[Trace]:
        """Write down how a run ended, unless it had nothing to do, was only asked for wrongly, or the file is damaged.

        Args:
            direction: Which way it goes.
            clock: Notes its steps.
        """
        trace = Trace(clock)
        ended, why, damaged = "", "", False
        try:
            yield trace
            ended = "done" if trace.outcome is not None else ""
        except (RevisionNotFoundError, MultipleHeadsError):
            raise
        except MigrationError as error:
            ended, why = "refused" if isinstance(error, (RefusedError, AdoptionError)) else "failed", str(error)
            damaged = is_corrupt(error)
            raise
        except asyncio.CancelledError:
            ended = "interrupted"
            raise
        finally:
            if self.journal is not None and ended:
                _tell(direction, trace, ended, why)
            if self.journal is not None and ended and not damaged and self._may_write(self.journal, trace, ended):
                with anyio.CancelScope(shield=True):
                    await self._write(self.journal, trace, direction, ended, why)

    @staticmethod
    def _may_write(journal: Journal, trace: Trace, ended: str) -> bool:
        return journal.dedicated or trace.known or ended == "done"

    async def _write(self, journal: Journal, trace: Trace, direction: Direction, ended: str, why: str) -> None:
        outcome = trace.outcome
        try:
            if not await self.kept():
                return
            after = outcome.after if outcome is not None else await self.current()
            way = direction if outcome is None else outcome.direction
            entry = Entry(way, ended, trace.before or (), after, tuple(trace.clock.steps), why, trace.backup)
            async with self.connect() as connection:
                await connection.run_sync(write_entry, journal, entry)
        except (SQLAlchemyError, OSError, TbcvError) as error:
            # Of a run that failed, its own error says enough.
            level = logging.WARNING if ended == "done" else logging.DEBUG
            _log.log(level, "the journal could not be written: %s", reason(error))


def _tell(direction: Direction, trace: Trace, ended: str, why: str) -> None:
    """Say how a run ended; of one that failed its caller says why."""
    outcome = trace.outcome
    way = direction if outcome is None else outcome.direction
    before, after = (trace.before, None) if outcome is None else (outcome.before, outcome.after)
    where = "" if before is None else f" {'' if after is not None else 'from '}{', '.join(before) or 'base'}"
    where += "" if after is None else f" -> {', '.join(after) or 'base'}"
    fields = {
        "event": "run",
        "direction": way,
        "ended": ended,
        "before": before,
        "after": after,
        "revisions": [step.id for step in trace.clock.steps],
        "backup": trace.backup or None,
        "reason": why or None,
    }
    _log.info("%s%s: %s", way, where, ended, extra=fields)
