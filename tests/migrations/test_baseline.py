"""The two ends of the chain: the schema of TBCV 2.0 at 001, that of the models at head, and nothing at base."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tbcv.core.database import Base
from tbcv.engine.engines import migration_engine
from tests.migrations.chain import TABLES, Chain
from tests.migrations.dumps import STAMPED, load
from tests.migrations.schema import objects, schema

pytestmark = pytest.mark.anyio

VERSION_TABLE = {
    "alembic_version",
    "_alembic_version",
    "alembic_version_pkc",
    "sqlite_autoindex_alembic_version_1",
}
"""The version table of Alembic and what the engines make for it."""


@pytest.fixture
def legacy(tmp_path: Path) -> Chain:
    """Return a database that TBCV 2.0 wrote and stamped with 001."""
    load(STAMPED, tmp_path / "legacy.db")
    return Chain(f"sqlite:///{tmp_path}/legacy.db")


async def test_001_is_the_schema_of_2_0(sqlite_chain: Chain, legacy: Chain) -> None:
    """At 001 the seven tables are, to the last index, those that TBCV 2.0 created."""
    await sqlite_chain.up("001")
    assert await schema(sqlite_chain) == await schema(legacy)


async def test_columns_of_001_stand_in_the_order_of_2_0(sqlite_chain: Chain, legacy: Chain) -> None:
    """A row of a dump, which names no columns, fits the tables of 001."""
    await sqlite_chain.up("001")
    for table in TABLES:
        query = f"SELECT cid, name FROM pragma_table_xinfo('{table}') ORDER BY cid"
        assert await sqlite_chain.fetch(query) == await legacy.fetch(query)


async def test_downgrade_restores_the_schema_of_2_0(legacy: Chain) -> None:
    """A database of TBCV 2.0 that goes to head and back to 001 has its own schema again."""
    before = await schema(legacy)
    await legacy.up()
    assert await schema(legacy) != before
    await legacy.down("001")
    assert await schema(legacy) == before


async def test_every_downgrade_restores_the_schema_before(chain: Chain) -> None:
    """Each revision's downgrade leaves exactly the schema that its upgrade found, in the words of the catalog."""
    ids = [revision.id for revision in chain.runner.history().ordered()]
    await chain.up("001")
    for below, revision in pairwise(ids):
        before = await schema(chain)
        await chain.up(revision)
        above = await schema(chain)
        await chain.down(below)
        assert await schema(chain) == before, f"downgrade of {revision}"
        await chain.up(revision)
        assert await schema(chain) == above, f"second upgrade to {revision}"
    await chain.down("001")
    fresh = await schema(chain)
    await chain.down("base")
    await chain.up("001")
    assert await schema(chain) == fresh


async def test_head_is_the_schema_of_the_models(chain: Chain) -> None:
    """The chain ends at what the models create, names, CHECK texts, defaults and actions included."""
    engine = migration_engine(chain.address)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    created, names = await schema(chain), await objects(chain)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await chain.up()
    assert await schema(chain) == created
    assert await objects(chain) - VERSION_TABLE == names


async def test_base_leaves_only_the_version_table(chain: Chain) -> None:
    """Below 001 nothing of tbcv is left, and the version table is empty."""
    await chain.up()
    await chain.down("base")
    assert await objects(chain) <= VERSION_TABLE
    assert await chain.fetch("SELECT * FROM alembic_version") == []
