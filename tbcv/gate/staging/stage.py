"""Runs single revisions of any Alembic environment on a scratch database, through the environment's own ``env.py``.

An ``env.py`` may be synchronous or not, and takes its database from the configuration, from the environment of the
process or from its own application. So it is started as ``alembic`` itself would start it, with the scratch
database as its URL, and every connection that it opens is led to the scratch database whatever it asked for: a
rehearsal must never reach a database that is in use.
"""

from __future__ import annotations

import asyncio
import logging.config
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import anyio
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, Dialect, ExceptionContext, ExecutionContext
from sqlalchemy.exc import ArgumentError, InvalidRequestError, MissingGreenlet, NoSuchModuleError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util import greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from tbcv.engine.engines import is_own
from tbcv.engine.failures import reason
from tbcv.engine.scripts import execute_script
from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConfigurationError, TbcvError
from tbcv.migrate.bookkeeping import VERSION_TABLE
from tbcv.migrate.executor import alembic_alone, configuration, told_by_file
from tbcv.migrate.location import AlembicEnvironment, written_url

_ASYNCHRONOUS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_SYNCHRONOUS = {
    "sqlite": {"sqlite": "sqlite3"},
    "postgresql": {
        "postgresql+psycopg": "psycopg",
        "postgresql+psycopg2": "psycopg2",
        "postgresql+pg8000": "pg8000",
    },
}
# What an env.py raises that was given a driver of the wrong kind, or one that is not installed.
_WRONG_DRIVER = (MissingGreenlet, NoSuchModuleError)
_DRIVERS = {"psycopg", "psycopg2", "pg8000", "asyncpg", "aiosqlite"}
_LEADS = re.compile(r"^\s*(?:from|import)\s+tbcv\.migrate\b", re.MULTILINE)
# Noted of a connection in its pool: that it is led.
_LED = "tbcv-led"


class EndedError(Exception):
    """A revision or ``env.py`` wants to end the process that runs it.

    Args:
        error: What it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"it ends the process: {type(error).__name__} {error}".strip())


class Audience(Protocol):
    """Sees every statement that is executed on the stage, and not what a listener executes around one."""

    def before(self, connection: Connection, statement: str) -> None:
        """A statement is about to be executed."""

    def after(self, connection: Connection, statement: str, rows: int) -> None:
        """A statement was executed."""

    def failed(self, connection: Connection, error: BaseException) -> None:
        """A statement was refused."""

    def ended(self, connection: Connection) -> None:
        """A transaction is about to be committed or rolled back."""


class Stage:
    """One Alembic environment, loaded once, whose revisions can be run one by one.

    Args:
        environment: Where revisions and ``env.py`` are.
    """

    def __init__(self, environment: AlembicEnvironment) -> None:
        _listen()
        self._environment = environment
        self._script: ScriptDirectory | None = None
        self._way: tuple[str, bool] | None = None

    @property
    def is_led(self) -> bool:
        """Whether ``env.py`` lets tbcv migrate, which follows up what an attempt that was cut short has left."""
        text = (self._environment.directory / "env.py").read_text(encoding="utf-8", errors="replace")
        return _LEADS.search(text) is not None

    async def upgrade(self, address: DatabaseURL, revisions: Sequence[str], audience: Audience | None = None) -> None:
        """Run the upgrades of revisions, in the order given.

        Raises:
            ConfigurationError: The environment does not connect to an engine of this kind.
            Exception: Whatever a revision or ``env.py`` raises.
        """
        await self._run(address, revisions, audience, upwards=True)

    async def downgrade(self, address: DatabaseURL, revision: str, audience: Audience | None = None) -> None:
        """Run the downgrade of one revision.

        Raises:
            Exception: Whatever the revision raises.
        """
        await self._run(address, (revision,), audience, upwards=False)

    async def _run(
        self, address: DatabaseURL, revisions: Sequence[str], audience: Audience | None, *, upwards: bool
    ) -> None:
        if revisions:
            async with alembic_alone():
                try:
                    await anyio.to_thread.run_sync(self._perform, address, tuple(revisions), upwards, audience)
                except Exception as error:
                    # A result that a revision did not read to its end keeps SQLite locked for as long as it is known.
                    traceback.clear_frames(error.__traceback__)
                    raise

    def _perform(
        self, address: DatabaseURL, revisions: tuple[str, ...], upwards: bool, audience: Audience | None
    ) -> None:
        """Find, at the first time, the driver that ``env.py`` can use, and run."""
        ways = [self._way] if self._way else list(_ways(self._environment, address.dialect))
        for number, way in enumerate(ways, start=1):
            led = _Led(address, audience)
            try:
                self._play(way, led, revisions, upwards)
            except Exception as error:
                if _is_about_the_driver(error) and not led.connected and number < len(ways):
                    continue
                if led.begun or isinstance(error, TbcvError):
                    raise
                raise ConfigurationError(
                    f"{self._environment.directory / 'env.py'} fails before any revision: {type(error).__name__}: "
                    f"{reason(error)}",
                    hint="install what it imports, and set what it reads",
                ) from error
            self._way = way
            return

    def _play(self, way: tuple[str, bool], led: _Led, revisions: tuple[str, ...], upwards: bool) -> None:
        driver, waited_for = way
        url = led.address.url.set(drivername=driver)
        config = configuration(self._environment, DatabaseURL(url, led.address.connect_args))
        with ExitStack() as stack:
            stack.enter_context(_own_paths(config, self._environment.config_file.parent))
            stack.enter_context(_untouched_logging())
            stack.enter_context(led.listening())
            script = self._script = self._script or ScriptDirectory.from_config(config)

            def steps(*_: object) -> list[MigrationStep]:
                led.begun = True
                make: Callable[..., MigrationStep] = (
                    MigrationStep.upgrade_from_script if upwards else MigrationStep.downgrade_from_script
                )
                with told_by_file(self._environment):
                    found = [script.get_revision(one) for one in revisions]
                return [make(script.revision_map, one) for one in found]

            stack.enter_context(
                _apart(EnvironmentContext(config, script, fn=steps, as_sql=False, destination_rev=revisions[-1]))
            )

            def run() -> None:
                try:
                    script.run_env()
                finally:
                    led.close_forgotten()

            try:
                if waited_for:
                    asyncio.run(greenlet_spawn(run))
                else:
                    run()
            except (SystemExit, KeyboardInterrupt) as error:
                # In a thread these are nobody's but the revision's, and would end the event loop of this process.
                raise EndedError(error) from error


def _apart(context: EnvironmentContext) -> EnvironmentContext:
    """Let a context record revisions where nobody looks for a schema, whatever ``env.py`` calls that table."""
    configure = context.configure

    def configure_here(*arguments: Any, **options: Any) -> None:  # noqa: ANN401  # as Alembic takes them
        configure(*arguments, **{**options, "version_table": VERSION_TABLE, "version_table_schema": None})

    # Not by a class of its own: the functions of alembic.context are bound to instances of just that one.
    context.configure = configure_here  # type: ignore[method-assign]
    return context


class _Led:
    """Leads the connections of ``env.py`` to one database and tells an audience what is executed on them.

    ``env.py`` may connect in another thread, or have the event loop of this process do it. So all of this thread are
    led, and of other threads all but tbcv's own.
    """

    def __init__(self, address: DatabaseURL, audience: Audience | None) -> None:
        self.address = address
        self.connected = False
        self.begun = False
        self._audience = audience
        self._thread = threading.get_ident()
        self._open: dict[DBAPIConnection, ConnectionPoolEntry] = {}
        self._underway: dict[Connection, str] = {}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be told of all engines, since nobody knows which one ``env.py`` will make."""
        _PLAYING.append(self)
        try:
            yield
        finally:
            _PLAYING.remove(self)

    def _concerns(self, dialect: Dialect) -> bool:
        return threading.get_ident() == self._thread or not is_own(dialect)

    def do_connect(
        self, dialect: Dialect, entry: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
    ) -> None:
        if not self._concerns(dialect):
            return
        if dialect.name != self.address.dialect:
            raise ConfigurationError(
                f"env.py connects to {dialect.name}, and the rehearsal is on {self.address.dialect}",
                hint="let env.py take its URL from sqlalchemy.url, or name the engine with --dialect",
            )
        if dialect.is_async and not in_greenlet():
            # Said here, before the driver makes a coroutine that nobody awaits.
            raise MissingGreenlet("env.py uses an asynchronous driver without waiting for it")
        _lead(self.address, dialect, arguments, options)
        entry.info[_LED] = True
        self.connected = True

    def connect(self, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        if entry.info.get(_LED):
            self._open[connection] = entry
        elif threading.get_ident() == self._thread:
            # Nothing of tbcv's connects here.
            connection.close()
            raise ConfigurationError(
                "env.py connects by a `creator` of its own, so that it cannot be led to a scratch database",
                hint="let env.py give create_engine() a URL",
            )

    def do_execute(self, cursor: DBAPICursor, statement: str, parameters: object, context: ExecutionContext) -> bool:
        """Let a driver execute what another one would, for which ``env.py`` may have been written."""
        return self._concerns(context.dialect) and execute_script(cursor, statement, parameters, context)

    def close(self, connection: DBAPIConnection, _entry: object) -> None:
        self._open.pop(connection, None)

    def close_forgotten(self) -> None:
        """Close what ``env.py`` left open: its server would wait for it, and a pool would give it to the next run."""
        while self._open:
            _, entry = self._open.popitem()
            # One whose event loop is closed cannot be closed any more.
            with suppress(Exception):
                entry.invalidate()

    def before_cursor_execute(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if self._audience is None or not self._concerns(connection.dialect) or connection in self._underway:
            return
        self._underway[connection] = statement
        self._audience.before(connection, statement)

    def after_cursor_execute(self, connection: Connection, cursor: DBAPICursor, statement: str, *_: object) -> None:
        if self._audience is not None and self._is_over(connection, statement):
            self._audience.after(connection, statement, cursor.rowcount)

    def handle_error(self, context: ExceptionContext) -> None:
        connection, statement = context.connection, context.statement
        if self._audience is None or connection is None or statement is None:
            return
        if self._is_over(connection, statement):
            self._audience.failed(connection, context.original_exception)

    def _is_over(self, connection: Connection, statement: str) -> bool:
        """Tell whether what has ended is the statement that was told of, and not one of a listener's around it."""
        if self._underway.get(connection) != statement:
            return False
        del self._underway[connection]
        return True

    def commit(self, connection: Connection) -> None:
        if self._audience is not None and self._concerns(connection.dialect):
            self._audience.ended(connection)

    rollback = commit


_PLAYING: list[_Led] = []
"""The run that there is, if any: Alembic admits one at a time."""

_EVENTS = (
    *("do_connect", "connect", "close", "do_execute", "before_cursor_execute", "after_cursor_execute"),
    *("handle_error", "commit", "rollback"),
)


@cache
def _listen() -> None:
    """Listen to all engines, once: other threads may be in the middle of telling their listeners later on."""
    for name in _EVENTS:
        event.listen(Engine, name, _teller(name))


def _teller(name: str) -> Callable[..., object]:
    def tell(*arguments: object) -> object:
        playing = _PLAYING[-1:]
        return getattr(playing[0], name)(*arguments) if playing else None

    return tell


def _is_about_the_driver(error: Exception) -> bool:
    if isinstance(error, ModuleNotFoundError):
        return (error.name or "").partition(".")[0] in _DRIVERS
    if isinstance(error, (InvalidRequestError, ArgumentError)):
        return "async" in str(error)
    return isinstance(error, _WRONG_DRIVER)


def _lead(address: DatabaseURL, dialect: Dialect, arguments: list[Any], options: dict[str, Any]) -> None:
    """Change what a driver is about to connect to; what is no address is left as ``env.py`` has it."""
    url = address.url.set(drivername=f"{dialect.name}+{dialect.driver}")
    there, wanted = dialect.create_connect_args(url)
    if dialect.name == "sqlite":
        if Path(str(arguments[0])) != address.sqlite_path:
            arguments[:] = list(there)
        return
    kept: dict[str, object] = {name: options[name] for name in ("server_settings", "options") if name in options}
    given = dict(address.connect_args) if dialect.driver == "asyncpg" else {}
    if given or any(options.get(name) != value for name, value in wanted.items()):
        arguments[:] = list(there)
        options.clear()
        options.update({**wanted, **given, **kept})


def _ways(environment: AlembicEnvironment, dialect: str) -> Iterator[tuple[str, bool]]:
    """Give the drivers to try and whether to run ``env.py`` in a greenlet, the likeliest first."""
    written = written_url(environment.config_file)
    named = written.partition("://")[0]
    installed = [name for name, module in _SYNCHRONOUS[dialect].items() if find_spec(module) is not None]
    asynchronous = (_ASYNCHRONOUS[dialect], False)
    try:
        waits = "async" in (environment.directory / "env.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        waits = False
    synchronous = [(name, False) for name in sorted(installed, key=lambda name: name != named)]
    yield from [asynchronous, *synchronous] if waits else [*synchronous, asynchronous]
    # A synchronous env.py can use an asynchronous driver where somebody else waits for it.
    yield _ASYNCHRONOUS[dialect], True


@contextmanager
def _own_paths(config: Config, directory: Path) -> Iterator[None]:
    """Let the environment find its application; relative paths count from its ini file."""
    before = list(sys.path)
    given: Sequence[str] = config.get_prepend_sys_paths_list() or ()
    config.set_main_option("prepend_sys_path", "")
    sys.path[:0] = [str(directory / one) for one in given]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def _untouched_logging() -> Iterator[None]:
    """Keep ``env.py`` from configuring the logging of this process, as all that Alembic generates do."""
    configure = logging.config.fileConfig

    def ignored(*_: object, **__: object) -> None:
        return None

    logging.config.fileConfig = ignored
    try:
        yield
    finally:
        logging.config.fileConfig = configure
