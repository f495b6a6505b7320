"""The only driver of Alembic on a connection: synchronous, one revision one transaction."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.util import immutabledict

from tbcv.engine.engines import migration_engine
from tbcv.engine.failures import reason
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.errors import BrokenHistoryError
from tbcv.migrate.environment import STEP_LISTENERS
from tbcv.migrate.history import revision_files
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.plan import AppliedStep, Direction, Plan

P = ParamSpec("P")
T = TypeVar("T")

# alembic.op and alembic.context are proxies in module globals: one run at a time in a process.
_ALEMBIC = threading.Lock()


@asynccontextmanager
async def alembic_alone() -> AsyncIterator[None]:
    """Keep other threads and tasks of this process out of Alembic; waits without blocking the event loop."""
    while not _ALEMBIC.acquire(blocking=False):  # noqa: ASYNC110  # an Event belongs to one loop; threads have several
        await anyio.sleep(0.01)
    before = sys.dont_write_bytecode
    # Bytecode of a revision that is edited twice in a second, to the same length, would be taken for the newer one's.
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
        _ALEMBIC.release()


class StepClock:
    """A step listener that notes what was applied and how long it took.

    Args:
        announce: Called with each step once it is done, before it is committed.
    """

    def __init__(self, announce: Callable[[AppliedStep], None] | None = None) -> None:
        self.steps: list[AppliedStep] = []
        self._announce = announce
        self._since = time.monotonic()

    def __call__(self, *, step: MigrationInfo, **_: object) -> None:
        """Note one step; a stamp runs none."""
        if step.is_stamp:
            return
        script: Any = step.up_revision
        self._note(script.revision, script.doc.split("\n", 1)[0].strip())

    def complete(self, plan: Plan) -> None:
        """Note the steps of a finished plan that were not told, as somebody else's ``env.py`` tells none."""
        noted = {one.id for one in self.steps}
        for step in plan.steps:
            if step.id not in noted:
                self._note(step.id, step.message)

    def _note(self, revision: str, message: str) -> None:
        now = time.monotonic()
        done = AppliedStep(revision, message, now - self._since)
        self._since = now
        self.steps.append(done)
        if self._announce is not None:
            self._announce(done)


def configuration(environment: AlembicEnvironment, address: DatabaseURL, output: io.StringIO | None = None) -> Config:
    """Make Alembic's configuration for an environment on disk and a database.

    Args:
        environment: Where revisions and ``env.py`` are.
        address: The database.
        output: Where offline SQL goes.
    """
    config = Config(str(environment.config_file), stdout=io.StringIO(), output_buffer=output)
    # Alembic would otherwise print what file it writes.
    config.messaging_opts = immutabledict({"quiet": True})
    directories = os.pathsep.join(str(path) for path in environment.version_directories)
    url = address.url.render_as_string(hide_password=False)
    for name, value in {
        "script_location": str(environment.directory),
        "version_locations": directories,
        "path_separator": "os",
        "sqlalchemy.url": url,
    }.items():
        config.set_main_option(name, value.replace("%", "%%"))
    return config


def require_importable(environment: AlembicEnvironment) -> None:
    """Import every revision file once, as Alembic does when it runs any of them.

    Raises:
        BrokenHistoryError: One of them cannot be imported.
    """
    script = ScriptDirectory.from_config(configuration(environment, parse_database_url("sqlite://")))
    with told_by_file(environment):
        _ = list(script.walk_revisions())


@contextmanager
def told_by_file(environment: AlembicEnvironment) -> Iterator[None]:
    """Name the revision file that keeps Alembic from importing all of them, within the block.

    Raises:
        BrokenHistoryError: One of them cannot be imported.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        raise _not_importable(error, environment) from error


def _not_importable(error: BaseException, environment: AlembicEnvironment) -> BrokenHistoryError:
    files = {str(path): path.name for path in revision_files(environment)}
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in files]
    where = f"{files[frames[-1].filename]} line {frames[-1].lineno}" if frames else "a revision file"
    return BrokenHistoryError(
        f"{where} cannot be imported: {type(error).__name__}: {reason(error)}",
        hint="nothing was touched; install what it needs, or repair the file",
    )


def execute(
    connection: Connection,
    environment: AlembicEnvironment,
    address: DatabaseURL,
    plan: Plan,
    *listeners: Callable[..., None],
) -> None:
    """Carry out a plan on a connection that is in no transaction.

    Args:
        connection: On the database.
        environment: The revisions.
        address: The database.
        plan: What to do.
        *listeners: Called with each step, inside its transaction.

    Raises:
        Exception: Whatever a revision raises; its transaction is rolled back, those before it are committed.
    """
    config = configuration(environment, address)
    config.attributes["connection"] = connection
    config.attributes[STEP_LISTENERS] = listeners
    match plan.direction:
        case Direction.UPGRADE:
            command.upgrade(config, plan.destination)
        case Direction.DOWNGRADE:
            command.downgrade(config, plan.destination)
        case _:
            command.stamp(config, plan.target, purge=True)


def render(environment: AlembicEnvironment, address: DatabaseURL, plan: Plan) -> str:
    """Return the SQL of a plan without a database, as Alembic writes it in offline mode."""
    output = io.StringIO()
    config = configuration(environment, address, output)
    start = plan.current[0] if plan.current else "base"
    match plan.direction:
        case Direction.UPGRADE:
            command.upgrade(config, f"{start}:{plan.destination}", sql=True)
        case Direction.DOWNGRADE:
            command.downgrade(config, f"{start}:{plan.destination}", sql=True)
        case _:
            raise AssertionError("a stamp is written by tbcv.migrate.preview")
    return output.getvalue()


async def run_alembic(
    address: DatabaseURL,
    work: Callable[Concatenate[Connection, P], T],
    *arguments: P.args,
    **options: P.kwargs,
) -> T:
    """Call a function with a connection in no transaction, and nobody else in Alembic."""
    engine = migration_engine(address)
    try:
        async with alembic_alone(), engine.connect() as connection:
            return await connection.run_sync(work, *arguments, **options)
    finally:
        await engine.dispose()
