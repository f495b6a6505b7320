"""The way through new revisions on a scratch database, with the schema before each still at hand after it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import anyio
from sqlalchemy import Connection

from tbcv.engine.scratch import Dialect, ScratchDatabases, worked
from tbcv.engine.url import DatabaseURL
from tbcv.errors import UpgradeFailedError
from tbcv.gate.releases.shape import Shape, read_shape
from tbcv.gate.releases.traffic import plant
from tbcv.gate.staging.stage import Stage
from tbcv.gate.staging.templates import Place, advance
from tbcv.migrate.history import History, Revision, read_history
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.snapshot import Snapshot, take_snapshot

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Side:
    """A scratch database at one revision, with a few rows in it.

    Attributes:
        address: Where it is.
        snapshot: Its schema.
        shape: The part of it that statements can name.
    """

    address: DatabaseURL
    snapshot: Snapshot
    shape: Shape


@dataclass(frozen=True, slots=True)
class Stretch:
    """The databases right before a revision and right after it; the rows of both are from before.

    Attributes:
        before: Without the revision.
        after: With it.
    """

    before: Side
    after: Side


class Passage:
    """Brings a scratch database from revision to revision; an async context manager.

    Args:
        environment: The chain.
        scratch: Where the database is made.
        dialect: Its engine.
        planter: Leaves rows in the database before the first revision; without it, every empty table gets a few.
        start: A database that has old revisions already, which then need not run again.

    Attributes:
        failure: Why a revision did not run; empty while all do.
    """

    def __init__(
        self,
        environment: AlembicEnvironment,
        scratch: ScratchDatabases,
        dialect: Dialect,
        planter: Callable[[DatabaseURL], Awaitable[None]] | None = None,
        start: Place | None = None,
    ) -> None:
        self.failure = ""
        self._environment = environment
        self._scratch = scratch
        self._dialect = dialect
        self._start = start
        self._stage = Stage(environment)
        self._done: set[str] = set()
        self._stack = AsyncExitStack()
        self._history = History()
        self._address: DatabaseURL
        self._here: Side | None = None
        self._planter = planter
        self._planting = True

    async def __aenter__(self) -> Self:
        self._history = read_history(self._environment)
        self._address = await self._fresh()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def through(self, revision: Revision) -> AsyncIterator[Stretch | None]:
        """Apply a revision, with all that it follows; gives None where it does not run."""
        if await self._reach_parents(revision):
            self._here = None
        here = self._here or await self._look()
        if self._planting:
            await self._plant(here.shape)
        async with self._scratch.copy(self._address) as copy:
            applied = await self._apply(revision)
            self._here = await self._look() if applied else None
            yield Stretch(replace(here, address=copy), self._here) if self._here else None

    async def _plant(self, shape: Shape) -> None:
        if self._planter is None:
            await on(self._address, _plant, shape)
        else:
            await self._planter(self._address)
            self._planting = False

    async def _look(self) -> Side:
        return await on(self._address, lambda one: Side(self._address, take_snapshot(one), read_shape(one)))

    async def _reach_parents(self, revision: Revision) -> bool:
        """Apply what a revision follows, as far as it is not; tells whether anything was applied."""
        return any([await self._upgrade(one) for one in (*revision.parents, *revision.dependencies)])

    async def _apply(self, revision: Revision) -> bool:
        try:
            await self._upgrade(revision.id)
        except UpgradeFailedError:
            # Rows of ours that a revision cannot cope with say nothing about the application's.
            self._planting = False
            self._address = await self._fresh()
            await self._reach_parents(revision)
            try:
                await self._upgrade(revision.id)
            except UpgradeFailedError as error:
                self.failure = error.message
                return False
        return True

    async def _fresh(self) -> DatabaseURL:
        start = self._start
        given = self._scratch.copy(start.address) if start else self._scratch.database(self._dialect)
        self._done = set(start.done) if start else set()
        return await self._stack.enter_async_context(given)

    async def _upgrade(self, target: str) -> bool:
        wanted = self._history.ancestors(self._history.resolve(target)) - self._done
        missing = [one for one in self._history.ordered() if one.id in wanted]
        if missing:
            await advance(self._stage, self._address, missing)
            self._done |= wanted
        return bool(missing)


async def on(
    address: DatabaseURL, work: Callable[Concatenate[Connection, P], T], *arguments: P.args, **options: P.kwargs
) -> T:
    """Call a function in a transaction that is rolled back, with foreign keys enforced as an application does.

    Args:
        address: A scratch database.
        work: Gets the connection, and the arguments.
        *arguments: For the function.
        **options: For the function.
    """

    # In a thread, also where there is a driver that waits for its server: reflection keeps other threads out of the
    # filters of warnings meanwhile, and a task of this one that asked for them would wait for itself.
    def called(connection: Connection) -> T:
        return work(connection, *arguments, **options)

    if address.sqlite_path is not None:
        return await worked(address, called, keep=False, foreign_keys=True)
    return await anyio.to_thread.run_sync(lambda: asyncio.run(worked(address, called, keep=False)))


def _plant(connection: Connection, shape: Shape) -> None:
    plant(connection, shape)
    connection.commit()
