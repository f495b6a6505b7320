"""A deploy that was rolled back: an older release meets the database that a newer one has upgraded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.core.database import DatabaseManager, Initialization
from tbcv.errors import DatabaseAheadError, UpgradeFailedError
from tbcv.migrate.plan import Direction
from tbcv.migrate.status import State, Status
from tbcv.settings import Settings
from tests.integration.newer import HEAD, OWN, newer_release, runner_of
from tests.integration.test_fresh import execute

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("elsewhere")]

MARKS = "SELECT action FROM audit_logs WHERE actor_type = 'migrator' AND action LIKE 'revision %' ORDER BY action"


def older(url: str, mode: str = "apply") -> DatabaseManager:
    """Open a database with this release, which is the older one here."""
    return DatabaseManager(Settings.from_env(database_url=url, migrate_on_startup=mode, lock_timeout_seconds=30))


async def start(url: str, mode: str = "apply") -> Initialization:
    """Do what a process of the older release does at startup."""
    async with older(url, mode) as database:
        return await database.initialize_database()


async def status(url: str) -> Status:
    """Look where the older release sees the database."""
    async with older(url) as database:
        return await database.migrations.status()


async def refusal(url: str) -> DatabaseAheadError:
    """Return with what the older release refuses to start."""
    with pytest.raises(DatabaseAheadError) as caught:
        await start(url)
    return caught.value


async def marks(url: str) -> list[str]:
    """Return the revisions that are marked."""
    return [str(one).removeprefix("revision ") for one in await execute(url, MARKS)]


@pytest.fixture
async def at_head(database_url: str) -> str:
    """Let the older release create the database."""
    await start(database_url)
    return database_url


@pytest.mark.parametrize("mode", ["apply", "check", "off"])
async def test_additive_revisions_are_tolerated(at_head: str, tmp_path: Path, mode: str) -> None:
    """Above nothing but additive revisions the older release starts, says so, and changes nothing."""
    newer = runner_of(newer_release(tmp_path, True, True), at_head)
    await newer.upgrade()
    before = await newer.entries()
    done = await start(at_head, mode)
    assert (done.status.state, done.status.tolerable, done.created) == (State.AHEAD, True, False)
    assert done.status.description == "ahead by 2 additive revisions, on which this release may run"
    assert (done.status.above, done.status.unknown) == (("n1", "n2"), ("n2",))
    assert done.outcome.before == done.outcome.after == ("n2",)
    assert await newer.entries() == before
    assert {one.direction for one in before} == {Direction.UPGRADE, Direction.CREATE}


async def test_an_upgrade_by_the_older_release_has_nothing_to_do(at_head: str, tmp_path: Path) -> None:
    """`upgrade` before a start does not keep the older release from it; what goes down is refused."""
    await runner_of(newer_release(tmp_path, True), at_head).upgrade()
    async with older(at_head) as database:
        outcome = await database.migrations.upgrade()
        assert (outcome.applied, outcome.after) == ((), ("n1",))
        assert (await database.migrations.plan_upgrade("heads")).steps == ()
        with pytest.raises(DatabaseAheadError):
            await database.migrations.downgrade(HEAD)
        with pytest.raises(DatabaseAheadError):
            await database.migrations.upgrade(OWN[-2])


@pytest.mark.parametrize(
    ("found", "named"),
    [((True, False), "n2"), ((False, True), "n1"), ((None,), "n1"), ((True, None, True), "n2"), ((False, False), "n1")],
)
async def test_any_other_revision_is_refused(
    at_head: str, tmp_path: Path, found: tuple[bool | None, ...], named: str
) -> None:
    """A revision that breaks the older release, or of which nobody knows, is named with the way back."""
    await runner_of(newer_release(tmp_path, *found), at_head).upgrade()
    error = await refusal(at_head)
    assert f"n{len(found)}" in error.message
    assert named in error.message
    assert f"`tbcv migrate downgrade -r {HEAD}`" in error.hint
    seen = await status(at_head)
    assert (seen.state, seen.tolerable, seen.description) == (State.AHEAD, False, "ahead")
    assert seen.blocking == tuple(f"n{number}" for number, mark in enumerate(found, 1) if not mark)


async def test_a_downgrade_takes_its_marks_away(at_head: str, tmp_path: Path) -> None:
    """Down from a breaking revision to an additive one the older release starts; down to its own head it is at head."""
    newer = runner_of(newer_release(tmp_path, True, False), at_head)
    await newer.upgrade()
    assert await marks(at_head) == [*OWN, "n1", "n2"]
    await refusal(at_head)
    await newer.downgrade("n1")
    assert (await start(at_head)).status.tolerable
    await newer.downgrade(HEAD)
    assert await marks(at_head) == OWN
    assert (await start(at_head)).status.state is State.AT_HEAD
    await newer.upgrade()
    await refusal(at_head)
    await newer.downgrade("base")
    await newer.upgrade("n1")
    assert await marks(at_head) == [*OWN, "n1"]


async def test_a_stamp_proves_nothing(at_head: str, tmp_path: Path) -> None:
    """What was recorded without being run is not known to be additive, whatever was known before."""
    newer = runner_of(newer_release(tmp_path, True), at_head)
    await newer.upgrade()
    await newer.stamp(HEAD)
    await newer.stamp("n1")
    assert await marks(at_head) == []
    assert "n1" in (await refusal(at_head)).message
    await newer.downgrade(HEAD)
    await newer.upgrade()
    assert (await start(at_head)).status.tolerable


async def test_a_failed_revision_leaves_no_mark(at_head: str, tmp_path: Path) -> None:
    """The mark is in the revision's own transaction: what was rolled back is not marked."""
    drop = "op.drop_table('checkpoints')\nraise RuntimeError('halfway')"
    newer = runner_of(newer_release(tmp_path, True, upgrade=drop), at_head)
    with pytest.raises(UpgradeFailedError):
        await newer.upgrade()
    assert await marks(at_head) == OWN
    assert (await start(at_head)).status.state is State.AT_HEAD


async def test_a_database_built_from_the_models_is_marked(database_url: str, tmp_path: Path) -> None:
    """A database that the newer release created at once says of every revision what the chain would have said."""
    outcome = await runner_of(newer_release(tmp_path, True), database_url).build()
    assert outcome.direction is Direction.CREATE
    assert await marks(database_url) == [*OWN, "n1"]
    assert (await start(database_url)).status.tolerable


async def test_an_edited_revision_is_unknown(at_head: str, tmp_path: Path) -> None:
    """What the ledger says of a file that was changed since is not recorded."""
    environment = newer_release(tmp_path, True)
    path = next(environment.version_directories[0].glob("n1_*"))
    path.write_text(path.read_text().replace("pass", 'op.execute("SELECT 1")', 1))
    await runner_of(environment, at_head).upgrade()
    assert (await status(at_head)).blocking == ("n1",)


async def test_another_branch_is_refused(database_url: str, tmp_path: Path) -> None:
    """An additive revision that follows another one than this release's head says nothing about that head."""
    environment = newer_release(tmp_path, True, above=OWN[-2])
    await runner_of(environment, database_url).upgrade("n1")
    assert "n1" in (await refusal(database_url)).message


async def test_a_newer_release_without_marks_is_refused(at_head: str, tmp_path: Path) -> None:
    """A database that was upgraded by other means, as by a script, tells nothing; neither does a damaged ledger."""
    environment = newer_release(tmp_path, True)
    (environment.directory / "ledger").write_text("<<<<<<< ours\n")
    await runner_of(environment, at_head).upgrade()
    assert "n1" in (await refusal(at_head)).message


async def test_marks_that_cannot_be_written_fail_no_revision(at_head: str, tmp_path: Path) -> None:
    """A table of the journal that takes no rows leaves the revision unmarked, and applied."""
    newer = runner_of(newer_release(tmp_path, True), at_head)
    await newer.upgrade(HEAD)
    if at_head.startswith("sqlite"):
        await execute(
            at_head,
            "CREATE TRIGGER full_up BEFORE INSERT ON audit_logs BEGIN SELECT RAISE(ABORT, 'no more rows'); END",
        )
    else:
        await execute(at_head, "ALTER TABLE audit_logs ADD CONSTRAINT full_up CHECK (false) NOT VALID")
    assert (await newer.upgrade()).after == ("n1",)
    assert "n1" in (await refusal(at_head)).message
