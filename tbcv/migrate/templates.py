"""Scratch databases at a revision, of which the chain up to it is run once and then copied."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

import anyio

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.runner import MigrationRunner

BASE = "base"


class Templates:
    """Databases that a chain has brought to revisions; an async context manager that drops them.

    Args:
        environment: The chain.
        scratch: Where they are made.
    """

    def __init__(self, environment: AlembicEnvironment, scratch: ScratchDatabases) -> None:
        self.environment = environment
        self.scratch = scratch
        self._made: dict[tuple[Dialect, str], DatabaseURL] = {}
        self._stack = AsyncExitStack()
        self._one = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    @asynccontextmanager
    async def at(self, dialect: Dialect, revision: str, after: Iterable[str] = ()) -> AsyncIterator[DatabaseURL]:
        """Give a database of one's own at a revision.

        Args:
            dialect: The engine.
            revision: Where; ``base`` is an empty one, ``heads`` all that there is.
            after: Revisions below it, the nearest first, whose template may be continued.

        Raises:
            UpgradeFailedError: The chain does not run.
        """
        original = await self._template(dialect, revision, tuple(after))
        async with self.scratch.copy(original) as address:
            yield address

    async def _template(self, dialect: Dialect, revision: str, after: tuple[str, ...]) -> DatabaseURL:
        async with self._one:
            if (dialect, revision) not in self._made:
                self._made[dialect, revision] = await self._make(dialect, revision, after)
            return self._made[dialect, revision]

    async def _make(self, dialect: Dialect, revision: str, after: tuple[str, ...]) -> DatabaseURL:
        below = next((self._made[dialect, one] for one in after if (dialect, one) in self._made), None)
        async with AsyncExitStack() as stack:
            given = self.scratch.copy(below) if below else self.scratch.database(dialect)
            address = await stack.enter_async_context(given)
            if revision != BASE:
                await MigrationRunner(address, self.environment).upgrade(revision)
            self._stack.push_async_exit(stack.pop_all())
            return address
