"""`initialize_database` as applications call it: from any loop, twice, at once, and cancelled in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from tbcv.core.database import DatabaseManager, Initialization
from tbcv.errors import DatabaseBehindError
from tbcv.migrate.lock import migration_lock
from tbcv.migrate.plan import AppliedStep, Direction
from tbcv.migrate.status import State, Status
from tbcv.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("elsewhere")]

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


async def test_an_empty_database_is_brought_to_head_once(database_url: str) -> None:
    """The first call creates the schema; the second finds it, and changes nothing."""
    first, second = await initialize(database_url), await initialize(database_url)
    assert first.created
    assert first.status.state is State.AT_HEAD
    assert not second.created
    assert second.outcome.applied == ()
    assert second.outcome.before == second.outcome.after == first.status.heads


@pytest.mark.embedded_scratch
async def test_pending_revisions_are_applied_and_announced_in_order(database_url: str) -> None:
    """A database that is behind gets what it lacks, and whoever asked hears of each step."""
    pending = await at(database_url, 4)
    heard: list[str] = []
    done = await initialize(database_url, lambda step: heard.append(step.id))
    assert tuple(heard) == tuple(step.id for step in done.outcome.applied) == pending
    assert not done.created


@pytest.mark.parametrize("number", [None, 4])
async def test_two_tasks_share_one_migration(database_url: str, number: int | None) -> None:
    """Of two tasks that start together one migrates; the other waits and finds nothing to do."""
    if number is not None:
        await at(database_url, number)
    done = await asyncio.gather(initialize(database_url), initialize(database_url))
    assert [one.status.state for one in done] == [State.AT_HEAD, State.AT_HEAD]
    worked = [bool(one.outcome.applied) or one.outcome.direction is Direction.CREATE for one in done]
    assert sorted(worked) == [False, True]
    (waited,) = (one.outcome for one, worker in zip(done, worked, strict=True) if not worker)
    assert waited.before == waited.after
    async with manager(database_url) as database:
        runs = await database.migrations.entries()
    assert [one.ended for one in runs].count("done") == (1 if number is None else 2)


async def test_one_manager_can_be_initialized_by_two_tasks(database_url: str) -> None:
    """Two tasks that share a manager both return with the schema at head."""
    async with manager(database_url) as database:
        done = await asyncio.gather(database.initialize_database(), database.initialize_database())
    assert [one.status.state for one in done] == [State.AT_HEAD, State.AT_HEAD]


async def test_a_database_in_memory_is_initialized() -> None:
    """A database that lives in its engine gets its schema there."""
    async with manager("sqlite://") as database:
        assert (await database.initialize_database()).created
        assert (await database.initialize_database()).status.state is State.AT_HEAD


async def test_at_head_nobody_waits_for_the_lock(database_url: str) -> None:
    """While somebody else migrates, a process that finds the schema at head starts without waiting."""
    await initialize(database_url)
    async with manager(database_url) as database, migration_lock(database.migrations.address, 1):
        with anyio.fail_after(10):
            assert (await initialize(database_url)).outcome.applied == ()


async def test_check_refuses_and_changes_nothing(database_url: str) -> None:
    """With `check` a pending revision is a refusal that names it."""
    pending = await at(database_url, 4)
    async with manager(database_url, mode="check") as database:
        with pytest.raises(DatabaseBehindError, match=", ".join(pending)):
            await database.initialize_database()
    assert (await status(database_url)).pending == pending


async def test_off_creates_nothing(sqlite_url: str) -> None:
    """With `off` not even the file is created."""
    async with manager(sqlite_url, mode="off") as database:
        assert (await database.initialize_database()).status.state is State.EMPTY
    assert not Path(sqlite_url.removeprefix("sqlite:///")).exists()


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
