"""Any env.py can be rehearsed, and none of them reaches a database other than the scratch database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from tbcv.engine.scratch import ScratchDatabases
from tbcv.errors import ConfigurationError, UpgradeFailedError
from tbcv.gate.judgement.hazards import judge
from tbcv.gate.rehearsals.rehearsal import Rehearsal, rehearse
from tbcv.migrate.history import read_history
from tbcv.migrate.location import own_environment
from tbcv.settings import Settings
from tests.conftest import ENGINES
from tests.gate import corpus

Dialect = Literal["sqlite", "postgresql"]

SYNCHRONOUS = """
from logging.config import fileConfig

from alembic import context
from sqlalchemy import engine_from_config, pool

fileConfig(context.config.config_file_name)
engine = engine_from_config(context.config.get_section("alembic"), prefix="sqlalchemy.", poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
GIVEN = """
from alembic import context
from sqlalchemy import create_engine

engine = context.config.attributes.get("connection") or create_engine(context.config.get_main_option("sqlalchemy.url"))
with engine.connect() as connection:
    context.configure(connection=connection, render_as_batch=True, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
OWN_DATABASE = """
import asyncio

from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine("{url}")
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

asyncio.run(main())
"""


DOWN = 'op.add_column("customers", sa.Column("bio", sa.Text()))'


async def rehearsed(directory: Path, dialect: Dialect, env: str, base: str = corpus.BASE) -> Rehearsal:
    """Rehearse one revision through an env.py."""
    texts = {"start": base, "new": corpus.revision("new", 'op.drop_column("customers", "bio")', DOWN)}
    environment = corpus.environment(directory / "migrations", texts, env)
    revision = read_history(environment).revisions["new"]
    async with ScratchDatabases(Settings.from_env()) as scratch:
        return await rehearse(environment, scratch, dialect, (revision,), rows=60)


# Only SQLite writes every row again to drop a column.
SEEN_ON = {"sqlite": {"sqlite-column-dropped"}, "postgresql": set[str]()}


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize("env", [SYNCHRONOUS, GIVEN], ids=["synchronous", "given"])
async def test_synchronous(dialect: Dialect, env: str, tmp_path: Path) -> None:
    """An env.py that knows nothing of asyncio is run, with whichever driver there is."""
    found = judge(await rehearsed(tmp_path, dialect, env))
    assert {one.code for one in found} == {"data-loss", "irreversible", *SEEN_ON[dialect]}


@pytest.mark.anyio
async def test_database_of_its_own(tmp_path: Path) -> None:
    """An env.py that names its own database gets the scratch database instead."""
    elsewhere = tmp_path / "production.db"
    found = judge(await rehearsed(tmp_path, "sqlite", OWN_DATABASE.format(url=f"sqlite+aiosqlite:///{elsewhere}")))
    assert {one.code for one in found} == {"data-loss", "irreversible", *SEEN_ON["sqlite"]}
    assert not elsewhere.exists()


@pytest.mark.anyio
async def test_another_engine(tmp_path: Path) -> None:
    """An env.py that goes to an engine of another kind is refused before it gets there."""
    env = OWN_DATABASE.format(url="postgresql+asyncpg://nobody@127.0.0.1:1/production")
    with pytest.raises(ConfigurationError, match=r"env\.py connects to postgresql"):
        await rehearsed(tmp_path, "sqlite", env)


@pytest.mark.anyio
async def test_broken_history(tmp_path: Path) -> None:
    """A history that does not run to the parent is an error that says why, and no finding about the new revision."""
    broken = corpus.BASE.replace("def upgrade():", "def upgrade():\n    raise ValueError('no such luck')", 1)
    with pytest.raises(UpgradeFailedError, match="no such luck"):
        await rehearsed(tmp_path, "sqlite", corpus.ENVIRONMENT, broken)


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_own_revisions(dialect: Dialect) -> None:
    """The last revisions of this application are reversible on both engines, but for how PostgreSQL writes JSONB."""
    environment = own_environment()
    revisions = read_history(environment).ordered()[-2:]
    async with ScratchDatabases(Settings.from_env()) as scratch:
        rehearsal = await rehearse(environment, scratch, dialect, revisions, rows=60)
    assert [step.revision.id for step in rehearsal.steps] == [one.id for one in revisions]
    ways = [(step.revision.id, step.way_back) for step in rehearsal.steps if step.way_back is not None]
    assert len(ways) == 2
    assert all(way.failure is None and not way.schema and not way.privileges for _, way in ways)
    told = [(name, words) for name, way in ways for words in way.rows]
    assert {name for name, _ in told} == ({"010"} if dialect == "postgresql" else set())
    assert all(re.match(r"the documents of \w+\.\w+ are written otherwise in \d+ rows$", words) for _, words in told)
    found = [one for one in judge(rehearsal) if {"irreversible", "fails"} & set(one.effects)]
    assert [one.code for one in found] == (["irreversible"] if dialect == "postgresql" else [])


ENFORCED = SYNCHRONOUS.replace(
    "with engine",
    "from sqlalchemy import event\n"
    'event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))\n'
    "with engine",
    1,
)


@pytest.mark.anyio
async def test_children_of_a_rebuilt_table(tmp_path: Path) -> None:
    """Where an env.py enforces foreign keys, a rebuild deletes the rows that refer to the table, and that is found."""
    base = corpus.BASE.replace('"customers.id", name', '"customers.id", ondelete="CASCADE", name')
    up = 'with op.batch_alter_table("customers") as batch:\n    batch.alter_column("bio", type_=sa.String(3000))'
    texts = {"start": base, "new": corpus.revision("new", up, up.replace("sa.String(3000)", "sa.Text()"))}
    environment = corpus.environment(tmp_path / "migrations", texts, ENFORCED)
    revision = read_history(environment).revisions["new"]
    async with ScratchDatabases(Settings.from_env()) as scratch:
        rehearsal = await rehearse(environment, scratch, "sqlite", (revision,), rows=60)
    (loss,) = rehearsal.steps[0].losses
    assert (loss.table, loss.column, loss.how) == ("orders", None, "deleted")
    assert {"data-loss", "irreversible", "sqlite-table-rebuild"} <= {one.code for one in judge(rehearsal)}


IN_ANOTHER_THREAD = """
import {module}

from alembic import context
from sqlalchemy import create_engine, pool

def migrate():
    with create_engine("{url}", poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()

{run}
"""
BY_THE_LOOP = OWN_DATABASE.replace("import asyncio", "from anyio import from_thread").replace(
    "asyncio.run(main())", "from_thread.run(main)"
)
A_THREAD = IN_ANOTHER_THREAD.replace("{module}", "threading").replace(
    "{run}", "one = threading.Thread(target=migrate)\none.start()\none.join()"
)
POOLED = """
import sys

from alembic import context
from sqlalchemy import create_engine, event

class Application:
    engine = create_engine("{url}")

@event.listens_for(Application.engine, "connect")
def _connect(connection, _):
    connection.execute("PRAGMA journal_mode=WAL")

Application = sys.modules.setdefault("application_of_this_test", Application)
connection = Application.engine.connect()
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""
CREATOR = """
import sqlite3

from alembic import context
from sqlalchemy import create_engine

with create_engine("sqlite://", creator=lambda: sqlite3.connect("{file}")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize("env", [A_THREAD, BY_THE_LOOP], ids=["thread", "loop"])
async def test_connects_elsewhere(dialect: Dialect, env: str, tmp_path: Path) -> None:
    """An env.py that has a thread of its own, or the event loop, connect gets the scratch database there too."""
    elsewhere = tmp_path / "production.db"
    synchronous = env is A_THREAD
    drivers = {"sqlite": "pysqlite" if synchronous else "aiosqlite", "postgresql": "asyncpg"}
    place = f"/{elsewhere}" if dialect == "sqlite" else "nobody@127.0.0.1:1/production"
    if synchronous and dialect == "postgresql":
        env = env.replace("target=migrate", "target=lambda: asyncio.run(greenlet_spawn(migrate))").replace(
            "import threading", "import asyncio\nimport threading\n\nfrom sqlalchemy.util import greenlet_spawn"
        )
    url = f"{dialect}+{drivers[dialect]}://{place}"
    found = judge(await rehearsed(tmp_path, dialect, env.replace("{url}", url)))
    assert {one.code for one in found} == {"data-loss", "irreversible", *SEEN_ON[dialect]}
    assert not elsewhere.exists()


@pytest.mark.anyio
async def test_engine_of_the_application(tmp_path: Path) -> None:
    """An engine that outlives env.py connects anew for each run, and what it left in a WAL is not lost."""
    elsewhere = tmp_path / "production.db"
    found = judge(await rehearsed(tmp_path, "sqlite", POOLED.replace("{url}", f"sqlite:///{elsewhere}")))
    assert {one.code for one in found} == {"data-loss", "irreversible", *SEEN_ON["sqlite"]}
    assert not elsewhere.exists()


@pytest.mark.anyio
async def test_creator(tmp_path: Path) -> None:
    """A connection that comes from a function of env.py's own cannot be led, and is refused."""
    with pytest.raises(ConfigurationError, match="creator"):
        await rehearsed(tmp_path, "sqlite", CREATOR.replace("{file}", str(tmp_path / "production.db")))


@pytest.mark.anyio
async def test_missing_import(tmp_path: Path) -> None:
    """What env.py lacks is told as it is the first time, and not tried with another driver."""
    with pytest.raises(ConfigurationError, match=r"No module named 'no_such_application'"):
        await rehearsed(tmp_path, "sqlite", "import no_such_application\n" + SYNCHRONOUS)


@pytest.mark.anyio
@pytest.mark.parametrize("dialect", ENGINES)
async def test_version_table_of_another_name(dialect: Dialect, tmp_path: Path) -> None:
    """What an env.py calls the version table makes no difference: it is filled with no rows, and restored with none."""
    env = corpus.ENVIRONMENT.replace("connection=connection,", 'connection=connection, version_table="their_version",')
    assert env != corpus.ENVIRONMENT
    found = judge(await rehearsed(tmp_path, dialect, env))
    assert {one.code for one in found} == {"data-loss", "irreversible", *SEEN_ON[dialect]}


HALF_READ = """
import json
connection = op.get_bind()
for row in connection.execute(sa.text("SELECT id, note FROM orders WHERE note IS NOT NULL")):
    json.loads(row[1])
"""


@pytest.mark.anyio
async def test_a_result_that_is_not_read_to_its_end(tmp_path: Path) -> None:
    """What a revision that raises was about to read keeps the file locked for nobody: the next attempt fails alike."""
    texts = {"start": corpus.BASE, "new": corpus.revision("new", HALF_READ)}
    environment = corpus.environment(tmp_path / "migrations", texts, SYNCHRONOUS)
    async with ScratchDatabases(Settings.from_env()) as scratch:
        revisions = (read_history(environment).revisions["new"],)
        found = judge(await rehearse(environment, scratch, "sqlite", revisions, rows=60))
    assert [one.code for one in found] == ["fails-on-existing-data"]
    assert "JSONDecodeError: Expecting value" in found[0].message


@pytest.mark.anyio
async def test_advice_where_the_chain_does_not_run(tmp_path: Path) -> None:
    """The error of a chain that cannot be run says what is missing."""
    create = "def upgrade():\n    op.execute('CREATE EXTENSION hstore')"
    with pytest.raises(UpgradeFailedError) as raised:
        await rehearsed(tmp_path, "postgresql", corpus.ENVIRONMENT, corpus.BASE.replace("def upgrade():", create, 1))
    assert "start.py fails on postgresql" in raised.value.message
    assert "TBCV_SCRATCH_DATABASE_URL" in raised.value.hint
