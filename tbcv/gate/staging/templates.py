"""Scratch databases at a revision: the chain up to it is run once, and then copied for every question."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

from tbcv.engine.failures import reason
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import TbcvError, UpgradeFailedError
from tbcv.gate.change.files import ancestors, in_order, line_of_error
from tbcv.gate.staging.kept import KeptDatabases
from tbcv.gate.staging.stage import Stage
from tbcv.migrate.history import Revision
from tbcv.migrate.location import AlembicEnvironment

# Fewer revisions run as fast as they are brought back.
_WORTH_KEEPING = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A scratch database somewhere on the chain, to be copied and not to be changed.

    Attributes:
        address: The database, to which nobody is connected.
        done: The revisions that it has.
    """

    address: DatabaseURL
    done: frozenset[str]


_LOOK = "run the revisions on an empty database of that engine to see it"
_ADVICE = (
    (
        re.compile(r"extension .* is not available|extension control file"),
        "let TBCV_SCRATCH_DATABASE_URL name a server that has the extension",
    ),
    (re.compile(r"^No module named"), "install what the revision imports"),
    (
        re.compile(r"^no such table|relation .* does not exist"),
        "where create_all() made the first tables, the chain needs a first revision that makes them",
    ),
)


class Templates:
    """Databases that a chain has brought to revisions; an async context manager that drops them.

    Args:
        environment: The chain.
        scratch: Where they are made.
        revisions: The chain's revisions.
        released: Those of them that will not change any more, from which all else continues.
        kept: Where databases at released revisions are kept from run to run.
    """

    def __init__(
        self,
        environment: AlembicEnvironment,
        scratch: ScratchDatabases,
        revisions: Mapping[str, Revision],
        *,
        released: Iterable[str] = (),
        kept: Path | None = None,
    ) -> None:
        self.environment = environment
        self.scratch = scratch
        self._revisions = revisions
        self._released = frozenset(ancestors(revisions, released))
        self._kept = KeptDatabases(kept, environment, revisions)
        # A stage keeps to the driver that it found, which is one engine's.
        self._stages: dict[Dialect, Stage] = {}
        self._made: dict[tuple[Dialect, frozenset[str]], Place] = {}
        self._stack = AsyncExitStack()
        self._one_at_a_time = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stack.aclose()

    async def template(self, dialect: Dialect, *ids: str) -> Place:
        """Return a database that has some revisions and those below them; none leaves it empty.

        Raises:
            UpgradeFailedError: The chain does not run.
            ConfigurationError: The environment does not connect to such an engine.
        """
        async with self._one_at_a_time:
            return await self._template(dialect, frozenset(ancestors(self._revisions, ids)))

    @asynccontextmanager
    async def at(self, dialect: Dialect, *ids: str) -> AsyncIterator[DatabaseURL]:
        """Give a database of one's own that has some revisions; raises as `template`."""
        place = await self.template(dialect, *ids)
        async with self.scratch.copy(place.address) as address:
            yield address

    async def _template(self, dialect: Dialect, wanted: frozenset[str]) -> Place:
        if (dialect, wanted) not in self._made:
            start = await self._template(dialect, self._released) if self._released < wanted else None
            self._made[dialect, wanted] = await self._make(dialect, wanted, start)
        return self._made[dialect, wanted]

    async def _make(self, dialect: Dialect, wanted: frozenset[str], start: Place | None) -> Place:
        done = start.done if start else frozenset[str]()
        missing = [one for one in in_order(self._revisions) if one.id in wanted - done]
        async with AsyncExitStack() as stack:
            given = self.scratch.copy(start.address) if start else self.scratch.database(dialect)
            address = await stack.enter_async_context(given)
            if start is not None or not await self._kept.bring(dialect, missing, address):
                await advance(self._stages.setdefault(dialect, Stage(self.environment)), address, missing)
                if wanted <= self._released and len(missing) >= _WORTH_KEEPING:
                    await self._kept.keep(dialect, missing, address)
            self._stack.push_async_exit(stack.pop_all())
            return Place(address, wanted)


async def advance(stage: Stage, address: DatabaseURL, missing: Sequence[Revision]) -> None:
    """Run the upgrades of revisions on a database, in the order given.

    Raises:
        UpgradeFailedError: One of them failed.
        ConfigurationError: The environment does not connect to such an engine.
    """
    try:
        await stage.upgrade(address, [one.id for one in missing])
    except TbcvError:
        raise
    except Exception as error:  # a revision may raise anything
        failed = next((one for one in missing if line_of_error(one.path, error)), missing[0])
        raise UpgradeFailedError(
            f"{failed.path.name} fails on {address.dialect}: {reason(error)}",
            applied=(),
            failed=failed.id,
            remaining=[one.id for one in missing[missing.index(failed) + 1 :]],
            hint=next((words for pattern, words in _ADVICE if pattern.search(reason(error))), _LOOK),
        ) from error
