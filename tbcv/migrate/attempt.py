"""One attempt to carry out a plan: what it did is read back from the database, not believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.failures import advice, reason
from tbcv.engine.url import DatabaseURL
from tbcv.errors import TbcvError, UpgradeFailedError
from tbcv.migrate.executor import StepClock, alembic_alone, execute
from tbcv.migrate.history import History
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.marks import MarkKeeper
from tbcv.migrate.plan import Direction, Outcome, Plan
from tbcv.migrate.status import read_revisions

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """Everything that one attempt needs.

    Attributes:
        address: The database.
        environment: The revisions.
        history: The same, read.
        plan: What to do.
        look: Reads the recorded revisions on a connection of its own, for when the migrating one is gone.
        keeper: Keeps the marks of the database; None where it has none.
    """

    address: DatabaseURL
    environment: AlembicEnvironment
    history: History
    plan: Plan
    look: Callable[[], Awaitable[tuple[str, ...]]]
    keeper: MarkKeeper | None = None

    async def run(self, connection: AsyncConnection, clock: StepClock) -> Outcome:
        """Carry out the plan.

        Args:
            connection: In no transaction, with foreign keys off on SQLite.
            clock: Notes the steps.

        Raises:
            UpgradeFailedError: A revision failed, or the database does not record what was done.
        """
        async with alembic_alone():
            try:
                await self._execute(connection, clock)
            except Exception as error:  # a revision may raise anything
                raise self._failure(await self._read_back(connection), error) from error
            except asyncio.CancelledError:
                with anyio.CancelScope(shield=True):
                    await self._log_interruption(connection)
                raise
        after = await self._read_back(connection)
        if self._left(after):
            raise self._failure(after, None)
        clock.complete(self.plan)
        before = ", ".join(self.plan.current) or "base"
        _log.info("%s: %s -> %s", self.plan.direction, before, ", ".join(after) or "base")
        return Outcome(self.plan.direction, self.plan.current, after, tuple(clock.steps))

    async def _execute(self, connection: AsyncConnection, clock: StepClock) -> None:
        """Run the plan; when cancelled, stop the statement in progress before it is rolled back."""
        raw = (await connection.get_raw_connection()).driver_connection
        # The clock last: it tells of what is done.
        listeners = (clock,) if self.keeper is None else (self.keeper, clock)
        work = asyncio.ensure_future(
            connection.run_sync(execute, self.environment, self.address, self.plan, *listeners)
        )
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            work.cancel()
            # A cancel scope of anyio would cancel each of these waits too.
            with anyio.CancelScope(shield=True):
                if self.address.dialect == "sqlite" and raw is not None:
                    # asyncpg cancels its statement itself; a thread of SQLite's would run it to the end.
                    await raw.interrupt()
                await asyncio.wait([work])
            if not work.cancelled():
                work.exception()  # or the loop would report it as never retrieved
            raise

    async def _read_back(self, connection: AsyncConnection) -> tuple[str, ...]:
        try:
            await connection.rollback()
            return await connection.run_sync(read_revisions)
        except (SQLAlchemyError, TbcvError):  # a connection whose BEGIN failed is closed, which is no DBAPIError
            return await self.look()

    def _left(self, after: tuple[str, ...]) -> list[str]:
        """Return the steps of the plan that the database does not show."""
        there = self.history.ancestors(after)
        upwards = self.plan.direction is not Direction.DOWNGRADE
        return [one for one in self.plan.ids if (one in there) != upwards]

    def _failure(self, after: tuple[str, ...], error: Exception | None) -> Exception:
        left = self._left(after)
        if not left:
            assert error is not None
            return error
        step = self.history.revisions[left[0]]
        done = [one for one in self.plan.ids if one not in left]
        hint = f"correct {step.path.name} and run it again"
        if error is None:
            why = f"it ran, and the database records {', '.join(after) or 'nothing'}"
        elif isinstance(error, TbcvError):
            why, hint = error.message, error.hint
        else:
            why = reason(error)
            hint = (advice(why) if isinstance(error, DBAPIError) else "") or hint
        verb = "reverted" if self.plan.direction is Direction.DOWNGRADE else "applied"
        return UpgradeFailedError(
            f"revision {left[0]} ({step.message}) failed and was rolled back: {why}; "
            f"{verb} before it: {', '.join(done) or 'nothing'}; not begun: {', '.join(left[1:]) or 'nothing'}",
            applied=done,
            failed=left[0],
            remaining=left[1:],
            hint=hint,
        )

    async def _log_interruption(self, connection: AsyncConnection) -> None:
        """Say what an interruption left; not being able to look must not take its place."""
        try:
            after = await self._read_back(connection)
        except TbcvError as error:
            _log.warning("interrupted; where the database is could not be read: %s", error.message)
            return
        left, where = self._left(after), ", ".join(after) or "base"
        if left:
            _log.warning("interrupted: revision %s was rolled back; the database is at %s", left[0], where)
        else:
            _log.warning("interrupted after the last revision; the database is at %s", where)
