"""Alembic environments written for one test, and what is in the database afterwards."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from tests.faults.commands import Done, Forge, Process
from tests.migrations.chain import Chain

_ENV = """\
from sqlalchemy import MetaData

from tbcv.migrate.environment import run

run(MetaData(), rendered_types={})
"""
_REVISION = '''\
"""Revision {name}."""

import time
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = {name!r}
down_revision = {parent!r}
{head}

def upgrade():
{up}


def downgrade():
{down}
'''


def wait(ready: Path, go: Path) -> str:
    """Return code that stops a revision as a slow computation does, until a file appears."""
    return f"\nPath({str(ready)!r}).touch()\nwhile not Path({str(go)!r}).exists():\n    time.sleep(0.01)\n"


@dataclass(frozen=True)
class Synthetic:
    """A history of a few revisions, and the database that it is for.

    Attributes:
        forge: Runs the commands.
        directory: Where the environment is.
        url: The database.
    """

    forge: Forge
    directory: Path
    url: str

    @property
    def ini(self) -> Path:
        """Its alembic.ini."""
        return self.directory / "alembic.ini"

    @property
    def sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.url.startswith("sqlite")

    @property
    def chain(self) -> Chain:
        """The database, for rows that go in and out."""
        return Chain(self.url)

    def write(self, name: str, up: str, down: str = "pass", *, parent: str | None = "", head: str = "") -> Path:
        """Write a revision on top of the last one by name."""
        versions = self.directory / "script" / "versions"
        if not versions.exists():
            versions.mkdir(parents=True)
            (self.directory / "script" / "env.py").write_text(_ENV)
            self.ini.write_text("[alembic]\nscript_location = %(here)s/script\n")
        below = [path.stem for path in sorted(versions.glob("*.py")) if path.stem < name]
        texts = {"up": up, "down": down}
        text = _REVISION.format(
            name=name,
            parent=(below[-1] if below else None) if parent == "" else parent,
            head=head,
            **{key: indent(dedent(value).strip(), "    ") for key, value in texts.items()},
        )
        path = versions / f"{name}.py"
        path.write_text(text)
        return path

    def words(self, *arguments: str) -> tuple[str, ...]:
        """Return the words of a command on this database."""
        return ("migrate", "-c", str(self.ini), "--database-url", self.url, *arguments)

    def start(self, *arguments: str, **environ: str) -> Process:
        """Start a command."""
        return self.forge.start(*self.words(*arguments), environ=environ)

    def run(self, *arguments: str, code: int = 0, **environ: str) -> Done:
        """Run a command and require its exit code."""
        done = self.start(*arguments, **environ).finish()
        assert done.code == code, done
        return done

    def fetch(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        return asyncio.run(self.chain.fetch(query))

    def scalar(self, query: str) -> Any:  # noqa: ANN401  # whatever the query gives
        """Return the one value of a query."""
        (row,) = self.fetch(query)
        (value,) = row.values()
        return value

    def execute(self, statement: str) -> None:
        """Execute a statement without looking at foreign keys."""
        asyncio.run(self.chain.execute(statement))

    @property
    def recorded(self) -> list[str]:
        """The revisions that the database records."""
        return [row["version_num"] for row in self.fetch("SELECT version_num FROM alembic_version")]

    def tables(self) -> set[str]:
        """Return the tables of the database, the version table excepted."""
        query = (
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            if self.sqlite
            else "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        )
        return {row["name"] for row in self.fetch(query)} - {"alembic_version"}
