"""Backfills in batches: interrupted at any batch they go on where they were, and nobody's rows are lost."""

from __future__ import annotations

import pytest

from tests.faults.figures import Figures
from tests.faults.synthetic import Synthetic

ROWS = 9950
FILL = """
from tbcv.migrate.backfill import backfill

backfill("t", {"name": sa.text("'name ' || id")}, where="name IS NULL", rows=100, pause_seconds=0)
"""
MAKE = """
op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9950)"
op.execute(f"INSERT INTO t (id) {numbers} SELECT i FROM n")
"""


@pytest.fixture
def made(synthetic: Synthetic) -> Synthetic:
    """Return a database with a table to fill, and the revision that fills it pending."""
    synthetic.write("001", MAKE, "op.drop_table('t')")
    synthetic.run("upgrade")
    synthetic.write("002", FILL)
    return synthetic


def filled(synthetic: Synthetic) -> int:
    """Count the rows that have got their value."""
    number: int = synthetic.scalar("SELECT count(*) AS n FROM t WHERE name = 'name ' || id")
    return number


def test_every_row_is_filled(made: Synthetic) -> None:
    """Rows that have a value keep it, and the revision is recorded."""
    made.execute("UPDATE t SET name = 'own' WHERE id = 7")
    made.run("upgrade")
    assert filled(made) == ROWS - 1
    assert made.scalar("SELECT name FROM t WHERE id = 7") == "own"
    assert made.recorded == ["002"]


def test_killed_between_batches(made: Synthetic, figures: Figures) -> None:
    """What was committed stays, nothing is recorded, and each start goes on where the last one stopped."""
    states = [0]
    for kill_at in range(1, 13):
        assert made.forge.start(*made.words("upgrade"), kill_at=kill_at).finish().code == -9
        states.append(filled(made))
        assert made.recorded == ["001"]
    assert states == sorted(states)
    assert states[-1] > states[len(states) // 2]
    assert {one % 100 for one in states} == {0}
    made.run("upgrade")
    assert filled(made) == ROWS
    assert made.recorded == ["002"]
    figures.note("backfill killed at boundaries 1 to 12, one after the other", f"rows filled {states}, then {ROWS}")


def test_a_composite_key(synthetic: Synthetic) -> None:
    """A key of several columns is walked along in its order."""
    synthetic.write(
        "001",
        """
        op.execute("CREATE TABLE t (a INTEGER, b TEXT, n INTEGER, PRIMARY KEY (a, b))")
        for a in range(20):
            for b in "xyz":
                op.execute(f"INSERT INTO t (a, b) VALUES ({a}, '{b}')")
        """,
        "op.drop_table('t')",
    )
    synthetic.run("upgrade")
    synthetic.write(
        "002",
        FILL.replace("""{"name": sa.text("'name ' || id")}""", '{"n": 1}')
        .replace("name IS", "n IS")
        .replace("100", "7"),
    )
    synthetic.run("upgrade")
    assert synthetic.scalar("SELECT sum(n) AS n FROM t") == 60


def test_without_a_key(synthetic: Synthetic) -> None:
    """A table without a primary key is refused in a line."""
    synthetic.write("001", "op.execute('CREATE TABLE t (id INTEGER, name TEXT)')", "op.drop_table('t')")
    synthetic.write("002", FILL)
    assert "no primary key" in synthetic.run("upgrade", code=3).line


def test_offline(on_postgresql: Synthetic) -> None:
    """As SQL it is one statement."""
    on_postgresql.write("001", MAKE, "op.drop_table('t')")
    on_postgresql.write("002", FILL)
    script = on_postgresql.run("upgrade", "--sql").out
    assert "UPDATE t SET name='name ' || id WHERE (name IS NULL)" in script
