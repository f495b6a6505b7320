"""The command line as a user meets it: processes, what they print where, and what they leave in a database."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import make_url

from tbcv.migrate.status import State
from tests import processes
from tests.conftest import STRATEGY
from tests.migrations.chain import TABLES, Chain, exact
from tests.migrations.dumps import STAMPED, carry, load
from tests.migrations.schema import schema

ROOT = Path(__file__).resolve().parents[2]
HEAD = "011"
CHAIN = tuple(f"{number:03}" for number in range(1, 12))
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")

_OF_TERMINALS = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}

Json = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """What a process left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """`python -m tbcv migrate`, in a directory of its own.

    Attributes:
        url: What DATABASE_URL says; None leaves it unset.
        scratch: A PostgreSQL server for scratch databases, so that no process starts its own.
        directory: The working directory.
        root: The checkout from which tbcv is imported.
        edited: Whether its modules change between commands, so that each has to import them anew.
        environ: More variables.
    """

    url: str | None
    scratch: str
    directory: Path
    root: Path = ROOT
    edited: bool = False
    environ: Mapping[str, str] = field(default_factory=dict)

    def at(self, url: str | None) -> CommandLine:
        """Return the same with another DATABASE_URL."""
        return replace(self, url=url)

    def within(self, root: Path, *, edited: bool = False) -> CommandLine:
        """Return the same out of another checkout, the modules of which may be edited between commands."""
        return replace(self, root=root, edited=edited)

    def having(self, **environ: str) -> CommandLine:
        """Return the same with more environment variables."""
        return replace(self, environ={**self.environ, **environ})

    def __call__(self, *arguments: str, code: int = 0) -> Done:
        """Run a command of `tbcv migrate` and require its exit code; nobody ever sees a traceback."""
        ran = self._ran(arguments)
        done = Done(ran.returncode, ran.stdout.decode(), ran.stderr.decode())
        assert "Traceback" not in done.err, done.err
        assert done.code == code, f"{arguments}: {done}"
        return done

    def _ran(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
        if not self.edited:
            words = ["migrate", *arguments]
            return processes.run(words, directory=self.directory, variables=self.variables(), root=self.root)
        return subprocess.run(
            self.command(*arguments),
            cwd=self.directory,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )

    def document(self, *arguments: str, code: int = 0) -> Json:
        """Run a command with ``--json`` and return the one document that stdout holds."""
        done = self(*arguments, "--json", code=code)
        document: Json = json.loads(done.out)
        assert document["schema"] == 1
        return document

    def refused(self, *arguments: str, code: int = 3) -> str:
        """Run a command that fails, and return the one line in which it says so."""
        done = self(*arguments, code=code)
        assert done.out == ""
        (line,) = done.err.splitlines()
        assert line.startswith("tbcv: ")
        return line

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command without waiting for it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.directory,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def command(self, *arguments: str) -> list[str]:
        """Return the whole command."""
        return [sys.executable, "-m", "tbcv", "migrate", *arguments]

    def variables(self) -> dict[str, str]:
        """Return the environment of the process."""
        plain = {name: value for name, value in os.environ.items() if name not in _OF_TERMINALS}
        url = {} if self.url is None else {"DATABASE_URL": self.url}
        scratch = {"TBCV_SCRATCH_DATABASE_URL": self.scratch}
        return {**plain, "PYTHONPATH": str(self.root), **url, **scratch, **self.environ}


def finish(process: subprocess.Popen[bytes]) -> Done:
    """Wait for a process that was started."""
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out.decode(), err.decode())


def interrupt(process: subprocess.Popen[bytes], ready: Path) -> Done:
    """Press Ctrl-C once a process has made a file."""
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, finish(process)
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    return finish(process)


def upgrade(url: str, target: str = "head") -> None:
    """Bring a database to a revision, in this process."""
    asyncio.run(_upgrade(Chain(url), target))


def execute(url: str, script: str) -> None:
    """Run a script as a bare client does: all of it at once, on a connection that knows nothing of tbcv."""
    asyncio.run(_execute(url, script))


def fetch(url: str, query: str) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return asyncio.run(Chain(url).fetch(query))


def recorded(url: str) -> list[str]:
    """Return the revisions that a database records."""
    return sorted(row["version_num"] for row in fetch(url, "SELECT version_num FROM alembic_version"))


def bytes_of(url: str) -> bytes:
    """Return a SQLite file as it is on disk."""
    return Chain(url).path.read_bytes()


def contents(url: str) -> tuple[object, object, object]:
    """Return the schema, the rows and the recorded revisions of a database.

    The journal of runs is left out, which a script does not write, and the moments at which repairs were recorded.
    """
    return asyncio.run(_contents(Chain(url)))


def load_legacy(url: str, directory: Path) -> None:
    """Fill a database as TBCV 2.0 left it, stamped with 001."""
    if url.startswith("sqlite"):
        load(STAMPED, Chain(url).path)
        return
    load(STAMPED, directory / "legacy.db")
    asyncio.run(_carry(f"sqlite:///{directory}/legacy.db", url))


@contextmanager
def copied(url: str, directory: Path) -> Iterator[str]:
    """Give a copy of a database, which is dropped afterwards."""
    name = f"tbcv_copy_{uuid4().hex}"
    if url.startswith("sqlite"):
        copy = directory / f"{name}.db"
        if Chain(url).path.exists():
            shutil.copyfile(Chain(url).path, copy)
        yield f"sqlite:///{copy}"
        return
    source = make_url(url)
    admin = source.set(database="postgres").render_as_string(hide_password=False)
    execute(admin, f"CREATE DATABASE {name} TEMPLATE {source.database}{STRATEGY}")
    yield source.set(database=name).render_as_string(hide_password=False)
    execute(admin, f"DROP DATABASE {name} WITH (FORCE)")


def copy_checkout(target: Path) -> Path:
    """Copy what `tbcv` consists of, so that its models and revisions can be changed."""
    ignore = shutil.ignore_patterns("__pycache__", "*.tmp")
    for name in ("tbcv", "migrations"):
        shutil.copytree(ROOT / name, target / name, ignore=ignore)
    shutil.copyfile(ROOT / "alembic.ini", target / "alembic.ini")
    return target


def write_revision(directory: Path, name: str, parent: str | None, body: str = "pass", down: str = "pass") -> Path:
    """Write a revision file by hand; further lines of its body bring their own indentation."""
    path = directory / f"{name}_by_hand.py"
    path.write_text(
        f'"""Revision {name}."""\n\nimport time\nfrom pathlib import Path\n\nimport sqlalchemy as sa\nfrom alembic '
        f"import op\n\nrevision = {name!r}\ndown_revision = {parent!r}\n\n\n"
        f"def upgrade():\n    {body}\n\n\ndef downgrade():\n    {down}\n",
        encoding="utf-8",
    )
    return path


def write_environment(directory: Path, url: str = "") -> Path:
    """Write an Alembic environment without models that takes the connection it is given; returns its ini file."""
    (directory / "script" / "versions").mkdir(parents=True)
    (directory / "script" / "env.py").write_text(_ENV, encoding="utf-8")
    (directory / "script" / "script.py.mako").write_text((ROOT / "migrations/script.py.mako").read_text())
    ini = directory / "alembic.ini"
    line = f"sqlalchemy.url = {url}\n" if url else ""
    ini.write_text(f"[alembic]\nscript_location = %(here)s/script\n{line}", encoding="utf-8")
    return ini


async def _upgrade(chain: Chain, target: str) -> None:
    if (await chain.runner.status()).state is State.EMPTY:
        await chain.at(target)
    else:
        await chain.up(target)


async def _execute(url: str, script: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(Chain(url).path)) as connection:
            connection.executescript(script)
        return
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def _contents(chain: Chain) -> tuple[object, object, object]:
    names = await _tables(chain)
    tables = tuple(name for name in TABLES if name in names)
    found = await schema(chain, tables) if tables else {}
    rows = {table: await chain.rows(table) for table in tables}
    rows |= {
        "audit_logs": {key: row for key, row in rows.get("audit_logs", {}).items() if row["actor_type"] != "migrator"}
    }
    for record in rows["audit_logs"].values():
        if str(record["actor"]).startswith("migration "):
            record["created_at"] = "when the migration ran"
    versions = await chain.fetch("SELECT * FROM alembic_version ORDER BY 1") if "alembic_version" in names else []
    return found, exact(rows), (versions, sorted(names))


async def _tables(chain: Chain) -> set[str]:
    query = (
        "SELECT name FROM sqlite_schema WHERE type = 'table'"
        if chain.sqlite
        else "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    )
    return {row["name"] for row in await chain.fetch(query)}


async def _carry(source: str, target: str) -> None:
    chain = Chain(target)
    await chain.up("001")
    await carry(Chain(source), chain)


_ENV = """\
from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(url=context.config.get_main_option("sqlalchemy.url"), literal_binds=True)
else:
    context.configure(connection=connection, transaction_per_migration=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
"""
