"""`-c`: tbcv's commands on the Alembic environment of somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.command_line import CommandLine, fetch, recorded, write_environment, write_revision

# As `alembic init -t async` writes it, and told to use the connection that it is given.
ASYNC = """\
import asyncio
from logging.config import fileConfig
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config
from alembic import context

config = context.config
target_metadata = None

def run_migrations_offline():
    context.configure(
        url=config.get_main_option("sqlalchemy.url"), target_metadata=target_metadata, literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()

def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()

async def run_async_migrations():
    connectable = async_engine_from_config(
        config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    async with connectable.connect() as connection:
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()

def run_migrations_online():
    connection = config.attributes.get("connection")
    if connection is None:
        asyncio.run(run_async_migrations())
    else:
        do_run_migrations(connection)

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""
# As `alembic init` writes it, with the recipe of Alembic's documentation for sharing a connection.
SYNC = """\
from sqlalchemy import engine_from_config, pool
from alembic import context

config = context.config
target_metadata = None

def run_migrations_offline():
    context.configure(url=config.get_main_option("sqlalchemy.url"), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()

def run_migrations_online():
    connectable = config.attributes.get("connection", None)
    if connectable is None:
        connectable = engine_from_config(
            config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool
        )
        with connectable.connect() as connection:
            context.configure(connection=connection, target_metadata=target_metadata)
            with context.begin_transaction():
                context.run_migrations()
    else:
        context.configure(connection=connectable, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()

if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
"""


@pytest.mark.parametrize("env", [ASYNC, SYNC], ids=["async", "sync"])
def test_somebody_elses_environment(tbcv: CommandLine, tmp_path: Path, env: str) -> None:
    """An env.py of Alembic's own templates that takes a given connection works with every verb."""
    assert tbcv.url is not None
    ini = str(write_environment(tmp_path / "other", tbcv.url))
    (tmp_path / "other/script/env.py").write_text(env, encoding="utf-8")
    versions = tmp_path / "other/script/versions"
    write_revision(
        versions,
        "a1",
        None,
        'op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("things")',
    )
    nowhere = tbcv.at(None)
    assert nowhere.document("-c", ini, "current")["state"] == "empty"
    created = nowhere.document("-c", ini, "create", "more", "--no-autogenerate")
    script = nowhere("-c", ini, "upgrade", "--sql").out
    assert "CREATE TABLE things" in script
    assert created["revision"] in script
    assert nowhere.document("upgrade", "-c", ini)["after"] == [created["revision"]]
    history = nowhere.document("-c", ini, "history")
    assert (history["state"], [one["applied"] for one in history["revisions"]]) == ("at-head", [True, True])
    assert fetch(tbcv.url, "SELECT count(*) AS n FROM things") == [{"n": 0}]
    down = nowhere.document("-c", ini, "downgrade", "-r", "base", "--yes")
    assert [one["table"] for one in down["losses"]] == ["things"]
    assert recorded(tbcv.url) == []
    elsewhere = nowhere.document("-c", ini, "current", "--database-url", f"sqlite:///{tmp_path}/none.db")
    assert elsewhere["database"].endswith("none.db")


def test_a_config_that_is_none(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """A configuration that is missing, no file, no ini, or points nowhere is a usage error in one line."""
    wrong = tmp_path / "wrong.ini"
    assert "missing.ini" in on_sqlite.refused("-c", str(tmp_path / "missing.ini"), "current", code=2)
    assert str(tmp_path) in on_sqlite.refused("current", "-c", str(tmp_path), code=2)
    for text, said in (
        ("no ini at all", "ini"),
        ("[alembic]\n", "script_location"),
        ("[alembic]\nscript_location = nowhere\n", "env.py"),
    ):
        wrong.write_text(text, encoding="utf-8")
        assert said in on_sqlite.refused("-c", str(wrong), "current", code=2)
    ini = write_environment(tmp_path / "other")
    assert "names no database" in on_sqlite.at(None).refused("-c", str(ini), "current", code=2)
