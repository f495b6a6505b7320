"""What the engines promise of their connections."""

from __future__ import annotations

import asyncio
import gc

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.engine.engines import migration_engine, reading_engine
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import parse_database_url
from tbcv.errors import DatabaseUnavailableError
from tbcv.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_closed_connection_holds_no_lock(sqlite_url: str, interrupted: bool) -> None:
    """Not even while somebody keeps a query whose rows were never fetched, nor where a cancellation has stopped it."""
    engine = migration_engine(parse_database_url(sqlite_url), busy_timeout_seconds=0)
    async with engine.connect() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        unfinished = await raw.execute("SELECT 1 UNION ALL SELECT 2")
        if interrupted:
            await raw.interrupt()
        await raw.close()
        await connection.invalidate()
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE t (a INTEGER)"))
    del unfinished


async def test_a_connection_can_be_cancelled_at_any_moment_of_its_making(postgres_url: str) -> None:
    """Nothing is left behind that the loop would complain of, and no session on the server."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    engine = reading_engine(parse_database_url(postgres_url))
    for turns in range(30):
        connecting = asyncio.ensure_future(_connect_and_close(engine))
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled() or turns > 10
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
    async with engine.connect() as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with anyio.fail_after(10):
            while await connection.scalar(text(others)):
                await connection.rollback()
                await asyncio.sleep(0.01)


async def _connect_and_close(engine: AsyncEngine) -> None:
    async with engine.connect():
        pass


@pytest.mark.parametrize("pause", [0, 0.0005])
async def test_a_connection_that_is_cancelled_twice_is_closed(sqlite_url: str, pause: float) -> None:
    """The second cancellation strikes while the first is closing it: nothing waits for ever, and no lock stays."""
    engine = migration_engine(parse_database_url(sqlite_url), busy_timeout_seconds=0)
    ours = asyncio.all_tasks()
    for turns in range(40):
        working = asyncio.ensure_future(_write(engine))
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(3):
            working.cancel()
            await asyncio.sleep(pause)
        await asyncio.wait([working])
        with anyio.fail_after(10):
            await asyncio.gather(*(asyncio.all_tasks() - ours), return_exceptions=True)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS t (a INTEGER)"))


async def _write(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        for _ in range(5):
            await connection.execute(text("CREATE TABLE IF NOT EXISTS t (a INTEGER)"))


async def test_scratch_server_out_of_reach() -> None:
    """A server for scratch databases that does not answer is named in a line."""
    settings = Settings.from_env(scratch_database_url="postgresql://nobody@127.0.0.1:1/nothing")
    async with ScratchDatabases(settings) as scratch:
        with pytest.raises(DatabaseUnavailableError, match=r"127\.0\.0\.1:1"):
            async with scratch.database("postgresql"):
                pass
