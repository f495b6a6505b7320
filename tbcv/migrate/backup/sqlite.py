"""A SQLite database copied, and copied back, by SQLite's online backup.

The copy is made within one read transaction. So it is of one moment however long it takes: in WAL mode others go on
writing meanwhile, and with a rollback journal they wait. Everything here runs in a thread.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from tbcv.errors import BackupError
from tbcv.migrate.backup.contents import Contents, difference, read_contents
from tbcv.migrate.backup.work import Stop

DATABASE = "database.sqlite"
SIDE_FILES = ("", "-wal", "-shm", "-journal")

_PAGES = 2000
_PAUSE_SECONDS = 0.05
# A table may hold what its own constraints forbid, and its copy is none the worse for that.
_FLAWED_VALUE = re.compile(r"(NULL|NUMERIC|TEXT|non-\w+) value in |CHECK constraint failed in ")


def size(path: Path) -> int:
    """Return how many bytes a database takes, with what stands in its log; 0 where there is none."""
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal"))


def require_readable(path: Path, _stop: Stop) -> None:
    """Check that a file is a database at all, before anything is made for its backup.

    Raises:
        BackupError: It is not, or cannot be read.
    """
    with in_words(f"cannot copy {path}"), closing(_open(path, "rw")) as raw:
        raw.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def copy(source: Path, target: Path, stop: Stop) -> Contents:
    """Copy a database and prove that the copy is whole.

    Args:
        source: The database; others may use it.
        target: An empty file.
        stop: Checked between pages.

    Returns:
        What both hold.

    Raises:
        BackupError: The database is damaged, cannot be read, or its copy is not equal to it.
    """
    with in_words(f"cannot copy {source}"):
        with closing(_open(source, "rw")) as old, _reading(old) as connection:
            contents = read_contents(connection)
            with closing(sqlite3.connect(target, isolation_level=None)) as new:
                # The copy counts only when all of it has been written, so nothing needs to be undone.
                new.execute("PRAGMA journal_mode=OFF")
                new.execute("PRAGMA synchronous=OFF")
                old.backup(new, pages=_PAGES, progress=_progress(stop), sleep=_PAUSE_SECONDS)
        copied = examine(target, stop)
    what = difference(contents, copied)
    if what:
        raise BackupError(f"the copy of {source} is not equal to it: {what}", hint="nothing was changed; try again")
    return contents


def examine(path: Path, stop: Stop) -> Contents:
    """Read a copy that nobody else uses, and check that SQLite finds nothing wrong in it.

    Raises:
        BackupError: It is damaged.
        sqlite3.Error: It cannot be read.
    """
    stop.check()
    # Nobody writes to it: without `immutable`, reading a database in WAL mode would leave files beside it.
    with closing(_open(path, "ro&immutable=1")) as raw, _reading(raw) as connection:
        require_sound(connection)
        stop.check()
        return read_contents(connection)


def require_sound(connection: Connection) -> None:
    """Check the structure of a database.

    Raises:
        BackupError: SQLite finds it damaged.
    """
    for (line,) in connection.exec_driver_sql("PRAGMA integrity_check(1000000)"):
        if line != "ok" and not _FLAWED_VALUE.match(line):
            raise BackupError(f"the database is damaged: {line}", hint="`PRAGMA integrity_check` tells more")


def is_damaged(path: Path) -> bool:
    """Whether a file is no SQLite database, or one with a broken structure."""
    try:
        with closing(_open(path, "rw")) as raw, _reading(raw) as connection:
            require_sound(connection)
    except BackupError:
        return True
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return True
        raise
    return False


def put_back(backup: Path, contents: Contents, target: Path, timeout_seconds: float, stop: Stop) -> None:
    """Copy a backup into a database, for its other users in one step; until then it stays as it was.

    Args:
        backup: The directory of the backup.
        contents: What `examine` found in it.
        target: The database; made if it is not there.
        timeout_seconds: How long to wait for others who write.
        stop: Checked between pages.

    Raises:
        BackupError: Others use the database, it cannot be written, or it does not equal the backup afterwards.
    """
    with in_words(f"cannot restore {target}"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(_open(backup / DATABASE, "ro&immutable=1")) as old,
            closing(_open(target, "rwc", timeout_seconds=0.1)) as new,
        ):
            _match_page_size(old, new)
            old.backup(new, pages=_PAGES, progress=_progress(stop, timeout_seconds), sleep=_PAUSE_SECONDS)
            with suppress(sqlite3.OperationalError):
                new.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with closing(_open(target, "rw")) as raw, _reading(raw) as connection:
            require_sound(connection)
            what = difference(contents, read_contents(connection))
    if what:
        raise BackupError(
            f"{target} was restored and does not equal backup {backup.name}: {what}",
            hint="somebody is writing to it: stop them, and restore it again",
        )


def _match_page_size(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Leave WAL mode where pages have another size; the backup brings its own mode."""
    (mode,) = new.execute("PRAGMA journal_mode").fetchone()
    if mode == "wal" and old.execute("PRAGMA page_size").fetchone() != new.execute("PRAGMA page_size").fetchone():
        new.execute("PRAGMA journal_mode=DELETE")


def _progress(stop: Stop, timeout_seconds: float = 30.0) -> Callable[[int, int, int], None]:
    """Make a callback for between the pages, which raises when it is enough: SQLite then undoes the copy."""
    waiting_since = time.monotonic()

    def progress(status: int, _remaining: int, _total: int) -> None:
        nonlocal waiting_since
        stop.check()
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            if time.monotonic() - waiting_since > timeout_seconds:
                raise sqlite3.OperationalError("database is locked")
        else:
            waiting_since = time.monotonic()

    return progress


def _open(path: Path, mode: str, *, timeout_seconds: float = 30.0) -> sqlite3.Connection:
    # SQLAlchemy may use it from any thread of the pool; here it is one after the other.
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def _reading(raw: sqlite3.Connection) -> Iterator[Connection]:
    """Hold a read transaction on a connection."""
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            raw.execute("BEGIN")
            yield connection
    except DBAPIError as error:
        if error.orig is None:
            raise
        raise error.orig from None


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Translate what SQLite raises.

    Raises:
        BackupError: It raised something.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"{what}: {error}", hint="nothing was changed") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
