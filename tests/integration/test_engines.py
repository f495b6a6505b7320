"""What the engines promise of their connections."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url

pytestmark = pytest.mark.anyio


async def test_a_closed_connection_holds_no_lock(sqlite_url: str) -> None:
    """Not even while somebody keeps a query whose rows were never fetched."""
    engine = migration_engine(parse_database_url(sqlite_url), busy_timeout_seconds=0)
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        unfinished = await raw.execute("SELECT 1 UNION ALL SELECT 2")
        await raw.close()
        await connection.invalidate()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
    del unfinished
