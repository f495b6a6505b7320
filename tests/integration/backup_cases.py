"""A small library of authors and books, and the three ways in which it can be backed up."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tbcv.engine.engines import migration_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.migrate.backup import Backup, Part, Restored, restore_backup, take_backup
from tbcv.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LOSSES = (Part("authors", "note"), Part("books", None))
TABLES = {
    "alembic_version": "version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)",
    "authors": "id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT",
    "books": "id INTEGER PRIMARY KEY, author_id INTEGER REFERENCES authors (id), title TEXT",
}
NOTES = ("plain", None, "", "two\nlines\r", "a\ttab", "back\\slash \\N \\.", "Zoë 🜚 'quoted\" %s", "\u2028")


@dataclass(frozen=True, slots=True)
class Library:
    """A database, where its backups go, and which kind they are.

    Attributes:
        address: The database.
        directory: The directory of the backups.
        kind: ``sqlite``, ``partial`` or ``full``.
        server: Where scratch databases of PostgreSQL are made.
    """

    address: DatabaseURL
    directory: Path
    kind: str
    server: str = ""

    async def fill(self, authors: int = 40) -> None:
        """Create the tables and fill them."""
        statements = [f"CREATE TABLE {name} ({columns})" for name, columns in TABLES.items()]
        await self.run(*statements, "INSERT INTO alembic_version VALUES ('011')")
        people = [{"id": n, "name": f"author {n}", "note": NOTES[n % len(NOTES)]} for n in range(authors)]
        await self.run("INSERT INTO authors VALUES (:id, :name, :note)", rows=people)
        await self.run("INSERT INTO books SELECT id, id, name FROM authors")

    async def lose(self) -> None:
        """Do what a destructive revision and the one back do: the places are there, the values are not."""
        await self.run("ALTER TABLE authors DROP COLUMN note", "DROP TABLE books")
        await self.run("ALTER TABLE authors ADD COLUMN note TEXT", f"CREATE TABLE books ({TABLES['books']})")

    async def run(self, *statements: str, rows: Sequence[dict[str, Any]] = ()) -> None:
        """Run statements in one transaction."""
        async with self.connection() as connection:
            for statement in statements:
                await connection.execute(text(statement), list(rows) or None)
            await connection.commit()

    async def rows(self, *names: str) -> dict[str, list[Any]]:
        """Return the rows of tables, in order."""
        async with self.connection() as connection:
            return {
                name: [tuple(row) for row in await connection.execute(text(f"SELECT * FROM {name} ORDER BY 1"))]
                for name in names or tuple(TABLES)
            }

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Connect once."""
        engine = migration_engine(self.address)
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()

    async def take(self, *, losses: Sequence[Part] = LOSSES, keep: int = 5, reason: str = "a test") -> Backup:
        """Take a backup of this kind; there is something to back up."""
        async with self.scratch() as scratch:
            backup = await take_backup(
                self.address,
                self.directory,
                reason=reason,
                scratch=scratch,
                losses=losses if self.kind == "partial" else None,
                keep=keep,
            )
        assert backup is not None
        return backup

    async def restore(self, backup: Backup, *, lock_timeout_seconds: float = 300.0) -> Restored:
        """Restore a backup."""
        async with self.scratch() as scratch:
            return await restore_backup(
                self.address, backup, scratch=scratch, lock_timeout_seconds=lock_timeout_seconds
            )

    def scratch(self) -> ScratchDatabases:
        """Give scratch databases on the server of the tests."""
        return ScratchDatabases(Settings.from_env(scratch_database_url=self.server or None))

    def leftovers(self) -> list[str]:
        """Return what is in the directory and is no backup."""
        return sorted(p.name for p in self.directory.glob("*") if p.name.startswith(".") and p.name != ".lock")

    def command(self, script: str, *words: str) -> tuple[list[str], dict[str, str]]:
        """Return how to run a script in another process: as ``library`` it finds this library."""
        opening = (
            "import asyncio, os, signal, sys, time\n"
            "from pathlib import Path\n"
            "from tests.integration.backup_cases import library_of\n"
            "library = library_of(*sys.argv[1:5])\n"
        )
        url = self.address.url.render_as_string(hide_password=False)
        command = [sys.executable, "-W", "error", "-c", opening + script, url, str(self.directory), self.kind]
        return [*command, self.server, *words], {**os.environ, "PYTHONPATH": str(ROOT)}


def library_of(url: str, directory: str, kind: str, server: str) -> Library:
    """Return a library from the words of a command line."""
    return Library(parse_database_url(url), Path(directory), kind, server)
