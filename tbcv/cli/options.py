"""What the commands share: which database, which environment, and how to print."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console, RenderableType
from sqlalchemy import Connection

import tbcv
from tbcv.core.database import Base, DatabaseManager
from tbcv.core.declarations import declared_at
from tbcv.engine.scratch import Dialect
from tbcv.engine.url import DatabaseURL, parse_database_url
from tbcv.errors import ConfigurationError, ConfirmationRequiredError
from tbcv.gate.drift import ModelSource
from tbcv.migrate.journal import OTHER_JOURNAL, OWN_JOURNAL
from tbcv.migrate.location import AlembicEnvironment, expanded_url, own_environment, read_environment, written_url
from tbcv.migrate.patience import DdlPolicy
from tbcv.migrate.plan import AppliedStep
from tbcv.migrate.protection import Protection
from tbcv.migrate.runner import MigrationRunner
from tbcv.report import document, terminal
from tbcv.report.logs import JsonLines
from tbcv.settings import LogFormat, Settings

# A pipe has no width; a narrow one would cut revision ids.
_PIPE_WIDTH = 200


@dataclass(frozen=True, slots=True)
class Target:
    """The database and the environment that a command is about.

    Attributes:
        database_url: As given on the command line, if it was.
        config: An alembic.ini given on the command line, if one was.
        journal: Whether a run makes the table of the journal in another project's database.
    """

    database_url: str | None = None
    config: Path | None = None
    journal: bool = False

    @property
    def settings(self) -> Settings:
        """The settings; a database of the command line wins over both that the environment can name."""
        return Settings.from_env(database_url=self.database_url, migration_database_url=self.database_url)

    @property
    def environment(self) -> AlembicEnvironment:
        """The environment: the one given, or tbcv's own."""
        return own_environment() if self.config is None else read_environment(self.config)

    @property
    def address(self) -> DatabaseURL:
        """The database that migrations of the target go to."""
        return self.runner().address

    def command(self, verb: str) -> str:
        """Return a command as one that goes to this target is written; a password is left out of it."""
        words = ["tbcv", "migrate", verb]
        if self.config is not None:
            words += ["-c", str(self.config)]
        if self.database_url is not None:
            words += ["--database-url", _without_password(self.database_url)]
        return shlex.join(words)

    @property
    def restore(self) -> str:
        """The command that brings a backup back, without its id."""
        return self.command("restore")

    @property
    def create_all(self) -> Callable[[Connection], None] | None:
        """What builds the schema of the models; another environment's models are not known."""
        return Base.metadata.create_all if self.config is None else None

    @property
    def models(self) -> ModelSource | None:
        """The models as the gate is handed them; another environment's are not known."""
        if self.config is not None:
            return None
        directory = Path(tbcv.__file__).resolve().parent.parent
        where = functools.partial(declared_at, Base)
        return ModelSource(Base.metadata.create_all, "tbcv.core.database:Base", directory, where)

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """The engine that another environment is made for, where it says; empty otherwise."""
        if self.config is None:
            return ()
        settings = self.settings
        named = "database_url" in settings.model_fields_set
        url = settings.database_url.get_secret_value() if named else written_url(self.environment.config_file)
        scheme = url.partition("://")[0].partition("+")[0]
        known: dict[str, tuple[Dialect, ...]] = {"sqlite": ("sqlite",), "postgresql": ("postgresql",)}
        return known.get(scheme.replace("postgres", "postgresql") if scheme == "postgres" else scheme, ())

    def runner(self, announce: Callable[[AppliedStep], None] | None = None) -> MigrationRunner:
        """Return the migrations of the target.

        Raises:
            ConfigurationError: No database is named, or not properly; or tbcv's own is to get another journal.
        """
        settings = self.settings
        own = self.config is None or self.environment.directory == own_environment().directory
        if own and self.journal:
            raise ConfigurationError("tbcv's own runs are in audit_logs", hint="--journal is for other projects")
        if self.config is None:
            return DatabaseManager(settings, announce=announce, restore=self.restore).migrations
        # The direct route is one to the database that DATABASE_URL names.
        url = (settings.migration_database_url or settings.database_url).get_secret_value()
        if "database_url" not in settings.model_fields_set:
            url = _url_of(self.environment)
        address, environment = parse_database_url(url), self.environment
        return MigrationRunner(
            address,
            environment,
            lock_timeout_seconds=settings.lock_timeout_seconds,
            policy=DdlPolicy(settings.ddl_lock_timeout_seconds, settings.ddl_lock_attempts),
            announce=announce,
            journal=OWN_JOURNAL if own else OTHER_JOURNAL,
            begin_journal=self.journal,
            protection=Protection(address, environment, settings) if settings.backup else None,
            restore=self.restore,
        )


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name its target; it gets them as one `Target`, named ``target``."""

    @click.option("--database-url", metavar="URL", help="The database; DATABASE_URL otherwise.")
    @click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        help="The alembic.ini of another environment.",
    )
    @click.pass_context
    @functools.wraps(command)
    def with_target(
        context: click.Context,
        /,
        *arguments: Any,  # noqa: ANN401  # whatever the command takes
        database_url: str | None,
        config: Path | None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        outer = context.find_object(Target) or Target()
        target = replace(
            outer,
            database_url=outer.database_url if database_url is None else database_url,
            config=outer.config if config is None else config,
        )
        return command(*arguments, target=target, **options)

    return with_target


def journal_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that runs migrations the option that begins a journal; its target then says so."""

    @click.option("--journal", is_flag=True, help="With -c: keep a journal in that database from now on.")
    @functools.wraps(command)
    def with_journal(*arguments: Any, target: Target, journal: bool, **options: Any) -> Any:  # noqa: ANN401
        return command(*arguments, target=replace(target, journal=journal), **options)

    return with_journal


json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of text.")
sql_option = click.option("--sql", is_flag=True, help="Print the SQL and change nothing.")


def show(renderable: RenderableType) -> None:
    """Print a result for eyes, on stdout."""
    _print(renderable, sys.stdout)


def progress(renderable: RenderableType) -> None:
    """Print progress or a question's background, on stderr."""
    _print(renderable, sys.stderr)


def announce(step: AppliedStep) -> None:
    """Print that a step is done, unless the log says it."""
    if not logs_json():
        progress(terminal.step(step))


def logs_json() -> bool:
    """Whether stderr is for programs."""
    return Settings.from_env().log_format is LogFormat.JSON


def show_document(kind: str, body: document.Json) -> None:
    """Print a result for programs, on stdout."""
    click.echo(document.dump(kind, body))


def confirm(what: str, *, yes: bool) -> None:
    """Ask whether to go on.

    Raises:
        ConfirmationRequiredError: The answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise ConfirmationRequiredError(
            f"{what} needs a confirmation, and there is no terminal to ask on",
            hint="give --yes once you have read what it does; nothing was changed",
        )
    if not click.confirm("Go on?", err=True):
        raise ConfirmationRequiredError(f"{what} was declined", hint="nothing was changed")


def log_to_stderr() -> None:
    """Let tbcv's warnings, such as repaired rows, be seen; as JSON, let everything be.

    Raises:
        ConfigurationError: A setting holds something that it cannot be.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if logs_json() else logging.Formatter("  ! %(message)s"))
    log = logging.getLogger("tbcv")
    log.addHandler(handler)
    if logs_json():
        log.setLevel(logging.INFO)
    # The env.py of somebody else may set up logging too, and would say everything again.
    log.propagate = False


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep warnings about rows to oneself that tbcv itself has put into a scratch database."""
    log = logging.getLogger("tbcv")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _print(renderable: RenderableType, stream: TextIO) -> None:
    width = None if stream.isatty() or os.environ.get("COLUMNS") else _PIPE_WIDTH
    # What is printed names files, hosts and messages, whose brackets and colons are no markup.
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        # Only a terminal wraps sentences; tables keep to the width everywhere.
        console.print(renderable, soft_wrap=not stream.isatty())
    # Tables pad their last column, which shows when a line is selected or compared.
    stream.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    stream.flush()


def _without_password(url: str) -> str:
    address = parse_database_url(url)
    return address.redacted if address.url.password or "sslpassword" in url else url


def _url_of(environment: AlembicEnvironment) -> str:
    url = written_url(environment.config_file)
    if not url:
        raise ConfigurationError(
            f"{environment.config_file.name} names no database",
            hint="give --database-url or set DATABASE_URL",
        )
    return expanded_url(url, environment.config_file)
