"""One attempt to carry out a plan: what it did is read back from the database, not believed."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from traceback import clear_frames, walk_tb

import anyio
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.failures import advice, reason
from tbcv.engine.url import DatabaseURL
from tbcv.engine.waiting import settled
from tbcv.errors import ConnectsElsewhereError, TbcvError, UpgradeFailedError
from tbcv.migrate.backup.work import in_thread
from tbcv.migrate.executor import StepClock, Work, alembic_alone, place_of
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
        cautious: Whether to say what cannot be promised; of a scratch database nobody wants to know.
    """

    address: DatabaseURL
    environment: AlembicEnvironment
    history: History
    plan: Plan
    look: Callable[[], Awaitable[tuple[str, ...]]]
    keeper: MarkKeeper | None = None
    cautious: bool = False

    async def run(self, connection: AsyncConnection, clock: StepClock) -> Outcome:
        """Carry out the plan.

        Args:
            connection: In no transaction, with foreign keys off on SQLite.
            clock: Notes the steps.

        Raises:
            UpgradeFailedError: A revision failed, or the database does not record what was done.
        """
        # The clock last: it tells of what is done.
        listeners = (clock,) if self.keeper is None else (self.keeper, clock)
        work = Work(self.environment, self.address, self.plan, listeners)
        async with alembic_alone():
            try:
                await self._execute(connection, work)
            except ConnectsElsewhereError:
                raise
            except Exception as error:  # a revision may raise anything
                raise self._failed(work, clock, await self._read_back(connection), error) from error
            except asyncio.CancelledError:
                if not self.cautious:
                    raise
                with anyio.CancelScope(shield=True):
                    await self._log_interruption(connection)
                raise
        after = await self._read_back(connection)
        if self._left(after):
            raise self._failed(work, clock, after, None)
        if self.cautious and (cautions := work.arrival.cautions(self.address.dialect)):
            _log.warning("%s", cautions)
        return Outcome(self.plan.direction, self.plan.current, after, tuple(clock.steps))

    async def _execute(self, connection: AsyncConnection, work: Work) -> None:
        """Run the plan; when cancelled, stop the statement in progress before it is rolled back."""
        raw = (await connection.get_raw_connection()).driver_connection
        running = asyncio.ensure_future(_run(connection, work))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            with anyio.CancelScope(shield=True):
                if self.address.dialect == "sqlite" and raw is not None:
                    # asyncpg cancels its statement itself; a thread of SQLite's would run it to the end.
                    await raw.interrupt()
            await settled(running)
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

    def _failed(self, work: Work, clock: StepClock, after: tuple[str, ...], error: Exception | None) -> Exception:
        left = self._left(after)
        if not left:
            assert error is not None
            return error
        step = self.history.revisions[self._culprit(left, error)]
        done = [one for one in self.plan.ids if one not in left]
        undone = [one.id for one in clock.steps if one.id in left and one.id != step.id]
        clock.forget(left)
        rest = [one for one in left if one != step.id]
        loose = self.address.dialect == "sqlite" and work.arrival.apart
        how = "failed" if loose else "failed and was rolled back"
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
            f"revision {step.id} ({step.message}) {how}: {why}; {verb} before it: {', '.join(done) or 'nothing'}; "
            + (f"rolled back with it: {', '.join(undone)}; " if undone else "")
            + f"not begun: {', '.join(one for one in rest if one not in undone) or 'nothing'}"
            + (f"; {work.arrival.cautions('sqlite')}" if loose else ""),
            applied=done,
            failed=step.id,
            remaining=rest,
            hint=hint,
        )

    def _culprit(self, left: Sequence[str], error: Exception | None) -> str:
        """Return which step failed: the first that is left, unless another one's file is where the error arose."""
        files = {str(self.history.revisions[one].path): one for one in left}
        frames = walk_tb(error.__traceback__) if error is not None else ()
        return next((files[name] for one, _ in frames if (name := one.f_code.co_filename) in files), left[0])

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


async def _run(connection: AsyncConnection, work: Work) -> None:
    """Run the plan on a connection, or apart from it where ``env.py`` begins an event loop of its own."""
    try:
        await connection.run_sync(work.on)
    except RuntimeError as error:
        if work.arrival.reached:
            raise
        with warnings.catch_warnings():
            # What it made for the event loop, and could not run here, would complain when it goes.
            warnings.simplefilter("ignore", RuntimeWarning)
            clear_frames(error.__traceback__)
    else:
        return
    # As Alembic's asynchronous template does it, which needs a thread without an event loop.
    place = await connection.run_sync(place_of)
    await in_thread(lambda _stop: work.apart(place))
