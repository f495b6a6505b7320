"""The only driver of Alembic on a connection: synchronous, one revision one transaction."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.util import immutabledict

from tbcv.engine.engines import migration_engine
from tbcv.engine.failures import reason
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.errors import BrokenHistoryError
from tbcv.migrate.arrival import Arrival, Place, read_place
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
        now = time.monotonic()
        done = AppliedStep(script.revision, script.doc.split("\n", 1)[0].strip(), now - self._since)
        self._since = now
        self.steps.append(done)
        if self._announce is not None:
            self._announce(done)

    def forget(self, revisions: Iterable[str]) -> None:
        """Strike out steps that were rolled back later, as where one transaction holds them all."""
        gone = set(revisions)
        self.steps = [one for one in self.steps if one.id not in gone]


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


@dataclass(frozen=True, slots=True)
class Work:
    """What an ``env.py`` is run for.

    Attributes:
        environment: Its revisions.
        address: The database.
        plan: What to do.
        listeners: Called with each step, inside its transaction.
        arrival: Is told how ``env.py`` comes to the database.
    """

    environment: AlembicEnvironment
    address: DatabaseURL
    plan: Plan
    listeners: tuple[Callable[..., None], ...] = ()
    arrival: Arrival = field(default_factory=Arrival)

    def on(self, connection: Connection) -> None:
        """Do it on a connection that is in no transaction.

        Raises:
            ConnectsElsewhereError: ``env.py`` uses another connection, which leads to another database.
            Exception: Whatever a revision raises; its transaction is rolled back, those before it are committed.
        """
        self._run(connection, lambda: place_of(connection))

    def apart(self, place: Place) -> None:
        """Do it on whatever connection ``env.py`` makes, without a running event loop; raises as `on`.

        Args:
            place: Where that must lead.
        """
        self._run(None, lambda: place)

    def _run(self, connection: Connection | None, place: Callable[[], Place]) -> None:
        config = configuration(self.environment, self.address)
        if connection is not None:
            config.attributes["connection"] = connection
        script = ScriptDirectory.from_config(config)
        direction, destination = self.plan.direction, self.plan.destination

        # As the functions of alembic.command, which leave no room to look at what env.py has configured.
        def steps(heads: Any, context: MigrationContext) -> Any:  # noqa: ANN401  # Alembic's own types
            self.arrival.note(context, connection, place)
            context.on_version_apply_callbacks = (*context.on_version_apply_callbacks, *self.listeners)
            match direction:
                case Direction.UPGRADE:
                    return script._upgrade_revs(destination, heads)  # noqa: SLF001  # no public name
                case Direction.DOWNGRADE:
                    return script._downgrade_revs(destination, heads)  # noqa: SLF001  # no public name
                case _:
                    return script._stamp_revs((destination,), heads)  # noqa: SLF001  # no public name

        purge = direction not in (Direction.UPGRADE, Direction.DOWNGRADE)
        environment = EnvironmentContext(config, script, fn=steps, destination_rev=destination, purge=purge)
        with _loggers_kept(), environment:
            script.run_env()


@contextmanager
def _loggers_kept() -> Iterator[None]:
    """Let those be heard afterwards that an ``env.py`` silences when it configures logging."""
    known = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    heard = [one for one in known if not one.disabled]
    try:
        yield
    finally:
        for one in heard:
            one.disabled = False


def place_of(connection: Connection) -> Place:
    """Return which database a connection leads to; leaves it in no transaction."""
    place = read_place(connection)
    connection.rollback()
    return place


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
