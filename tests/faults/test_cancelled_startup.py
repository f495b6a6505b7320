"""`initialize_database` cancelled in the middle, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import anyio
import pytest

from tbcv.core.database import DatabaseManager, Initialization
from tbcv.migrate.lock import migration_lock
from tbcv.migrate.plan import AppliedStep
from tbcv.migrate.status import State, Status
from tbcv.settings import Settings

pytestmark = pytest.mark.anyio

LOOPS = [
    pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
    pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
]
Announce = Callable[[AppliedStep], None]


@pytest.fixture(params=LOOPS, scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Run every test on both loops."""
    return request.param


def manager(url: str, announce: Announce | None = None, mode: str = "apply") -> DatabaseManager:
    """Open a database with a short patience for the lock."""
    if url.startswith("postgresql"):
        # asyncpg forgets a future when it is cancelled just as it asks for TLS, and the loop complains of that.
        url += "?sslmode=disable"
    settings = Settings.from_env(database_url=url, migrate_on_startup=mode, lock_timeout_seconds=30)
    return DatabaseManager(settings, announce=announce)


async def initialize(url: str, announce: Announce | None = None) -> Initialization:
    """Do what a process does at startup."""
    async with manager(url, announce) as database:
        return await database.initialize_database()


async def status(url: str) -> Status:
    """Look where a database stands."""
    async with manager(url) as database:
        return await database.migrations.status()


async def chain(url: str) -> tuple[str, ...]:
    """Return all revisions in order."""
    async with manager(url) as database:
        return tuple(one.id for one in database.migrations.history().ordered())


async def at(url: str, number: int) -> tuple[str, ...]:
    """Bring a database to a revision of the chain, and return those that are pending."""
    revisions = await chain(url)
    async with manager(url) as database:
        await database.migrations.upgrade(revisions[number])
    return revisions[number + 1 :]


async def require_usable(url: str) -> None:
    """Require that an interrupted database is at a revision of the chain, unlocked, and can be finished."""
    left = (await status(url)).current
    assert left in {(), *((one,) for one in await chain(url))}
    async with manager(url) as database, migration_lock(database.migrations.address, 1):
        pass
    assert (await initialize(url)).status.state is State.AT_HEAD


@pytest.mark.parametrize("number", [0, 3])
async def test_a_task_that_is_cancelled_in_a_revision_leaves_a_revision_of_the_chain(
    database_url: str, number: int
) -> None:
    """A cancelled task ends cancelled, the step in progress is rolled back, and the next start finishes."""
    pending = await at(database_url, 4)
    heard: list[str] = []

    def cancel(step: AppliedStep) -> None:
        heard.append(step.id)
        if step.id == pending[number]:
            task.cancel()

    task = asyncio.ensure_future(initialize(database_url, cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await status(database_url)).current != (pending[-1],)
    await require_usable(database_url)


@pytest.mark.parametrize("number", [0, 3])
async def test_a_cancel_scope_ends_a_migration_in_a_revision(database_url: str, number: int) -> None:
    """Cancel scopes, which cancel every wait of the clean-up too, leave the same order behind."""
    pending = await at(database_url, 4)
    with anyio.CancelScope() as scope:

        def cancel(step: AppliedStep) -> None:
            if step.id == pending[number]:
                scope.cancel()

        await initialize(database_url, cancel)
    assert scope.cancelled_caught
    assert (await status(database_url)).current != (pending[-1],)
    await require_usable(database_url)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("number", [None, 0])
async def test_a_startup_can_be_cancelled_at_any_moment(database_url: str, number: int | None, seconds: float) -> None:
    """Whenever a timeout strikes, be it the look, the lock, the creation or a revision, the next start finishes."""
    if number is not None:
        await at(database_url, number)
    with anyio.move_on_after(seconds):
        await initialize(database_url)
    await require_usable(database_url)


async def test_waiting_for_the_lock_can_be_cancelled(database_url: str) -> None:
    """Whoever waits for another migrator can be cancelled at once, and has changed nothing."""
    async with manager(database_url) as database, migration_lock(database.migrations.address, 1):
        with anyio.move_on_after(1) as scope:
            await initialize(database_url)
        assert scope.cancelled_caught
    assert (await status(database_url)).state is State.EMPTY
    await require_usable(database_url)
