"""However many start at once, each revision is applied once and everybody succeeds."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import read_environment
from tbcv.migrate.runner import MigrationRunner
from tests.faults.commands import Done, Forge, until
from tests.faults.figures import Figures
from tests.faults.places import CHAIN, place
from tests.faults.synthetic import Synthetic, wait

REVISIONS = ("a1", "a2", "a3", "a4")


@pytest.fixture
def counting(synthetic: Synthetic) -> Synthetic:
    """Return a history in which a revision that is applied twice can be told from the rows."""
    note = "op.execute(\"INSERT INTO notes (revision) VALUES ('{0}')\")\nop.execute('UPDATE counts SET n = n + 1')"
    synthetic.write(
        "a1",
        "op.create_table('counts', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer))\n"
        "op.create_table('notes', sa.Column('revision', sa.String(10)))\n"
        "op.execute('INSERT INTO counts VALUES (1, 0)')\n" + note.format("a1"),
    )
    synthetic.write("a2", note.format("a2"))
    synthetic.write(
        "a3",
        "with op.batch_alter_table('counts') as batch:\n    batch.alter_column('n', nullable=False)\n"
        + note.format("a3"),
    )
    synthetic.write("a4", note.format("a4"))
    return synthetic


@pytest.mark.parametrize(
    ("start", "many", "pause"),
    [("base", 10, 0.0), ("a2", 10, 0.0), ("a3", 10, 0.0), ("base", 10, 0.03), ("a1", 30, 0.0)],
    ids=["fresh", "midway", "only data", "staggered", "thirty"],
)
def test_processes(counting: Synthetic, figures: Figures, start: str, many: int, pause: float) -> None:
    """All of ten or thirty simultaneous processes exit 0, and each revision is applied once."""
    if start != "base":
        counting.run("upgrade", "-r", start)
    started = []
    for _ in range(many):
        started.append(counting.start("upgrade"))
        time.sleep(pause)
    ended = [process.finish() for process in started]
    assert [done.code for done in ended] == [0] * many, [done for done in ended if done.code]
    _applied_once(counting)
    engine = counting.chain.address.dialect
    slowest = max(done.seconds for done in ended)
    figures.note(
        f"{many} simultaneous upgrades, {engine}, from {start}, {pause * 1000:.0f} ms apart",
        f"{many} of {many} exit 0, each revision once; the last after {slowest:.1f} s",
    )


def test_interpreters(forge: Forge, database_url: str, figures: Figures) -> None:
    """All simultaneous `python -m tbcv migrate upgrade` on an empty database exit 0."""
    # Each takes seconds to import; the many are above.
    many = 10 if os.environ.get("TBCV_FAULTS") == "all" else 3
    started = [forge.fresh("migrate", "upgrade", environ={"DATABASE_URL": database_url}) for _ in range(many)]
    ended = [process.finish() for process in started]
    assert [done.code for done in ended] == [0] * many, [done for done in ended if done.code]
    assert sorted(_applied(done) for done in ended) == [0] * (many - 1) + [11]
    assert place(database_url).revision == CHAIN[-1]
    figures.note(
        f"{many} simultaneous `python -m tbcv migrate upgrade`, {parse_database_url(database_url).dialect}",
        f"{many} of {many} exit 0, one of them applied all 11 revisions",
    )


def test_threads(counting: Synthetic) -> None:
    """Ten threads of one process, each with its own event loop, all succeed, and each revision is applied once."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_runner(counting).upgrade())
        except BaseException as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    _applied_once(counting)


def test_tasks(counting: Synthetic) -> None:
    """Ten tasks of one event loop all succeed, and each revision is applied once."""

    async def work() -> list[int]:
        outcomes = await asyncio.gather(*(_runner(counting).upgrade() for _ in range(10)))
        return [len(outcome.applied) for outcome in outcomes]

    assert sorted(asyncio.run(work())) == [0] * 9 + [4]
    _applied_once(counting)


def test_a_waiter_gives_up(synthetic: Synthetic, tmp_path: Path) -> None:
    """Who waits longer than allowed exits 3 and says for how long and for whom; the holder finishes undisturbed."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    synthetic.write("a1", "op.create_table('t', sa.Column('id', sa.Integer))" + wait(ready, go))
    holder = synthetic.start("upgrade")
    until(ready.exists, 30)
    waiter = synthetic.run("upgrade", code=3, TBCV_LOCK_TIMEOUT_SECONDS="0.5")
    assert waiter.seconds < 5
    assert "waited 0." in waiter.line
    if synthetic.sqlite:
        assert f"held by process {holder.pid} on " in waiter.line
    else:
        assert "held by server process " in waiter.line
        assert "(tbcv, 127.0.0.1, " in waiter.line
    go.touch()
    assert holder.finish().code == 0
    assert synthetic.recorded == ["a1"]


def _runner(synthetic: Synthetic) -> MigrationRunner:
    return MigrationRunner(parse_database_url(synthetic.url), read_environment(synthetic.ini), lock_timeout_seconds=60)


def _applied(done: Done) -> int:
    return sum(line.lstrip().startswith("✓") for line in done.err.splitlines())


def _applied_once(synthetic: Synthetic) -> None:
    assert synthetic.recorded == ["a4"]
    assert sorted(row["revision"] for row in synthetic.fetch("SELECT revision FROM notes")) == list(REVISIONS)
    assert synthetic.scalar("SELECT n FROM counts") == len(REVISIONS)
