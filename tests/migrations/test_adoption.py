"""Databases of TBCV 2.0 without a revision are adopted by what their schema proves, and lose no row."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import combinations
from pathlib import Path

import pytest

from tbcv.core.database import DatabaseManager
from tbcv.engine.scratch import ScratchDatabases
from tbcv.errors import AdoptionError, UnversionedDatabaseError
from tbcv.migrate.adoption import Adoption, adoption_script, plan_adoption
from tbcv.migrate.measure import chain_schemas
from tbcv.migrate.reconcile import Schema
from tbcv.migrate.status import State
from tbcv.settings import Settings
from tests.migrations.chain import TABLES, Chain, exact
from tests.migrations.dumps import STAMPED, UNVERSIONED, at_head, carry, load, normalised

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("elsewhere")]

# What installations of TBCV 2.0 that are older than the dumps did not have yet.
LATE = ("validation_types", "parent_validation_id", "comparison_data", "file_hash", "version_number")
EACH = (1, len(LATE)) if os.environ.get("TBCV_FAULTS") != "all" else range(1, len(LATE) + 1)
OLDER = [gone for number in EACH for gone in combinations(LATE, number)]
SCHEMAS: dict[str, tuple[Schema, ...]] = {}


@pytest.fixture
async def scratch(postgres_admin_url: str) -> AsyncIterator[ScratchDatabases]:
    """Give scratch databases on the server of the tests."""
    async with ScratchDatabases(Settings.from_env(scratch_database_url=postgres_admin_url)) as databases:
        yield databases


@pytest.fixture
def unversioned(tmp_path: Path) -> Chain:
    """Return a SQLite file of TBCV 2.0 that records no revision."""
    load(UNVERSIONED, tmp_path / "unversioned.db")
    return Chain(f"sqlite:///{tmp_path}/unversioned.db")


@pytest.fixture
async def forgotten(chain: Chain, tmp_path: Path) -> Chain:
    """Return a database at 001 with the rows of TBCV 2.0, whose version table is lost, on each engine."""
    load(STAMPED, tmp_path / "stamped.db")
    await chain.at("001")
    await carry(Chain(f"sqlite:///{tmp_path}/stamped.db"), chain)
    await chain.execute("DROP TABLE alembic_version")
    return chain


async def plan(chain: Chain, scratch: ScratchDatabases) -> Adoption:
    """Plan the adoption of a database; the chain is built once for all of them."""
    dialect = chain.address.dialect
    if dialect not in SCHEMAS:
        SCHEMAS[dialect] = await chain_schemas(chain.runner.environment, scratch, dialect)
    return plan_adoption(await chain.runner.snapshot(), chain.runner.managed(), SCHEMAS[dialect])


async def test_the_dump_of_2_0_is_adopted_and_upgraded_with_every_row(
    unversioned: Chain, scratch: ScratchDatabases
) -> None:
    """What `create_all` of TBCV 2.0 built comes nearest to 001, becomes equal to it and goes to head."""
    before = await unversioned.everything()
    adoption = await plan(unversioned, scratch)
    assert (adoption.revision, adoption.equals, adoption.refusals) == ("001", (), ())
    await unversioned.runner.adopt(adoption)
    assert exact(await unversioned.everything()) == exact(before)
    await unversioned.up()
    assert normalised(await unversioned.everything()) == normalised(at_head(before))
    assert await unversioned.fetch("SELECT count(*) AS n FROM validation_records") == [{"n": 0}]


@pytest.mark.parametrize("gone", OLDER, ids="-".join)
async def test_columns_that_came_late_are_added(
    unversioned: Chain, scratch: ScratchDatabases, gone: tuple[str, ...]
) -> None:
    """An installation without the late columns is adopted; their values are empty or the default."""
    with closing(sqlite3.connect(unversioned.path)) as connection, connection:
        _rebuild_without(connection, gone)
    await _is_adopted(unversioned, scratch, gone)


@pytest.mark.parametrize("gone", OLDER, ids="-".join)
async def test_columns_that_came_late_are_added_on_postgresql(
    postgres_chain: Chain, scratch: ScratchDatabases, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    """Nor does one on PostgreSQL lose a row."""
    load(STAMPED, tmp_path / "stamped.db")
    await postgres_chain.at("001")
    await carry(Chain(f"sqlite:///{tmp_path}/stamped.db"), postgres_chain)
    await postgres_chain.execute("DROP TABLE alembic_version")
    dropped = ", ".join(f"DROP COLUMN {name}" for name in gone)
    await postgres_chain.execute(f"ALTER TABLE validation_results {dropped}")
    await _is_adopted(postgres_chain, scratch, gone)


def _rebuild_without(connection: sqlite3.Connection, gone: tuple[str, ...]) -> None:
    connection.execute("DROP INDEX ix_validation_results_file_hash")
    kept = [name for _, name, *_ in connection.execute("PRAGMA table_info(validation_results)") if name not in gone]
    connection.execute(f"CREATE TABLE older AS SELECT {', '.join(kept)} FROM validation_results")
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'validation_results'").fetchone()
    indexes = [
        row[0]
        for row in connection.execute(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = 'validation_results' AND type = 'index' AND sql > ''"
        )
    ]
    connection.execute("DROP TABLE validation_results")
    lines = [line for line in sql.splitlines() if not any(name in line for name in gone)]
    connection.execute("\n".join(lines).replace("(id), \n)", "(id)\n)").rstrip(",)\n ") + ")\n)")
    connection.execute(f"INSERT INTO validation_results ({', '.join(kept)}) SELECT * FROM older")
    connection.execute("DROP TABLE older")
    for index in indexes:
        connection.execute(index)


async def _is_adopted(chain: Chain, scratch: ScratchDatabases, gone: tuple[str, ...]) -> None:
    before = await chain.everything()
    adoption = await plan(chain, scratch)
    assert (adoption.revision, adoption.refusals) == ("001", ())
    await chain.runner.adopt(adoption)
    await chain.up()
    after = await chain.everything()
    assert {table: rows.keys() for table, rows in before.items()} == {
        table: {key for key in rows if table != "audit_logs" or key in before[table]} for table, rows in after.items()
    }
    if "version_number" in gone:
        assert {row["version_number"] for row in after["validation_results"].values()} == {1, 2, 3}


async def test_an_exact_schema_is_adopted_at_startup(forgotten: Chain) -> None:
    """A database that equals exactly one revision is adopted when the application starts, and brought to head."""
    before = await forgotten.everything()
    url = forgotten.address.url.render_as_string(hide_password=False)
    async with DatabaseManager(Settings.from_env(database_url=url)) as database:
        done = await database.initialize_database()
    assert done.status.state is State.AT_HEAD
    assert done.outcome.before == ("001",)
    after = await forgotten.everything()
    journal = {key for key, row in after["audit_logs"].items() if row["actor_type"] == "migrator"}
    after["audit_logs"] = {key: row for key, row in after["audit_logs"].items() if key not in journal}
    assert journal
    assert normalised(after) == normalised(at_head(before))


async def test_an_empty_version_table_is_no_revision(forgotten: Chain, scratch: ScratchDatabases) -> None:
    """All tables and an empty `alembic_version`, as 2.0 left after a failed revision, is adopted like none."""
    await forgotten.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert (await forgotten.runner.status()).state is State.UNVERSIONED
    adoption = await plan(forgotten, scratch)
    assert adoption.equals == ("001",)
    assert (await forgotten.runner.adopt(adoption)).after == ("001",)


async def test_an_inexact_schema_is_refused_at_startup(unversioned: Chain) -> None:
    """Startup changes no schema on a guess: it refuses, names the command, and leaves the file as it was."""
    content = unversioned.path.read_bytes()
    url = unversioned.address.url.render_as_string(hide_password=False)
    async with DatabaseManager(Settings.from_env(database_url=url)) as database:
        with pytest.raises(UnversionedDatabaseError, match="tbcv migrate adopt"):
            await database.initialize_database()
    assert unversioned.path.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("ALTER TABLE metrics ADD COLUMN unit VARCHAR(10)", "column metrics.unit would have to be dropped"),
        ("ALTER TABLE workflows RENAME COLUMN type TO kind", "column workflows.kind would have to be dropped"),
    ],
)
async def test_a_loss_is_refused(forgotten: Chain, scratch: ScratchDatabases, change: str, why: str) -> None:
    """A column that no revision has would have to be dropped: the adoption is refused and nothing changes."""
    await forgotten.execute(change)
    before = (await forgotten.runner.snapshot(), exact(await forgotten.everything()))
    adoption = await plan(forgotten, scratch)
    assert why in adoption.refusals
    with pytest.raises(AdoptionError, match="would have to be dropped"):
        await forgotten.runner.adopt(adoption)
    assert (await forgotten.runner.snapshot(), exact(await forgotten.everything())) == before


async def test_a_schema_nearby_is_reconciled(forgotten: Chain, scratch: ScratchDatabases) -> None:
    """Indexes too many and too few, a missing column and a missing table are put right, rows untouched."""
    for statement in (
        "CREATE INDEX mine ON metrics (value)",
        "DROP INDEX ix_metrics_name",
        "ALTER TABLE checkpoints DROP COLUMN validation_hash",
        "DELETE FROM cache_entries",
        "DROP TABLE cache_entries",
    ):
        await forgotten.execute(statement)
    before = {table: await forgotten.rows(table) for table in TABLES if table not in ("cache_entries", "checkpoints")}
    adoption = await plan(forgotten, scratch)
    assert (adoption.revision, adoption.refusals) == ("001", ())
    await forgotten.runner.adopt(adoption)
    assert {table: exact(await forgotten.rows(table)) for table in before} == {
        table: exact(rows) for table, rows in before.items()
    }
    assert len(await forgotten.rows("checkpoints")) == 30
    assert (await plan_again(forgotten, scratch)).equals == ("001",)


async def plan_again(chain: Chain, scratch: ScratchDatabases) -> Adoption:
    """Compare an adopted database with the revisions once more."""
    return await plan(chain, scratch)


async def test_enumerations_of_postgresql_become_text(
    postgres_chain: Chain, scratch: ScratchDatabases, tmp_path: Path
) -> None:
    """TBCV 2.0 made native enumerations on PostgreSQL: their labels become the text that 001 has."""
    load(STAMPED, tmp_path / "stamped.db")
    await postgres_chain.at("001")
    await carry(Chain(f"sqlite:///{tmp_path}/stamped.db"), postgres_chain)
    before = exact(await postgres_chain.everything())
    for statement in (
        "DROP TABLE alembic_version",
        "CREATE TYPE workflowstate AS ENUM ('PENDING', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'CANCELLED')",
        "ALTER TABLE workflows ALTER COLUMN state TYPE workflowstate USING state::workflowstate",
    ):
        await postgres_chain.execute(statement)
    adoption = await plan(postgres_chain, scratch)
    assert (adoption.revision, adoption.refusals) == ("001", ())
    await postgres_chain.runner.adopt(adoption)
    assert exact(await postgres_chain.everything()) == before


async def test_the_script_does_what_the_adoption_does(unversioned: Chain, scratch: ScratchDatabases) -> None:
    """The SQL of an adoption, run by a bare client, leaves the database at the revision with every row."""
    before = await unversioned.everything()
    script = adoption_script(await plan(unversioned, scratch), "sqlite")
    with closing(sqlite3.connect(unversioned.path)) as connection:
        connection.executescript(script)
    assert (await unversioned.runner.status()).current == ("001",)
    assert exact(await unversioned.everything()) == exact(before)
    assert not (await plan_again(unversioned, scratch)).difference
