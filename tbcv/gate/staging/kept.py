"""Databases at released revisions, kept from run to run: what has not changed since need not run again.

A kept database is found by everything that went into it: the meaning of each revision file, whatever else stands
beside them, and the engine. It is a convenience and no truth: what cannot be read or written is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import anyio
from sqlalchemy import text

from tbcv import __version__
from tbcv.engine.engines import migration_engine
from tbcv.engine.scratch import Dialect, copy_file
from tbcv.engine.url import DatabaseURL
from tbcv.errors import BackupError
from tbcv.migrate.backup.tools import environment as client_environment
from tbcv.migrate.backup.tools import find_tools
from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import Revision
from tbcv.migrate.location import AlembicEnvironment

_log = logging.getLogger(__name__)

_MOST = 24
_LARGEST_BYTES = 64 * 1024**2
# Roles belong to a server and not to a database, so a copy would lack those that a revision makes.
_ROLES = re.compile(rb"\b(CREATE|ALTER)\s+(ROLE|USER|GROUP)\b", re.IGNORECASE)
_WRITTEN_BY_TBCV = {"ledger", "schema"}


class KeptDatabases:
    """A directory with databases that chains have built.

    Args:
        directory: Where they are kept; None keeps none.
        environment: Where the chain is.
        revisions: The chain.
    """

    def __init__(
        self, directory: Path | None, environment: AlembicEnvironment, revisions: Mapping[str, Revision]
    ) -> None:
        self._directory = directory
        self._environment = environment
        self._files = {one.path for one in revisions.values()}
        self._beside: str | None = None
        self._engines: dict[Dialect, str] = {}

    async def bring(self, dialect: Dialect, revisions: Sequence[Revision], address: DatabaseURL) -> bool:
        """Fill an empty database with the one that some revisions built; False where none is kept."""
        path = await self._path(dialect, revisions, address)
        if path is None or not path.exists():
            return False
        try:
            if address.sqlite_path is not None:
                await anyio.to_thread.run_sync(_copy, path, address.sqlite_path)
            else:
                options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
                await _client("psql", address, *options, f"--file={path}")
            os.utime(path)
        except (OSError, BackupError, subprocess.CalledProcessError) as error:
            _log.info("the kept database %s cannot be used: %s", path, error)
            return False
        return True

    async def keep(self, dialect: Dialect, revisions: Sequence[Revision], address: DatabaseURL) -> None:
        """Keep a database that some revisions built."""
        path = await self._path(dialect, revisions, address)
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as directory:
                made = Path(directory, path.name)
                if address.sqlite_path is not None:
                    await anyio.to_thread.run_sync(copy_file, address.sqlite_path, made)
                else:
                    await _client("pg_dump", address, "--format=plain", "--no-owner", f"--file={made}")
                if made.stat().st_size <= _LARGEST_BYTES:
                    made.replace(path)
            self._clear()
        except (OSError, BackupError, subprocess.CalledProcessError) as error:
            _log.info("a database cannot be kept: %s", error)

    async def _path(self, dialect: Dialect, revisions: Sequence[Revision], address: DatabaseURL) -> Path | None:
        if self._directory is None or not revisions:
            return None
        sources = [one.path.read_bytes() for one in revisions]
        if dialect == "postgresql" and any(_ROLES.search(one) for one in sources):
            return None
        engine = self._engines[dialect] = self._engines.get(dialect) or await _engine(address)
        words = [__version__, VERSION_TABLE, engine, self._others(), *map(checksum, sources)]
        key = hashlib.sha256("\0".join(words).encode()).hexdigest()[:40]
        return self._directory / f"{key}.{dialect}"

    def _others(self) -> str:
        """Return the checksum of what stands beside the revision files, as an SQL file that one of them reads."""
        if self._beside is None:
            digest = hashlib.sha256()
            root = self._environment.directory
            for path in sorted(one for one in root.rglob("*") if one.is_file() and one not in self._files):
                inside = path.relative_to(root)
                if inside.parts[0] not in _WRITTEN_BY_TBCV and "__pycache__" not in inside.parts:
                    digest.update(f"{inside}\0".encode() + path.read_bytes())
            self._beside = digest.hexdigest()
        return self._beside

    def _clear(self) -> None:
        """Let go of those that were used least lately."""
        assert self._directory is not None
        kept = sorted(self._directory.glob("*.*"), key=lambda one: one.stat().st_mtime, reverse=True)
        for path in kept[_MOST:]:
            with suppress(OSError):
                path.unlink()


def _copy(kept: Path, target: Path) -> None:
    """Copy a SQLite file, unless it is damaged."""
    shutil.copyfile(kept, target)
    if not _sound(target):
        target.unlink()
        raise OSError(f"{kept} is damaged")


def _sound(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check").fetchone() == ("ok",))
    except sqlite3.DatabaseError:
        return False


async def _engine(address: DatabaseURL) -> str:
    if address.sqlite_path is not None:
        return f"SQLite {sqlite3.sqlite_version}"
    engine = migration_engine(address)
    try:
        async with engine.connect() as connection:
            return str((await connection.execute(text("SELECT version()"))).scalar_one())
    finally:
        await engine.dispose()


async def _client(program: str, address: DatabaseURL, *words: str) -> None:
    major = re.search(r"PostgreSQL (\d+)", await _engine(address))
    tools = await anyio.to_thread.run_sync(find_tools, int(major[1]) if major else 0)
    command = [tools.program(program), "--no-password", *words]
    await anyio.run_process(command, env=client_environment(address))
