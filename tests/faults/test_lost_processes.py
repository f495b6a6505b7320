"""A holder of the migration lock that dies, and servers that end sessions: somebody else goes on without help."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tbcv.migrate.lock import LOCK_KEY
from tests.faults.commands import ask, until
from tests.faults.figures import Figures
from tests.faults.synthetic import Synthetic, wait

TABLE = "op.create_table({0!r}, sa.Column('id', sa.Integer, primary_key=True))\n"
HOLDER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    f"AND (classid::bigint << 32 | objid::bigint) = {LOCK_KEY} "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def stopped(synthetic: Synthetic, tmp_path: Path) -> tuple[Synthetic, Path, Path]:
    """Return a history whose second revision stops half-way until a file exists."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    synthetic.write("a1", TABLE.format("one"))
    synthetic.write("a2", TABLE.format("two") + wait(ready, go) + TABLE.format("more"))
    synthetic.write("a3", TABLE.format("three"))
    return synthetic, ready, go


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_takeover(stopped: tuple[Synthetic, Path, Path], figures: Figures, number: signal.Signals) -> None:
    """When the holder of the lock is killed, a waiter takes over within 5 s and finishes what the holder began."""
    synthetic, ready, go = stopped
    holder = synthetic.start("upgrade")
    until(ready.exists, 30)
    waiter = synthetic.start("upgrade")
    time.sleep(1)
    since = time.monotonic()
    holder.kill(number)
    go.touch()
    assert waiter.finish().code == 0
    seconds = time.monotonic() - since
    assert seconds < 5
    ended = holder.finish()
    if number is signal.SIGKILL:
        assert ended.code == -signal.SIGKILL
    else:
        assert ended.code == 128 + number
        assert ended.line == f"tbcv: ended by {number.name}"
        assert "interrupted: revision a2 was rolled back; the database is at a1" in ended.err
    assert (synthetic.recorded, synthetic.tables()) == (["a3"], {"one", "two", "more", "three"})
    engine = synthetic.chain.address.dialect
    figures.note(f"holder of the lock gets {number.name}, {engine}", f"a waiter was done {seconds:.1f} s later")


@pytest.mark.postgresql
def test_the_dead_clients_session_works_on(on_postgresql: Synthetic, figures: Figures) -> None:
    """A client killed during a long statement leaves a session that the server ends; the next upgrade waits for it."""
    on_postgresql.write("a1", TABLE.format("one"))
    on_postgresql.write("a2", TABLE.format("two") + "op.execute('SELECT pg_sleep(60)')")
    holder = on_postgresql.start("upgrade")
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    until(lambda: bool(ask(on_postgresql.url, sleeping)), 30)
    holder.kill()
    on_postgresql.write("a2", TABLE.format("two"))
    since = time.monotonic()
    on_postgresql.run("upgrade")
    seconds = time.monotonic() - since
    assert seconds < 10
    assert ask(on_postgresql.url, sleeping) == []
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a2"], {"one", "two"})
    figures.note("client killed in a statement of 60 s, postgresql", f"the next upgrade was done {seconds:.1f} s later")


@pytest.mark.postgresql
def test_the_lock_is_lost(on_postgresql: Synthetic, tmp_path: Path) -> None:
    """When the server ends the session of the lock, the migration stops before its next statement."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    on_postgresql.write("a1", TABLE.format("one"))
    on_postgresql.write("a2", TABLE.format("two") + wait(ready, go) + TABLE.format("more"))
    process = on_postgresql.start("upgrade")
    until(ready.exists, 30)
    (holder,) = ask(on_postgresql.url, HOLDER)
    ask(on_postgresql.url, "SELECT pg_terminate_backend($1)", holder["pid"])
    go.touch()
    done = process.finish()
    assert done.code == 3, done
    assert "the connection that holds the migration lock was closed by the server" in done.line
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a1"], {"one"})
    on_postgresql.run("upgrade")
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a2"], {"one", "two", "more"})


@pytest.mark.postgresql
def test_the_migrating_session_is_terminated(on_postgresql: Synthetic) -> None:
    """When the server ends the migrating session, its revision is rolled back and the command says so."""
    on_postgresql.write("a1", TABLE.format("one"))
    on_postgresql.write("a2", TABLE.format("two") + "op.execute('SELECT pg_sleep(30)')")
    process = on_postgresql.start("upgrade")
    sleeping = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    until(lambda: bool(ask(on_postgresql.url, sleeping)), 30)
    ask(on_postgresql.url, f"SELECT pg_terminate_backend(pid) FROM ({sleeping}) AS s")
    done = process.finish()
    assert done.code == 3, done
    assert "revision a2 (Revision a2.) failed and was rolled back" in done.line
    assert "applied before it: a1" in done.line
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a1"], {"one"})
    on_postgresql.write("a2", TABLE.format("two"))
    on_postgresql.run("upgrade")
    assert on_postgresql.recorded == ["a2"]
