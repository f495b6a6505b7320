"""A migration on PostgreSQL while the database is in use: traffic goes on, and the migration gets its turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.faults.commands import Done, plain, until
from tests.faults.figures import Figures, Stalls
from tests.faults.synthetic import Synthetic, wait

pytestmark = pytest.mark.postgresql

TABLE = "op.execute('CREATE TABLE events (id bigserial PRIMARY KEY, body text)')"
COLUMN = "op.add_column('events', sa.Column('kind', sa.String(20)))"
OTHER = "op.execute('CREATE TABLE others (id bigserial PRIMARY KEY)')"
COMMITS = "DO $$ BEGIN FOR n IN 1..3 LOOP INSERT INTO events (body) VALUES ('x'); COMMIT; END LOOP; END $$"
# Of the writers: little more than the second for which a statement of a migration waits.
PATIENCE = "1400ms"
SECRET = "SELECT count(*), 'a secret' FROM events"


def test_behind_an_idle_transaction(on_postgresql: Synthetic, figures: Figures) -> None:
    """A migration that waits behind an idle transaction holds writers up for a second at a time, and succeeds."""
    on_postgresql.write("a1", TABLE)
    on_postgresql.run("upgrade")
    on_postgresql.write("a2", COLUMN)
    done, stalls = asyncio.run(_under_load(on_postgresql, lambda release: _after(5, release)))
    assert done.code == 0, done
    assert on_postgresql.recorded == ["a2"]
    warnings = [line for line in done.err.splitlines() if "was rolled back after a lock timeout" in line]
    assert warnings
    assert "(reporting, 127.0.0.1, idle in transaction) for " in warnings[-1]
    assert "secret" not in done.err
    figures.note(
        "writers while a migration waits 5 s for a lock",
        f"longest stall {stalls.longest:.2f} s over {stalls.beats} writes; {len(warnings)} retries",
    )


def test_a_blocker_that_stays(on_postgresql: Synthetic, figures: Figures) -> None:
    """When the idle transaction stays, the migration gives up with exit 3, names it, and has changed nothing."""
    on_postgresql.write("a1", TABLE)
    on_postgresql.run("upgrade")
    on_postgresql.write("a2", COLUMN)
    done, stalls = asyncio.run(_under_load(on_postgresql, None, TBCV_DDL_LOCK_ATTEMPTS="3"))
    assert done.code == 3, done
    assert "a lock timeout in each of 3 attempts, held by server process " in done.line
    assert "(reporting, 127.0.0.1, idle in transaction)" in done.line
    assert "secret" not in done.err
    assert on_postgresql.recorded == ["a1"]
    figures.note(
        "writers while a migration gives up", f"longest stall {stalls.longest:.2f} s over {stalls.beats} writes"
    )


def test_an_autocommit_block_behind_an_idle_transaction(on_postgresql: Synthetic, figures: Figures) -> None:
    """A statement of an autocommit block waits a second at a time as well; those before it are not done again."""
    on_postgresql.write("a1", TABLE)
    on_postgresql.run("upgrade")
    on_postgresql.write("a2", f"with op.get_context().autocommit_block():\n    {OTHER}\n    {COLUMN}")
    done, stalls = asyncio.run(_under_load(on_postgresql, lambda release: _after(5, release)))
    assert done.code == 0, done
    assert on_postgresql.recorded == ["a2"]
    said = "a statement of an autocommit block was rolled back after a lock timeout, held by server process "
    warnings = [line for line in done.err.splitlines() if said in line]
    assert warnings
    assert "(reporting, 127.0.0.1, idle in transaction) for " in warnings[-1]
    figures.note(
        "writers while an autocommit block waits 5 s for a lock",
        f"longest stall {stalls.longest:.2f} s over {stalls.beats} writes; {len(warnings)} retries",
    )


def test_a_blocker_of_an_autocommit_block_that_stays(on_postgresql: Synthetic) -> None:
    """When it stays, the migration gives up with exit 3 and names it, and can begin again."""
    on_postgresql.write("a1", TABLE)
    on_postgresql.run("upgrade")
    on_postgresql.write("a2", f"with op.get_context().autocommit_block():\n    {COLUMN}")
    done, _ = asyncio.run(_under_load(on_postgresql, None, TBCV_DDL_LOCK_ATTEMPTS="2"))
    assert done.code == 3, done
    assert "a lock timeout in each of 2 attempts at a statement of its autocommit block, held by server" in done.line
    assert "(reporting, 127.0.0.1, idle in transaction)" in done.line
    assert on_postgresql.recorded == ["a1"]
    on_postgresql.run("upgrade")
    assert on_postgresql.recorded == ["a2"]


def test_what_runs_in_no_transaction(on_postgresql: Synthetic) -> None:
    """An autocommit block executes what PostgreSQL refuses in a transaction, also where the transaction is hidden."""
    on_postgresql.write("a1", TABLE)
    on_postgresql.write(
        "a2",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('VACUUM (ANALYZE) events')\n"
        "    op.execute('CREATE INDEX CONCURRENTLY by_body ON events (body)')\n"
        f"    op.execute({COMMITS!r})\n"
        "    op.bulk_insert(sa.table('events', sa.column('body')), [{'body': 'y'}, {'body': 'z'}], multiinsert=False)\n"
        "    op.get_bind().execute(sa.text('DELETE FROM events WHERE body = :body'), {'body': 'z'})",
    )
    on_postgresql.run("upgrade")
    assert on_postgresql.recorded == ["a2"]
    assert on_postgresql.scalar("SELECT count(*) FROM events") == 4
    assert on_postgresql.scalar("SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass AND indisvalid") == 2


def test_a_quick_revision_before_a_slow_one(on_postgresql: Synthetic, tmp_path: Path, figures: Figures) -> None:
    """The lock of a quick ADD COLUMN goes with its revision, not with the slow revision after it."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    on_postgresql.write("a1", TABLE)
    on_postgresql.run("upgrade")
    on_postgresql.write("a2", COLUMN)
    on_postgresql.write("a3", wait(ready, go))

    async def slowly(release: Callable[[], Awaitable[None]]) -> None:
        await release()
        await asyncio.to_thread(until, ready.exists, 30)
        await asyncio.sleep(3)
        go.touch()

    done, stalls = asyncio.run(_under_load(on_postgresql, slowly))
    assert done.code == 0, done
    figures.note("writers during a slow revision after ADD COLUMN", f"longest stall {stalls.longest:.2f} s")


def test_an_index_is_built_while_replicas_wait(on_postgresql: Synthetic, tmp_path: Path, figures: Figures) -> None:
    """CREATE INDEX CONCURRENTLY finishes while other replicas wait for the migration lock, and they exit 0."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    on_postgresql.write(
        "a1", TABLE + "\nop.execute(\"INSERT INTO events (body) SELECT 'x' || n FROM generate_series(1, 20000) n\")"
    )
    on_postgresql.write("a2", wait(ready, go))
    on_postgresql.write(
        "a3",
        "with op.get_context().autocommit_block():\n"
        "    for n in range(10):\n        op.execute(f'CREATE INDEX CONCURRENTLY events_{n} ON events (body)')",
    )
    replicas = [on_postgresql.start("upgrade") for _ in range(4)]
    until(ready.exists, 30)
    since = time.monotonic()
    go.touch()
    assert [replica.finish().code for replica in replicas] == [0] * 4
    seconds = time.monotonic() - since
    assert seconds < 30
    assert (
        on_postgresql.scalar("SELECT count(*) FROM pg_index WHERE indrelid = 'events'::regclass AND indisvalid") == 11
    )
    figures.note("10 x CREATE INDEX CONCURRENTLY with 3 replicas waiting", f"done after {seconds:.1f} s, 4 of 4 exit 0")


async def _after(seconds: float, release: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await release()


async def _under_load(
    synthetic: Synthetic,
    script: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]] | None,
    **environ: str,
) -> tuple[Done, Stalls]:
    """Run an upgrade while writers write and somebody reads in a transaction that does not end by itself."""
    url = plain(synthetic.url)
    stalls = [Stalls() for _ in range(4)]
    async with _connected(url) as reader:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch(SECRET)
        writers = [asyncio.create_task(_write(url, one)) for one in stalls]
        process = synthetic.start("upgrade", **environ)
        scripted = asyncio.ensure_future(script(transaction.rollback) if script else asyncio.sleep(0))
        done = await asyncio.to_thread(process.finish)
        await scripted
        if script is None:
            await transaction.rollback()
        await asyncio.sleep(0.2)
        for writer in writers:
            writer.cancel()
        ends = await asyncio.gather(*writers, return_exceptions=True)
        # The server itself would have ended one that waited for longer.
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
    worst = max(stalls, key=lambda one: one.longest)
    worst.beats = sum(one.beats for one in stalls)
    return done, worst


async def _write(url: str, stalls: Stalls) -> None:
    async with _connected(url) as connection:
        await connection.execute(f"SET lock_timeout = '{PATIENCE}'")
        while True:
            await connection.execute("INSERT INTO events (body) VALUES ('written')")
            stalls.beat()
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(url, server_settings={"application_name": "reporting"})
    try:
        yield connection
    finally:
        await connection.close()
