"""The body of ``migrations/env.py``: Alembic's asynchronous environment for a command line, a library and a runner.

One function serves every way in which Alembic is started: bare ``alembic``, `alembic.command` with or without a
running event loop, pytest-alembic, `MigrationRunner`, and offline mode.
"""

from __future__ import annotations

import asyncio
import logging.config
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.config import Config
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.errors import RefusedError
from tbcv.migrate.guard import whole_steps
from tbcv.migrate.history import read_history
from tbcv.migrate.integrity import IntegrityCheck
from tbcv.migrate.location import AlembicEnvironment, expanded_url, written_url
from tbcv.migrate.managed import Managed
from tbcv.migrate.rebuild import watched_rebuilds
from tbcv.settings import Settings

_PLUGINS = ("alembic.autogenerate.*", "alembic.ext.checkconstraint_byname")


def run(target_metadata: MetaData, *, rendered_types: Mapping[type[TypeEngine[Any]], str]) -> None:
    """Run what Alembic was asked for.

    Args:
        target_metadata: The models.
        rendered_types: How autogenerate writes the application's own column types.
    """
    config = context.config
    _configure_logging(config)
    options = _options(config, target_metadata, rendered_types)
    if context.is_offline_mode():
        _run_offline(config, options)
        return
    given = config.attributes.get("connection")
    if isinstance(given, Connection):
        _require_no_transaction(given)
        _run_on(given, options)
    elif given is None or isinstance(given, AsyncEngine):
        _await(lambda: _run_async(given or migration_engine(parse_database_url(database_url(config))), options))
    else:  # a synchronous engine, or pytest-alembic's wrapper of a connection, whose transaction is its own affair
        with given.connect() as connection:
            _run_on(connection, options)


def database_url(config: Config) -> str:
    """Return the URL to use: one set on the Config, else the environment's, else the file's.

    A URL counts as set on the Config when it differs from the one in the file.
    """
    # Read raw: '%' starts no interpolation in a URL that somebody set without doubling it.
    effective = config.file_config.get(config.config_ini_section, "sqlalchemy.url", raw=True, fallback="").strip()
    file = Path(config.config_file_name or "alembic.ini")
    written = written_url(file, config.config_ini_section) if config.config_file_name else ""
    if effective and effective != written:
        return effective.replace("%%", "%")
    settings = Settings.from_env()
    if "database_url" in settings.model_fields_set or not written:
        return settings.database_url.get_secret_value()
    return expanded_url(written, file)


def _configure_logging(config: Config) -> None:
    # Only for Alembic's own command line: a library does not touch its host's logging.
    if config.cmd_opts is not None and config.config_file_name and Path(config.config_file_name).exists():
        logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)


def _options(config: Config, metadata: MetaData, rendered: Mapping[type[TypeEngine[Any]], str]) -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        "compare_type": True,
        "compare_server_default": True,
        # PostgreSQL runs batch operations as plain ALTERs, so a revision written on it also runs on SQLite.
        "render_as_batch": True,
        "transaction_per_migration": True,
        # SQLite's DDL is transactional as soon as somebody begins the transaction; tbcv.engine.sqlite does.
        "transactional_ddl": True,
        "autogenerate_plugins": _PLUGINS,
        "render_item": _renderer(rendered),
        "include_object": _managed_only(config, metadata),
    }


def _renderer(rendered: Mapping[type[TypeEngine[Any]], str]) -> Callable[[str, object, AutogenContext], str | bool]:
    def render_item(kind: str, item: object, autogenerate: AutogenContext) -> str | bool:
        text = rendered.get(type(item)) if kind == "type" and isinstance(item, TypeEngine) else None
        if text is None:
            return False
        if "postgresql." in text:
            autogenerate.imports.add("from sqlalchemy.dialects import postgresql")
        return text

    return render_item


def _managed_only(
    config: Config, metadata: MetaData
) -> Callable[[SchemaItem, str | None, str, bool, SchemaItem | None], bool]:
    """Leave alone the tables that neither a model nor a revision makes."""

    @cache
    def managed() -> Managed:
        directory = Path(config.get_main_option("script_location") or ".")
        listed = tuple(Path(one) for one in config.get_version_locations_list() or ())
        environment = AlembicEnvironment(
            Path(config.config_file_name or "alembic.ini"), directory, listed or (directory / "versions",)
        )
        return Managed(read_history(environment), set(metadata.tables))

    def include(
        _item: SchemaItem,
        name: str | None,
        kind: str,
        reflected: bool,
        counterpart: SchemaItem | None,
    ) -> bool:
        return kind != "table" or not reflected or counterpart is not None or managed()(f"table {name}")

    return include


def _run_offline(config: Config, options: dict[str, Any]) -> None:
    address = parse_database_url(database_url(config))
    context.configure(url=address.url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **options)
    with context.begin_transaction():
        context.run_migrations()


def _run_on(connection: Connection, options: dict[str, Any]) -> None:
    with ExitStack() as stack:
        stack.enter_context(whole_steps(connection))
        if connection.dialect.name == "sqlite":
            checks = (IntegrityCheck(connection), stack.enter_context(watched_rebuilds(connection)))
            options["on_version_apply"] = checks
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


def _require_no_transaction(connection: Connection) -> None:
    if connection.in_transaction() and _changes_database():
        raise RefusedError(
            "the connection that the migration was given is in a transaction, which nobody would commit",
            hint="give one from engine.connect() and execute nothing on it before; nothing was changed",
        )


def _changes_database() -> bool:
    """Tell upgrade, downgrade and stamp, which have a destination, from what only looks."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


async def _run_async(engine: AsyncEngine, options: dict[str, Any]) -> None:
    try:
        # connect(), not begin(): inside a transaction of ours Alembic would neither commit nor autocommit.
        async with engine.connect() as connection:
            await connection.run_sync(_run_on, options)
    finally:
        await engine.dispose()


def _await(work: Callable[[], Any]) -> None:
    """Run a coroutine function to its end, also where the caller's thread already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
        return
    failures: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(work())
        except BaseException as error:  # re-raised in the caller's thread
            failures.append(error)

    thread = threading.Thread(target=target, name="tbcv-migrate")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
