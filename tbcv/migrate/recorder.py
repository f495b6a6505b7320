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

from tbcv.engine.failures import reason
from tbcv.errors import LockLostError, LockTimeoutError, RefusedError, TbcvError, UpgradeFailedError
from tbcv.migrate.executor import StepClock
from tbcv.migrate.journal import Entry, write_entry
from tbcv.migrate.plan import Direction, Outcome

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Trace:
    """What a run leaves for the journal while it goes on.

    Attributes:
        clock: The steps that it took.
        known: Whether the database's place among the revisions is known; it is not written to otherwise.
        before: The revisions recorded before.
        outcome: What it did; None while it has done nothing.
    """

    clock: StepClock
    known: bool = False
    before: tuple[str, ...] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Recorder:
    """Writes entries into the journal of one database.

    Attributes:
        connect: Gives a connection that may write, in no transaction.
        current: Reads the recorded revisions.
        enabled: Whether anything is written at all.
    """

    connect: Callable[[], AbstractAsyncContextManager[AsyncConnection]]
    current: Callable[[], Awaitable[tuple[str, ...]]]
    enabled: bool

    @asynccontextmanager
    async def run(self, direction: Direction, clock: StepClock) -> AsyncIterator[Trace]:
        """Write down how a run ended, unless it had nothing to do or was only asked for wrongly.

        Args:
            direction: Which way it goes.
            clock: Notes its steps.
        """
        trace = Trace(clock)
        ended, why = "", ""
        try:
            yield trace
            ended = "done" if trace.outcome is not None else ""
        except (RefusedError, UpgradeFailedError, LockTimeoutError, LockLostError) as error:
            if trace.known:
                ended, why = "refused" if isinstance(error, RefusedError) else "failed", str(error)
            raise
        except asyncio.CancelledError:
            ended = "interrupted" if trace.known else ""
            raise
        finally:
            if self.enabled and ended:
                with anyio.CancelScope(shield=True):
                    await self._write(trace, direction, ended, why)

    async def _write(self, trace: Trace, direction: Direction, ended: str, why: str) -> None:
        outcome = trace.outcome
        try:
            after = outcome.after if outcome is not None else await self.current()
            way = direction if outcome is None else outcome.direction
            entry = Entry(way, ended, trace.before, after, tuple(trace.clock.steps), why)
            async with self.connect() as connection:
                await connection.run_sync(write_entry, entry)
        except (SQLAlchemyError, OSError, TbcvError) as error:
            # Of a run that failed, its own error says enough.
            level = logging.WARNING if ended == "done" else logging.DEBUG
            _log.log(level, "the journal could not be written: %s", reason(error))
