"""Backups on both engines: taken, proven, kept, refused when damaged, and brought back."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
from pathlib import Path

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError, ConfigurationError, LockTimeoutError
from tbcv.migrate.backup import ASKED_FOR, Part, default_directory, list_backups, take_backup
from tbcv.migrate.lock import migration_lock
from tests.integration.backup_cases import Library

pytestmark = pytest.mark.anyio

KINDS = [
    "sqlite",
    pytest.param("partial", marks=pytest.mark.postgresql),
    pytest.param("full", marks=pytest.mark.postgresql),
]


@pytest.fixture(params=KINDS)
def library(request: pytest.FixtureRequest, tmp_path: Path) -> Library:
    """Give a filled library, once for each kind of backup."""
    engine = "sqlite" if request.param == "sqlite" else "postgres"
    url = parse_database_url(request.getfixturevalue(f"{engine}_url"))
    server = "" if engine == "sqlite" else str(request.getfixturevalue("postgres_admin_url"))
    library = Library(url, tmp_path / "backups", request.param, server)
    asyncio.run(library.fill())
    return library


async def test_backup_describes_itself(library: Library) -> None:
    """A backup says what it is of, at which revision, and how much it holds; listing reads the same from the disk."""
    backup = await library.take()
    assert backup.kind == ("partial" if library.kind == "partial" else "full")
    assert backup.dialect == library.address.dialect
    assert backup.revisions == ("011",)
    assert backup.id.endswith("Z-" + backup.id.split("-")[1] + "-011")
    assert backup.rows["books"] == 40
    assert backup.size_bytes == sum(p.stat().st_size for p in backup.path.iterdir() if p.name != "backup.json")
    assert len(backup.fingerprint) == 64
    assert backup.created_at.utcoffset() is not None
    assert list_backups(library.directory) == (backup,)


async def test_restore_brings_back_what_was_lost(library: Library) -> None:
    """Values that a destructive revision dropped are there again, to the last character."""
    before = await library.rows()
    backup = await library.take()
    await library.lose()
    assert await library.rows() != before
    restored = await library.restore(backup)
    assert await library.rows() == before
    assert restored.rows["books"] == 40
    assert library.leftovers() == []


async def test_restoring_twice_changes_nothing(library: Library) -> None:
    """A backup that was restored can be restored again."""
    before = await library.rows()
    backup = await library.take()
    await library.restore(backup)
    await library.restore(backup)
    assert await library.rows() == before


async def test_restore_can_be_undone(library: Library) -> None:
    """What a restore overwrites is backed up first, and restoring that brings it back."""
    backup = await library.take()
    await library.run("UPDATE authors SET note = 'newer'", "UPDATE books SET title = 'newer'")
    newer = await library.rows()
    restored = await library.restore(backup)
    assert await library.rows() != newer
    assert restored.undo is not None
    assert restored.undo.reason == f"before restoring {backup.id}"
    await library.restore(restored.undo)
    assert await library.rows() == newer


async def test_restoring_removes_no_backup(library: Library) -> None:
    """The backup of the present state pushes no other out, least of all the one that is restored."""
    backup = await library.take(keep=1)
    restored = await library.restore(backup)
    assert set(list_backups(library.directory)) == {backup, restored.undo}


async def test_last_backups_are_kept(library: Library) -> None:
    """The newest stay, listed newest first, and their names sort as they do."""
    taken = [await library.take(keep=2) for _ in range(4)]
    assert list_backups(library.directory) == (taken[3], taken[2])
    assert sorted(one.id for one in taken) == [one.id for one in taken]


async def test_runs_remove_no_backup_that_was_asked_for(library: Library) -> None:
    """Each kind has its own last backups."""
    asked = [await library.take(keep=2, reason=ASKED_FOR) for _ in range(2)]
    taken = [await library.take(keep=1) for _ in range(2)]
    assert set(list_backups(library.directory)) == {*asked, taken[1]}
    asked.append(await library.take(keep=2, reason=ASKED_FOR))
    assert set(list_backups(library.directory)) == {*asked[1:], taken[1]}


async def test_a_run_that_fails_again_pushes_no_other_out(library: Library) -> None:
    """Of backups that one run takes over and over, the newest stays; those before other runs stay as well."""
    others = [await library.take(keep=3, reason=f"before upgrade to {one}") for one in ("010", "011")]
    again = [await library.take(keep=3, reason="before upgrade to 012") for _ in range(4)]
    assert set(list_backups(library.directory)) == {*others, again[3]}


async def test_backups_of_another_database_are_kept(library: Library, tmp_path: Path) -> None:
    """Databases may share a directory: each has its own last backups."""
    other = Library(parse_database_url(f"sqlite:///{tmp_path}/other.db"), library.directory, "sqlite")
    await other.fill()
    foreign = await other.take()
    ours = await library.take(keep=1)
    assert set(list_backups(library.directory)) == {foreign, ours}


async def test_nobody_else_can_read_a_backup(library: Library) -> None:
    """Directories are 0700 and files 0600."""
    backup = await library.take()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (library.directory, backup.path)}
    assert modes == {0o700}
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.path.iterdir()} == {0o600}
    assert stat.S_IMODE((library.directory / ".lock").stat().st_mode) == 0o600


async def test_incomplete_and_foreign_files_are_passed_over(library: Library) -> None:
    """Only whole backups are listed."""
    backup = await library.take()
    shelf = library.directory
    (shelf / "notes.txt").write_text("not a backup")
    (shelf / "20261122T170000Z-0000-empty").mkdir()
    for name, edit in {"renamed": {}, "listed": [1], "typed": {"format": 99}}.items():
        copy = shelf / f"20261122T170000Z-0000-{name}"
        shutil.copytree(backup.path, copy)
        manifest = json.loads((copy / "backup.json").read_text())
        edited = manifest | {"id": copy.name} | edit if isinstance(edit, dict) and edit else edit or manifest
        (copy / "backup.json").write_text(json.dumps(edited))
    short = shelf / "20261122T170000Z-0000-short"
    shutil.copytree(backup.path, short)
    manifest = json.loads((short / "backup.json").read_text()) | {"id": short.name}
    (short / "backup.json").write_text(json.dumps(manifest))
    (short / "schema.txt").write_text("")
    assert list_backups(shelf) == (backup,)
    assert list_backups(shelf / "absent") == ()


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.99])
async def test_damaged_backup_is_refused(library: Library, where: float) -> None:
    """A flipped bit anywhere is found before the database is touched."""
    backup = await library.take()
    await library.lose()
    lost = await library.rows()
    for name in backup.files:
        data = bytearray((backup.path / name).read_bytes())
        data[int(len(data) * where)] ^= 0x10
        (backup.path / name).write_bytes(data)
        with pytest.raises(BackupError, match=r"damaged.*is not what was written.*not touched"):
            await library.restore(backup)
        data[int(len(data) * where)] ^= 0x10
        (backup.path / name).write_bytes(data)
    assert await library.rows() == lost
    assert list_backups(library.directory) == (backup,)


async def test_manifest_that_lies_is_refused(library: Library) -> None:
    """A backup that holds another number of rows than it says is not restored."""
    backup = await library.take()
    manifest = backup.path / "backup.json"
    manifest.write_text(manifest.read_text().replace('"books": 40', '"books": 41').replace('"rows": 40', '"rows": 41'))
    (lying,) = list_backups(library.directory)
    assert lying.rows["books"] == 41
    before = await library.rows()
    with pytest.raises(BackupError):
        await library.restore(lying)
    assert await library.rows() == before


async def test_restore_waits_for_a_migration(library: Library) -> None:
    """While a migration holds its lock nothing is restored."""
    backup = await library.take()
    async with migration_lock(library.address, 1):
        with pytest.raises(LockTimeoutError):
            await library.restore(backup, lock_timeout_seconds=0.2)
    await library.restore(backup)


async def test_backup_may_be_taken_while_a_migration_holds_the_lock(library: Library) -> None:
    """The run that is about to destroy something takes its backup under its own lock."""
    async with migration_lock(library.address, 1):
        assert await library.take()


@pytest.mark.parametrize("turns", [1, 3, 8, 20, 60])
async def test_cancelled_backup_leaves_nothing(library: Library, turns: int) -> None:
    """A task that is cancelled, twice even, cleans up before it ends."""
    kept = await library.take()
    task = asyncio.create_task(library.take())
    for _ in range(turns):
        await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    done = (await asyncio.gather(task, return_exceptions=True))[0]
    assert library.leftovers() == []
    assert kept in list_backups(library.directory)
    assert isinstance(done, asyncio.CancelledError) or done in list_backups(library.directory)


async def test_unwritable_directory_is_an_error_of_the_backup(library: Library) -> None:
    """Where a file stands in place of the directory, the message names the directory."""
    library.directory.write_text("")
    with pytest.raises(BackupError, match=r"cannot write a backup to .*backups"):
        await library.take()


async def test_other_engine_is_refused(library: Library, tmp_path: Path) -> None:
    """A backup of one engine is not restored to the other."""
    backup = await library.take()
    other = "postgresql://localhost/x" if library.kind == "sqlite" else f"sqlite:///{tmp_path}/x.db"
    wrong = Library(parse_database_url(other), library.directory, library.kind)
    with pytest.raises(BackupError, match="cannot be restored to"):
        await wrong.restore(backup)
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///{tmp}/absent.db", "sqlite:///{tmp}/empty.db"])
async def test_nothing_to_back_up_is_no_backup(tmp_path: Path, url: str) -> None:
    """A database in memory, an absent file and an empty one give None and make no directory."""
    (tmp_path / "empty.db").touch()
    nothing = Library(parse_database_url(url.format(tmp=tmp_path)), tmp_path / "backups", "sqlite")
    async with nothing.scratch() as scratch:
        assert await take_backup(nothing.address, nothing.directory, reason="", scratch=scratch) is None
    assert not nothing.directory.exists()
    assert not (tmp_path / "absent.db").exists()


@pytest.mark.postgresql
async def test_losses_that_are_not_there_are_no_backup(postgres_url: str, tmp_path: Path) -> None:
    """What the database does not have cannot be lost."""
    empty = Library(parse_database_url(postgres_url), tmp_path / "backups", "partial")
    async with empty.scratch() as scratch:
        losses = (Part("absent", None), Part("absent", "x"))
        got = await take_backup(empty.address, empty.directory, reason="", scratch=scratch, losses=losses)
    assert got is None
    assert not empty.directory.exists()


def test_default_directory_stands_beside_the_file(tmp_path: Path) -> None:
    """SQLite has a place beside its file, and others must be given one."""
    assert default_directory(parse_database_url(f"sqlite:///{tmp_path}/a.db")) == tmp_path / "a.db-backups"
    for url in ("sqlite://", "postgresql://localhost/x"):
        with pytest.raises(ConfigurationError, match="TBCV_BACKUP_DIRECTORY"):
            default_directory(parse_database_url(url))
