"""An empty database is built from the models only where that is proven to equal the chain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Index, Integer, MetaData, String, Table, text

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.plan import Direction, Outcome
from tbcv.migrate.runner import MigrationRunner
from tbcv.migrate.status import State
from tests.integration.synthetic import FIRST, SECOND, environment, write

pytestmark = pytest.mark.anyio

PROGRAM = """\
import sys
from pathlib import Path

import anyio

from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import read_environment
from tbcv.migrate.runner import MigrationRunner
from tests.integration.test_fresh import models

runner = MigrationRunner(parse_database_url(sys.argv[1]), read_environment(Path(sys.argv[2])), create_all=models())
print("ready", flush=True)
sys.stdin.readline()
outcome = anyio.run(runner.build)
print(outcome.direction.value, len(outcome.applied), *outcome.before, "->", *outcome.after)
"""


def models(length: int = 10) -> Callable[[Connection], None]:
    """Return what builds the schema of the models, in which a name has some length."""
    metadata = MetaData()
    Table(
        "orders",
        metadata,
        Column("name", String(length)),
        Column("id", Integer, primary_key=True),
        Index("ix_orders_name", "name"),
    )
    return metadata.create_all


def runner(url: str, chain: AlembicEnvironment, create_all: Callable[[Connection], None]) -> MigrationRunner:
    """Return the migrations of a database of which the table of orders is managed."""
    return MigrationRunner(
        parse_database_url(url), chain, managed={"orders"}, create_all=create_all, lock_timeout_seconds=60
    )


async def execute(url: str, *statements: str) -> list[object]:
    """Execute statements and return the first values of what the last one finds."""
    engine = migration_engine(parse_database_url(url))
    try:
        async with engine.connect() as connection:
            results = [await connection.execute(text(statement)) for statement in statements]
            found = list(results[-1].scalars()) if results[-1].returns_rows else []
            await connection.commit()
            return found
    finally:
        await engine.dispose()


@pytest.fixture
async def chain(tmp_path: Path, postgres_admin_url: str) -> AlembicEnvironment:
    """Make a chain of two revisions with a ledger."""
    made = environment(tmp_path, FIRST, SECOND)
    await write(made, postgres_admin_url)
    return made


def ran(outcome: Outcome) -> bool:
    """Tell whether the chain was run."""
    assert outcome.after == ("002",)
    return outcome.direction is Direction.UPGRADE and [step.id for step in outcome.applied] == ["001", "002"]


async def test_models_are_used_where_they_are_proven(database_url: str, chain: AlembicEnvironment) -> None:
    """Models that equal the chain, columns in another order, build an empty database without running it."""
    built = runner(database_url, chain, models())
    outcome = await built.build()
    assert (outcome.direction, outcome.applied, outcome.after) == (Direction.CREATE, (), ("002",))
    assert (await built.status()).state is State.AT_HEAD
    assert (await built.build()).after == ("002",)


async def test_chain_runs_where_the_models_disagree(database_url: str, chain: AlembicEnvironment) -> None:
    """Of models that build something else nothing is left; the chain runs."""
    built = runner(database_url, chain, models(length=11))
    assert ran(await built.build())
    assert any("(10)" in fact.line for fact in (await built.snapshot()).facts)
    assert not any("(11)" in fact.line for fact in (await built.snapshot()).facts)


async def test_chain_runs_where_it_leaves_rows(database_url: str, tmp_path: Path, postgres_admin_url: str) -> None:
    """A chain that leaves rows in an empty database runs, so that they are there."""
    second = SECOND + "op.execute(\"INSERT INTO orders (id, name) VALUES (1, 'first')\")\n"
    chain = environment(tmp_path, FIRST, second)
    await write(chain, postgres_admin_url)
    assert ran(await runner(database_url, chain, models()).build())
    assert await execute(database_url, "SELECT name FROM orders") == ["first"]


async def test_chain_runs_after_an_edit(database_url: str, tmp_path: Path, chain: AlembicEnvironment) -> None:
    """A revision file that was edited after the ledger was written is run, and what it does now counts."""
    environment(tmp_path, FIRST, SECOND.replace("ix_orders_name", "ix_edited"))
    built = runner(database_url, chain, models())
    assert ran(await built.build())
    assert any("ix_edited" in fact.line for fact in (await built.snapshot()).facts)


async def test_chain_runs_without_a_ledger(database_url: str, tmp_path: Path) -> None:
    """Without a ledger nothing is proven, so the chain runs."""
    assert ran(await runner(database_url, environment(tmp_path, FIRST, SECOND), models()).build())


async def test_chain_runs_without_an_entry_for_head(database_url: str, tmp_path: Path, postgres_admin_url: str) -> None:
    """A ledger that does not know the newest revision proves nothing about head."""
    await write(environment(tmp_path, FIRST), postgres_admin_url)
    assert ran(await runner(database_url, environment(tmp_path, FIRST, SECOND), models()).build())


async def test_tables_of_others_are_no_hindrance(database_url: str, chain: AlembicEnvironment) -> None:
    """A database that holds tables, views and rows of somebody else is empty, and they stay as they are."""
    await execute(
        database_url,
        "CREATE TABLE theirs (id INTEGER PRIMARY KEY, name VARCHAR(10))",
        "CREATE INDEX ix_theirs ON theirs (name)",
        "CREATE VIEW their_view AS SELECT name FROM theirs",
        "INSERT INTO theirs VALUES (1, 'kept')",
    )
    built = runner(database_url, chain, models())
    before = await built.snapshot()
    outcome = await built.build()
    assert (outcome.direction, outcome.after) == (Direction.CREATE, ("002",))
    assert set(before.facts) < set((await built.snapshot()).facts)
    assert await execute(database_url, "SELECT name FROM their_view") == ["kept"]


async def test_failing_models_leave_nothing(database_url: str, chain: AlembicEnvironment) -> None:
    """Models that fail halfway leave an empty database behind, which the next run builds."""

    def fail(connection: Connection) -> None:
        models()(connection)
        raise RuntimeError("halfway")

    failing = runner(database_url, chain, fail)
    with pytest.raises(RuntimeError, match="halfway"):
        await failing.build()
    assert (await failing.status()).state is State.EMPTY
    assert (await runner(database_url, chain, models()).build()).direction is Direction.CREATE


async def test_two_processes_at_once(database_url: str, chain: AlembicEnvironment) -> None:
    """Of two processes that start together one builds the database, and the other finds it built."""
    command = [sys.executable, "-c", PROGRAM, database_url, str(chain.config_file)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert sorted(out for out, _ in printed) == ["create 0 -> 002\n", "upgrade 0 002 -> 002\n"]
