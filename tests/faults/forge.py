"""A process that is warm already and forks the commands of the tests: a fresh interpreter takes seconds to import.

Each child is a process like any other, runs the command line's own `run`, and may be told to kill itself just before
its n-th statement that changes something, a commit among them. Speaks JSON, a line
for a question and a line for an answer.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import random
import resource
import sys
import threading
from typing import Any, NoReturn

import asyncpg
import click
from sqlalchemy import Connection, Engine, event

from tbcv.cli.loop import await_result
from tbcv.cli.main import run, tbcv
from tbcv.core.database import DatabaseManager
from tbcv.settings import Settings

WARM = (
    "aiosqlite",
    "alembic.command",
    "alembic.ddl.postgresql",
    "alembic.ddl.sqlite",
    "anyio._backends._asyncio",
    "asyncpg",
    "mako.template",
    "rich.console",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "tbcv.cli.migrate",
    "tbcv.report.document",
)


@click.command()
@click.argument("url")
@click.argument("target")
def revert(url: str, target: str) -> None:
    """Downgrade without the losses, which the command line finds out on scratch databases first."""
    await_result(DatabaseManager(Settings.from_env(database_url=url)).migrations.downgrade, target)


@click.command()
@click.argument("url")
def initialize(url: str) -> None:
    """Do what the application does at its start."""
    await_result(DatabaseManager(Settings.from_env(database_url=url)).initialize_database)


class Boundaries:
    """Counts the changing statements and commits of this process, and ends it before a given one.

    Args:
        kill_at: Its number, from 1; 0 lets the process live.
        number: The signal; 0 for an administrator who ends every session of the database instead.
        trace: Where to write each one down.
    """

    def __init__(self, kill_at: int, number: int, trace: str) -> None:
        self._kill_at = kill_at
        self._signal = number
        self._passed = 0
        # Open until the end of the process, which may come at any line.
        self._trace = open(trace, "w", encoding="utf-8") if trace else None  # noqa: PTH123, SIM115
        event.listen(Engine, "before_cursor_execute", self._statement)
        event.listen(Engine, "commit", self._commit)

    def _statement(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        # Between two statements that only look there is nothing that could be left in another state.
        if not statement.lstrip().startswith(("SELECT", "PRAGMA")):
            self._pass(connection, statement)

    def _commit(self, connection: Connection) -> None:
        self._pass(connection, "COMMIT")

    def _pass(self, connection: Connection, what: str) -> None:
        self._passed += 1
        if self._trace is not None:
            print(" ".join(what.split())[:100], file=self._trace, flush=True)
        if self._passed == self._kill_at:
            if self._signal:
                os.kill(os.getpid(), self._signal)
            else:
                end_sessions(connection)


def end_sessions(connection: Connection) -> None:
    """End every session of a connection's database, as an administrator does; returns when they have ended."""
    url = connection.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def end() -> None:
        administrator = await asyncpg.connect(url)
        try:
            await administrator.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        finally:
            await administrator.close()

    # The event loop of this thread is busy with the statement.
    thread = threading.Thread(target=asyncio.run, args=(end(),))
    thread.start()
    thread.join()


def child(job: dict[str, Any]) -> NoReturn:
    """Run one command and end."""
    random.seed()
    os.chdir(job["directory"])
    os.environ.update(job["environ"])
    for descriptor, path in ((0, os.devnull), (1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
    if job["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_limit"], job["file_limit"]))
    Boundaries(job["kill_at"], job["signal"], job["trace"])
    command, *arguments = job["arguments"]
    own = {"revert": revert, "initialize": initialize}.get(command)
    code = run(own, arguments) if own is not None else run(tbcv, job["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def serve() -> None:
    """Answer until nobody asks."""
    for name in WARM:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        job = json.loads(line)
        if "wait" in job:
            ended, status = os.waitpid(job["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if ended else None
        else:
            answer = os.fork()
            if answer == 0:
                child(job)
        print(json.dumps(answer))  # noqa: T201  # the answer
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
