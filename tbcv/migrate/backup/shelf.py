"""The directory where backups stand, one directory for each.

A backup is written under a hidden name and gets its own in one step, when all of it is on the disk. So whatever
has the name of a backup is whole, and whatever has the other name, with nobody holding its lock, was left by a
process that died.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL

from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError
from tbcv.migrate.backup.model import ASKED_FOR, MANIFEST, Backup, StoredFile, read_manifest, write_manifest

_log = logging.getLogger(__name__)

_MOMENT = r"\d{8}T\d{6}Z-[0-9a-f]{4}"
_BACKUP = re.compile(rf"{_MOMENT}-[\w.]+", re.ASCII)
_LEFTOVER = re.compile(rf"\.{_MOMENT}(-[\w.]+)?\.partial", re.ASCII)
_LOCK_SECONDS = 30.0
_MARGIN_BYTES = 8 * 2**20


class Slot:
    """A place for a backup that is being taken.

    Attributes:
        created_at: When it was begun, in UTC.
        path: Where its files are written.
    """

    def __init__(self, shelf: Path) -> None:
        self.created_at = datetime.now(UTC)
        self.path = shelf / f".{_moment(self.created_at)}.partial"
        self._shelf = shelf
        self._lock = FileLock(self.path / "lock", thread_local=False)

    def open(self) -> None:
        """Make the place, after removing what dead processes left."""
        _make_private(self._shelf)
        with _shelf_lock(self._shelf):
            _sweep(self._shelf)
            self.path.mkdir(mode=0o700)
            self._lock.acquire(timeout=0)

    def name(self, revisions: Sequence[str]) -> str:
        """Return what a backup taken at some revisions will be called."""
        at = re.sub(r"[^\w.]", "_", "_".join(revisions) or "base", flags=re.ASCII)[:40]
        return f"{_moment(self.created_at)}-{at}"

    def files(self) -> Mapping[str, StoredFile]:
        """Return what was written so far."""
        return {path.name: _stored(path) for path in sorted(self.path.iterdir()) if path.name != "lock"}

    def publish(self, backup: Backup) -> None:
        """Put everything on the disk and give the backup its name."""
        create_private(self.path / MANIFEST).write_text(write_manifest(backup), encoding="utf-8")
        for path in self.path.iterdir():
            _to_disk(path)
        with _shelf_lock(self._shelf):
            self._lock.release()
            (self.path / "lock").unlink(missing_ok=True)
            _to_disk(self.path)
            self.path.rename(backup.path)
        _to_disk(self._shelf)

    def discard(self) -> None:
        """Remove what was written, unless it was published."""
        self._lock.release()
        shutil.rmtree(self.path, ignore_errors=True)


def list_backups(directory: Path) -> tuple[Backup, ...]:
    """Return the complete backups in a directory, newest first; whatever else is there is passed over.

    Args:
        directory: It need not exist.
    """
    found = (_look(path) for path in directory.glob("*Z-*") if _BACKUP.fullmatch(path.name))
    return tuple(sorted(filter(None, found), key=lambda backup: backup.order, reverse=True))


def prune(newest: Backup, keep: int) -> None:
    """Remove older backups of a database, those that were asked for and those that runs took each among themselves.

    Of several that were taken for the same reason at the same place, as by a run that fails again and again, all but
    the newest go first.

    Args:
        newest: The one that was just taken, which stays.
        keep: How many stay, this one included.
    """
    shelf = newest.path.parent
    try:
        with _shelf_lock(shelf):
            for backup in _dispensable(newest, keep):
                # Under its hidden name first: half a backup never has a whole one's.
                doomed = backup.path.with_name(f".{backup.id}.partial")
                backup.path.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)
    except OSError as error:
        _log.warning("older backups in %s cannot be removed: %s", shelf, error.strerror or error)


def check_files(backup: Backup) -> None:
    """Read the files of a backup and compare them with its manifest.

    Raises:
        BackupError: A file is missing, or is not what was written.
    """
    for name, facts in backup.files.items():
        try:
            found = _stored(backup.path / name)
        except OSError as error:
            raise _damaged(backup, f"{name} cannot be read ({error.strerror})") from error
        if found != facts:
            raise _damaged(backup, f"{name} is not what was written")


def require_space(directory: Path, needed_bytes: int) -> None:
    """Refuse to begin what the disk has no room for.

    Args:
        directory: On the disk in question; it need not exist.
        needed_bytes: Without a margin: a tenth and 8 MiB are added.

    Raises:
        BackupError: Too little is free.
    """
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    needed = needed_bytes + needed_bytes // 10 + _MARGIN_BYTES
    available = shutil.disk_usage(place).free
    if available < needed:
        raise BackupError(
            f"there is no room in {directory}: {needed} bytes are needed and {available} available",
            hint="free some space, or name a directory on another disk",
        )


def create_private(path: Path) -> Path:
    """Create an empty file that nobody else may read."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return path


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Say of an `OSError` that it was the backup, not the database, that could not be written.

    Raises:
        BackupError: The system refused something.
    """
    try:
        yield
    except OSError as error:
        raise BackupError(
            f"cannot write a backup to {directory}: {error.strerror or error}",
            hint="nothing was changed, and older backups are kept",
        ) from error


def database_name(address: DatabaseURL) -> str:
    """Return what tells a database from others: its file, or host, port and name."""
    if address.sqlite_path is not None:
        return str(address.sqlite_path.absolute())
    url = address.url
    place = URL.create("postgresql", host=url.host, port=url.port, database=url.database, query=url.query)
    return place.render_as_string()


def _older(newest: Backup) -> list[Backup]:
    return [
        one
        for one in list_backups(newest.path.parent)
        if (one.dialect, one.database) == (newest.dialect, newest.database) and one.order < newest.order
    ]


def _dispensable(newest: Backup, keep: int) -> list[Backup]:
    asked = newest.reason == ASKED_FOR
    older = [one for one in _older(newest) if (one.reason == ASKED_FOR) == asked]
    newer = [newest, *older]
    # A sort keeps the order of equals.
    repeated = {one.id for place, one in enumerate(older, 1) if _occasion(one) in map(_occasion, newer[:place])}
    return sorted(older, key=lambda one: one.id in repeated)[keep - 1 :]


def _occasion(backup: Backup) -> tuple[object, ...]:
    return backup.reason, backup.revisions, backup.fingerprint


def _moment(now: datetime) -> str:
    # Sixteen microseconds a step, so that backups of one second sort as well.
    return f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond // 16:04x}"


def _look(path: Path) -> Backup | None:
    try:
        backup = read_manifest(path)
        sizes = {name: (path / name).stat().st_size for name in backup.files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return backup if sizes == {name: facts.bytes for name, facts in backup.files.items()} else None


def _stored(path: Path) -> StoredFile:
    with path.open("rb") as stream:
        return StoredFile(path.stat().st_size, file_digest(stream, "sha256").hexdigest())


def _damaged(backup: Backup, what: str) -> BackupError:
    return BackupError(
        f"backup {backup.id} is damaged: {what}; the database was not touched",
        hint="`tbcv migrate backups` lists the others",
    )


def _make_private(directory: Path) -> None:
    """Make a directory for nobody else; one that is there keeps its permissions."""
    if not directory.exists():
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)


def _shelf_lock(shelf: Path) -> FileLock:
    return FileLock(shelf / ".lock", timeout=_LOCK_SECONDS, mode=0o600)


def _sweep(shelf: Path) -> None:
    for path in shelf.iterdir():
        if not _LEFTOVER.fullmatch(path.name):
            continue
        lock = FileLock(path / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        except OSError:
            pass
        lock.release()
        shutil.rmtree(path, ignore_errors=True)


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no directories.
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
