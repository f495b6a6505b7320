"""The databases that TBCV 2.0 left go to head, back to 001 and to head again with every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.errors import UnversionedDatabaseError
from tbcv.migrate.status import State
from tests.migrations.chain import TABLES, Chain, exact
from tests.migrations.dumps import STAMPED, UNVERSIONED, at_head, carry, load, normalised
from tests.migrations.schema import schema

pytestmark = pytest.mark.anyio

UNMANAGED = ("validation_records",)


@pytest.fixture
def stamped(tmp_path: Path) -> Chain:
    """Return a SQLite file of TBCV 2.0 at its revision 001."""
    load(STAMPED, tmp_path / "stamped.db")
    return Chain(f"sqlite:///{tmp_path}/stamped.db")


@pytest.fixture
def unversioned(tmp_path: Path) -> Chain:
    """Return a SQLite file of TBCV 2.0 without a revision."""
    load(UNVERSIONED, tmp_path / "unversioned.db")
    return Chain(f"sqlite:///{tmp_path}/unversioned.db")


@pytest.fixture
async def legacy(chain: Chain, stamped: Chain) -> Chain:
    """Return the stamped database on each engine; on PostgreSQL its rows were carried over."""
    if chain.sqlite:
        return stamped
    await chain.up("001")
    await carry(stamped, chain)
    return chain


async def test_every_row_reaches_head(legacy: Chain, stamped: Chain) -> None:
    """Every row of every table arrives at head with its values, statuses in lower case and versions numbered."""
    before = await stamped.everything()
    assert {table: len(rows) for table, rows in before.items()} == {
        "workflows": 40,
        "checkpoints": 30,
        "validation_results": 120,
        "recommendations": 200,
        "audit_logs": 290,
        "cache_entries": 60,
        "metrics": 300,
    }
    await legacy.up()
    assert normalised(await legacy.everything()) == normalised(at_head(before))


async def test_downgrade_gives_the_rows_of_2_0_again(legacy: Chain) -> None:
    """Back at 001 every value is what it was; on PostgreSQL a document may be spelled differently."""
    before = await legacy.everything()
    await legacy.up()
    await legacy.down("001")
    after = await legacy.everything()
    assert normalised(after) == normalised(before)
    if legacy.sqlite:
        assert exact(after) == exact(before)


async def test_second_upgrade_changes_nothing_more(legacy: Chain) -> None:
    """The way down and up again leads to the same rows, value for value."""
    await legacy.up()
    first = await legacy.everything()
    await legacy.down("001")
    await legacy.up()
    assert exact(await legacy.everything()) == exact(first)


async def test_unmanaged_table_is_left_alone(stamped: Chain) -> None:
    """A table of somebody else's keeps its schema, up and down."""
    before = await schema(stamped, UNMANAGED)
    await stamped.up()
    assert await schema(stamped, UNMANAGED) == before
    await stamped.down("base")
    assert await schema(stamped, UNMANAGED) == before


async def test_status_completed_becomes_pass(legacy: Chain) -> None:
    """The status COMPLETED of older installations becomes pass, is recorded, and comes back on the way down."""
    await legacy.execute("UPDATE validation_results SET status = 'COMPLETED' WHERE status = 'PASS'")
    before = await legacy.everything()
    completed = {key for key, row in before["validation_results"].items() if row["status"] == "COMPLETED"}
    assert completed
    await legacy.up()
    after = await legacy.everything()
    records = {row["id"] for row in await legacy.records("006")}
    assert len(records) == len(completed)
    after["audit_logs"] = {key: row for key, row in after["audit_logs"].items() if key not in records}
    assert normalised(after) == normalised(at_head(before))
    await legacy.down("001")
    assert normalised(await legacy.everything()) == normalised(before)


async def test_unversioned_database_is_refused(unversioned: Chain) -> None:
    """Without a revision the database is left as it is, and the message says what to run."""
    before = await unversioned.everything()
    assert (await unversioned.runner.status()).state is State.UNVERSIONED
    with pytest.raises(UnversionedDatabaseError) as caught:
        await unversioned.up()
    assert "7 tables" in caught.value.message
    assert "tbcv migrate" in caught.value.hint
    assert exact(await unversioned.everything()) == exact(before)
    assert await unversioned.fetch("SELECT name FROM sqlite_schema WHERE name LIKE '%alembic%'") == []


async def test_empty_version_table_counts_as_unversioned(unversioned: Chain) -> None:
    """The half-made databases of TBCV 2.0, whose version table is empty, are refused as well."""
    await unversioned.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    with pytest.raises(UnversionedDatabaseError, match="tbcv migrate"):
        await unversioned.up()
    assert all([await unversioned.rows(table) for table in TABLES])
