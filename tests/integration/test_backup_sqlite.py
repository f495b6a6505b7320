"""What only SQLite's backups have to do: copy under writers, odd files, and a restore into a file that is in use."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError
from tests.integration.backup_cases import Library

pytestmark = pytest.mark.anyio


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Give a filled library in WAL mode."""
    library = library_in(tmp_path / "library.db")
    asyncio.run(library.fill())
    pragma(library, "journal_mode=WAL")
    return library


def library_in(path: Path) -> Library:
    """Return a library in a file."""
    return Library(parse_database_url(f"sqlite:///{quote(str(path))}"), path.parent / "backups", "sqlite")


def file_of(library: Library) -> Path:
    path = library.address.sqlite_path
    assert path is not None
    return path


def pragma(library: Library, *pragmas: str) -> None:
    """Change the file itself."""
    with closing(sqlite3.connect(file_of(library), isolation_level=None)) as connection:
        for one in pragmas:
            connection.execute(f"PRAGMA {one}").fetchall()
        connection.execute("VACUUM")


def grow(library: Library, megabytes: int) -> None:
    """Add rows of a kilobyte each."""
    with closing(sqlite3.connect(file_of(library))) as connection, connection:
        connection.execute("CREATE TABLE bulk (id INTEGER PRIMARY KEY, data BLOB)")
        for _ in range(megabytes):
            connection.executemany("INSERT INTO bulk (data) VALUES (?)", ((os.urandom(1000),) for _ in range(1000)))


@contextmanager
def writer(library: Library, statement: str) -> Iterator[list[str]]:
    """Write in a thread, hundreds of times a second, in transactions of one statement run twice."""
    stop = threading.Event()
    errors: list[str] = []

    def write() -> None:
        with closing(sqlite3.connect(file_of(library), timeout=30)) as connection:
            while not stop.is_set():
                try:
                    with connection:
                        connection.execute(statement)
                        connection.execute(statement)
                    time.sleep(0.002)
                except sqlite3.Error as error:
                    errors.append(str(error))
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
async def test_copy_under_writers_is_of_one_moment(library: Library, mode: str) -> None:
    """Writers neither fail nor tear the copy: every transaction is in it as a whole or not at all."""
    pragma(library, f"journal_mode={mode}")
    grow(library, 8)
    with writer(library, "INSERT INTO authors (name) VALUES ('busy')") as errors:
        backups = [await library.take() for _ in range(3)]
    assert errors == []
    for backup in backups:
        copy = library_in(backup.path / "database.sqlite")
        assert (len((await copy.rows("authors"))["authors"]) - 40) % 2 == 0
        assert backup.rows["authors"] == len((await copy.rows("authors"))["authors"])
    assert backups[0].rows["authors"] < backups[2].rows["authors"]


async def test_writers_go_on_in_wal_mode(library: Library) -> None:
    """While a large file is copied, small transactions take place."""
    grow(library, 40)
    start = len((await library.rows("authors"))["authors"])
    with writer(library, "INSERT INTO authors (name) VALUES ('busy')"):
        backup = await library.take()
    assert len((await library.rows("authors"))["authors"]) > max(start, backup.rows["authors"]) + 4


async def test_event_loop_goes_on(library: Library) -> None:
    """A backup of tens of megabytes never holds the loop for longer than 50 ms of its own."""
    grow(library, 40)
    gaps: list[float] = []

    async def beat() -> None:
        last, cpu = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0.005)
            now, used = time.perf_counter(), time.thread_time()
            # The thread's own time: other processes of this machine may take its turns.
            gaps.append(min(now - last, used - cpu))
            last, cpu = now, used

    heart = asyncio.create_task(beat())
    await library.take()
    heart.cancel()
    assert len(gaps) > 5
    assert max(gaps) < 0.05


@pytest.mark.parametrize("name", ["Zoë's 🜚 library.db", "a?b#c%20d&mode=ro.db", '-leading "quotes" [x].db', "noext"])
async def test_odd_paths(tmp_path: Path, name: str) -> None:
    """Names that mean something in a URL or a shell are names."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    odd = Library(library_in(tmp_path / name).address, tmp_path / f"{name} backups", "sqlite")
    await odd.fill()
    before = await odd.rows()
    backup = await odd.take()
    await odd.lose()
    await odd.restore(backup)
    assert await odd.rows() == before
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(name)) == []


async def test_what_is_in_the_log_is_copied(library: Library) -> None:
    """Rows that stand only in the write-ahead log are in the backup."""
    with closing(sqlite3.connect(file_of(library))) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        with connection:
            connection.execute("INSERT INTO authors (name) VALUES ('in the log')")
        assert Path(f"{file_of(library)}-wal").stat().st_size > 0
        assert (await library.take()).rows["authors"] == 41


async def test_backup_stays_as_it_was_written(library: Library) -> None:
    """Verifying and restoring leave no side files in a backup."""
    backup = await library.take()
    await library.restore(backup)
    assert sorted(p.name for p in backup.path.iterdir()) == ["backup.json", "database.sqlite", "schema.txt"]


async def test_readers_see_a_restore_in_one_step(library: Library) -> None:
    """Connections that are open stay usable: an open transaction sees the old rows, the next one the restored ones."""
    backup = await library.take()
    await library.run("DELETE FROM books", "DELETE FROM authors")
    with closing(sqlite3.connect(file_of(library), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM authors").fetchone() == (0,)
        await library.restore(backup)
        assert reader.execute("SELECT count(*) FROM authors").fetchone() == (0,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM authors").fetchone() == (40,)
        reader.execute("INSERT INTO authors (name) VALUES ('after')")


async def test_file_keeps_its_permissions_and_inode(library: Library) -> None:
    """A restore writes into the file instead of replacing it."""
    backup = await library.take()
    file_of(library).chmod(0o640)
    before = file_of(library).stat()
    await library.restore(backup)
    after = file_of(library).stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


async def test_locked_database_is_left_alone(library: Library) -> None:
    """A writer that does not end makes the restore give up, with everything as it was."""
    backup = await library.take()
    with closing(sqlite3.connect(file_of(library), isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("INSERT INTO authors (name) VALUES ('held')")
        with pytest.raises(BackupError, match="locked"):
            await library.restore(backup, lock_timeout_seconds=0.3)
        holder.execute("COMMIT")
    assert len((await library.rows("authors"))["authors"]) == 41


async def test_cancelled_restore_changes_nothing(library: Library) -> None:
    """A restore that is cancelled while it copies is undone by SQLite."""
    grow(library, 30)
    backup = await library.take()
    await library.run("DELETE FROM bulk")
    database = file_of(library)

    def size(part: Path) -> int:
        # SQLite may remove it after it was listed.
        with suppress(FileNotFoundError):
            return part.stat().st_size
        return 0

    def beside() -> int:
        return sum(map(size, database.parent.glob(f"{database.name}-[jw]*")))

    quiet = beside()
    task = asyncio.create_task(library.restore(backup))
    # What is copied goes through the journal or the log beside the file first.
    while beside() < quiet + 2**20:
        assert not task.done()
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await library.rows("bulk"))["bulk"] == []


async def test_restore_where_the_file_is_gone(library: Library) -> None:
    """A database that was deleted is made again."""
    before = await library.rows()
    backup = await library.take()
    for path in file_of(library).parent.glob("library.db*"):
        path.unlink()
    restored = await library.restore(backup)
    assert restored.undo is None
    assert await library.rows() == before


@pytest.mark.parametrize("damage", ["header", "middle"])
async def test_damaged_database_is_set_aside(library: Library, damage: str) -> None:
    """A file that can be neither backed up nor copied over is moved out of the way, not lost."""
    grow(library, 1)
    before = await library.rows()
    backup = await library.take()
    data = bytearray(file_of(library).read_bytes())
    where = 0 if damage == "header" else len(data) // 2
    data[where : where + 8192] = os.urandom(8192)
    for side in ("-wal", "-shm"):
        file_of(library).with_name(f"library.db{side}").unlink(missing_ok=True)
    file_of(library).write_bytes(data)
    with pytest.raises(BackupError):
        await library.take()
    restored = await library.restore(backup)
    assert restored.undo is None
    assert restored.aside is not None
    assert restored.aside.read_bytes() == data
    assert await library.rows() == before


async def test_other_page_size(library: Library) -> None:
    """A database that was given pages of another size since can be restored."""
    before = await library.rows()
    backup = await library.take()
    pragma(library, "journal_mode=DELETE", "page_size=8192")
    pragma(library, "journal_mode=WAL")
    await library.lose()
    await library.restore(backup)
    assert await library.rows() == before


async def test_rows_that_break_their_own_rules_are_backed_up(library: Library) -> None:
    """A value that a constraint forbids is in the copy as it is in the database, and no damage."""
    with closing(sqlite3.connect(file_of(library))) as connection, connection:
        connection.execute("CREATE TABLE strict_ones (x INTEGER CHECK (x > 0))")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("INSERT INTO strict_ones VALUES (-1)")
    assert (await library.take()).rows["strict_ones"] == 1


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    """Another file is not mistaken for a database, and nothing is left of the attempt."""
    (tmp_path / "library.db").write_text("this is a text, and a long one\n" * 100)
    wrong = library_in(tmp_path / "library.db")
    with pytest.raises(BackupError, match="file is not a database"):
        await wrong.take()
    assert [path.name for path in tmp_path.iterdir()] == ["library.db"]
