"""A table that batch mode builds anew on SQLite keeps its rows, its children and what hangs on it, or is left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.faults.figures import Figures
from tests.faults.synthetic import Synthetic

CHILDREN = 3_000
BATCH = "with op.batch_alter_table('items') as batch:\n    batch.alter_column('n', nullable=False)\n"
PLAIN = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, n INTEGER)"


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT"])
def test_children_stay(synthetic: Synthetic, figures: Figures, action: str) -> None:
    """A rebuilt parent keeps its 3,000 children and each of their links, itself among its children."""
    synthetic.write(
        "a1",
        "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer),\n"
        f"    sa.Column('up', sa.Integer, sa.ForeignKey('items.id', name='fk_up', ondelete={action!r})))\n"
        "op.create_table('children', sa.Column('id', sa.Integer, primary_key=True), sa.Column('item',\n"
        f"    sa.Integer, sa.ForeignKey('items.id', name='fk_item', ondelete={action!r})))\n"
        "op.execute('INSERT INTO items VALUES (1, 1, NULL), (2, 2, 1), (3, 3, 2)')\n"
        "op.execute('WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c "
        f"WHERE x < {CHILDREN}) INSERT INTO children SELECT x, x % 3 + 1 FROM c')",
    )
    synthetic.write("a2", BATCH, BATCH.replace("False", "True"))
    for arguments in (("upgrade",), ("downgrade", "-r", "a1", "--yes"), ("upgrade",)):
        if arguments[0] == "downgrade" and not synthetic.sqlite:
            continue  # its losses would be looked for on a server of its own
        synthetic.run(*arguments)
        assert synthetic.scalar("SELECT count(*) FROM children WHERE item IS NOT NULL") == CHILDREN
        assert [row["up"] for row in synthetic.fetch("SELECT up FROM items ORDER BY id")] == [None, 1, 2]
    if synthetic.sqlite:
        assert {row["table"] for row in synthetic.fetch("PRAGMA foreign_key_list(items)")} == {"items"}
        assert synthetic.fetch("PRAGMA foreign_key_check") == []
    engine = synthetic.chain.address.dialect
    figures.note(f"batch rebuild, {engine}, ON DELETE {action}", f"{CHILDREN} children before, {CHILDREN} after")


def test_dangling_references_are_refused(on_sqlite: Synthetic) -> None:
    """A step that leaves rows which point at nothing is rolled back, and the rows are named."""
    on_sqlite.write(
        "a1",
        "op.create_table('items', sa.Column('id', sa.Integer, primary_key=True), sa.Column('n', sa.Integer))\n"
        "op.create_table('children', sa.Column('id', sa.Integer, primary_key=True),\n"
        "    sa.Column('item', sa.Integer, sa.ForeignKey('items.id')))\n"
        "op.execute('INSERT INTO items VALUES (1, 1), (2, 2)')\n"
        "op.execute('INSERT INTO children VALUES (10, 1), (20, 2), (30, 2)')",
    )
    on_sqlite.write("a2", BATCH + "op.execute('DELETE FROM items WHERE id = 2')")
    line = on_sqlite.run("upgrade", code=3).line
    assert "children(item) -> items in rows 20, 30" in line
    assert on_sqlite.recorded == ["a1"]
    assert on_sqlite.scalar("SELECT count(*) FROM items") == 2


@pytest.mark.parametrize(
    ("table", "more", "what"),
    [
        (PLAIN, "CREATE TRIGGER up AFTER INSERT ON items BEGIN UPDATE items SET n = 1; END", "trigger items.up"),
        (PLAIN.replace("TEXT", "TEXT COLLATE NOCASE"), "", "COLLATE nocase of items.name"),
        (PLAIN.replace("KEY", "KEY AUTOINCREMENT"), "", "AUTOINCREMENT of items"),
        (PLAIN.replace("n INTEGER", "n INTEGER CHECK (n > 0)"), "", "CHECK (n > 0) of items"),
        (PLAIN, "CREATE INDEX lowered ON items (lower(name))", "index items.lowered"),
        (PLAIN, "CREATE INDEX plain ON items (name COLLATE NOCASE)", "index items.plain"),
        (PLAIN, "CREATE INDEX falling ON items (n DESC)", "index items.falling"),
        (PLAIN.replace("TEXT", "TEXT UNIQUE ON CONFLICT REPLACE"), "", "ON CONFLICT replace of items"),
        (
            PLAIN.replace("n INTEGER", "n INTEGER, CONSTRAINT u1 UNIQUE (n, id), CONSTRAINT u2 UNIQUE (n, id)"),
            "",
            "one of u1 and u2 of items, which say the same",
        ),
    ],
    ids=[
        "trigger",
        "collation",
        "autoincrement",
        "check",
        "expression",
        "index collation",
        "order",
        "conflict",
        "twin",
    ],
)
def test_what_would_be_lost_is_refused(
    on_sqlite: Synthetic, figures: Figures, table: str, more: str, what: str
) -> None:
    """What batch mode does not carry along makes the step fail by name, and nothing of the step remains."""
    _start(on_sqlite, table, more)
    before = _schema(on_sqlite)
    line = on_sqlite.run("upgrade", code=3).line
    assert what in line
    assert on_sqlite.recorded == ["a1"]
    assert _schema(on_sqlite) == before
    assert on_sqlite.scalar("SELECT count(*) FROM items") == 2
    on_sqlite.write("a2", BATCH, head=f"gives_up = ({what!r},)")
    on_sqlite.run("upgrade")
    figures.note(f"batch rebuild, sqlite, {what}", "refused by name; done once it is given up")


def test_what_would_be_lost_is_refused_before_anything_ran(on_sqlite: Synthetic) -> None:
    """A rebuild that would lose something is found before the revisions that precede it run, and before any backup."""
    _start(on_sqlite, PLAIN, "CREATE TRIGGER up AFTER INSERT ON items BEGIN UPDATE items SET n = 1; END")
    rebuild = on_sqlite.directory / "script" / "versions" / "a2.py"
    rebuild.write_text(rebuild.read_text().replace("'a2'", "'a3'").replace("'a1'", "'a2'"))
    rebuild.rename(rebuild.with_name("a3.py"))
    on_sqlite.write("a2", "op.create_table('harmless', sa.Column('id', sa.Integer, primary_key=True))", parent="a1")
    before = _schema(on_sqlite)
    backups = list(on_sqlite.directory.rglob("*-backups/*"))
    line = on_sqlite.run("upgrade", code=3).line
    assert "revision a3 would be refused" in line
    assert "trigger items.up" in line
    assert "nothing was changed" in line
    assert (on_sqlite.recorded, _schema(on_sqlite)) == (["a1"], before)
    assert list(on_sqlite.directory.rglob("*-backups/*")) == backups
    on_sqlite.run("upgrade", "-r", "a2")
    assert "trigger items.up" in on_sqlite.run("upgrade", code=3).line
    assert on_sqlite.recorded == ["a2"]


@pytest.mark.parametrize(
    ("table", "more"),
    [
        (PLAIN, "CREATE VIEW seen AS SELECT id, name FROM items"),
        (PLAIN, "CREATE INDEX some ON items (name) WHERE n > 0"),
        (PLAIN.replace("n INTEGER", "n INTEGER, CONSTRAINT ck CHECK (n > 0)"), ""),
        (PLAIN + " STRICT", ""),
        (PLAIN + " WITHOUT ROWID", ""),
        (PLAIN, "CREATE TABLE o (x); CREATE TRIGGER t AFTER INSERT ON o BEGIN DELETE FROM items WHERE id = 9; END"),
    ],
    ids=["view", "partial index", "named check", "strict", "without rowid", "trigger of another table"],
)
def test_what_survives(on_sqlite: Synthetic, table: str, more: str) -> None:
    """A view, a partial index, a named CHECK and another table's trigger survive a rebuild."""
    _start(on_sqlite, table, more)
    before = [row for row in _schema(on_sqlite) if row[0] != "items"]
    on_sqlite.run("upgrade")
    assert [row for row in _schema(on_sqlite) if row[0] != "items"] == before
    assert ("STRICT" in table, "ROWID" in table) == tuple(
        word in dict(_schema(on_sqlite))["items"] for word in ("STRICT", "ROWID")
    )
    assert ("CONSTRAINT ck" in table) == ("CONSTRAINT ck" in dict(_schema(on_sqlite))["items"])
    if "VIEW" in more:
        assert on_sqlite.scalar("SELECT count(*) FROM seen") == 2


@pytest.mark.parametrize("kind", ["AS (n * 2)", "AS (n * 2) STORED", "GENERATED ALWAYS AS (n * 2)"])
def test_a_generated_column_is_kept_or_refused(on_sqlite: Synthetic, kind: str) -> None:
    """A rebuild of a table with a generated column keeps it, or is refused by name and changes nothing."""
    _start(on_sqlite, f"CREATE TABLE items (id INTEGER PRIMARY KEY, n INTEGER, twice INTEGER {kind})", "")
    before = _schema(on_sqlite)
    done = on_sqlite.start("upgrade").finish()
    if done.code == 0:
        assert on_sqlite.scalar("SELECT twice FROM items WHERE id = 1") == 2
    else:
        assert (done.code, _schema(on_sqlite)) == (3, before)
        assert "twice" in done.line


def test_a_table_whose_name_has_to_be_quoted(on_sqlite: Synthetic) -> None:
    """What a rebuild of it loses is found as well."""
    _start(on_sqlite, PLAIN, "")
    batch = BATCH.replace("'items'", "'Odd items'")
    on_sqlite.execute('CREATE TABLE "Odd items" (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, n INTEGER)')
    on_sqlite.write("a2", batch)
    assert "COLLATE nocase of" in on_sqlite.run("upgrade", code=3).line
    assert on_sqlite.recorded == ["a1"]


def test_made_again_in_the_revision(on_sqlite: Synthetic) -> None:
    """A revision that makes the trigger again after its batch, and drops an index by name, is applied."""
    trigger = "CREATE TRIGGER up AFTER INSERT ON items BEGIN UPDATE items SET n = 1; END"
    _start(on_sqlite, PLAIN, f"{trigger}; CREATE INDEX lowered ON items (lower(name))")
    on_sqlite.write("a2", f"op.execute('DROP INDEX lowered')\n{BATCH}op.execute({trigger!r})")
    on_sqlite.run("upgrade")
    assert {name for name, _ in _schema(on_sqlite)} >= {"up"}


def test_dropped_with_its_column(on_sqlite: Synthetic) -> None:
    """What goes with a column that a batch drops is not missed."""
    _start(on_sqlite, PLAIN.replace("TEXT", "TEXT COLLATE NOCASE"), "")
    on_sqlite.write(
        "a2", "with op.batch_alter_table('items', recreate='always') as batch:\n    batch.drop_column('name')"
    )
    on_sqlite.run("upgrade")


def _start(synthetic: Synthetic, table: str, more: str) -> None:
    """Make a table with two rows at revision a1, and a revision that rebuilds it."""
    synthetic.write("a1", "pass")
    synthetic.run("upgrade")
    synthetic.write("a2", BATCH)
    columns = "(id, n)"
    with closing(sqlite3.connect(synthetic.chain.path)) as connection:
        connection.executescript(f"{table}; INSERT INTO items {columns} VALUES (1, 1), (2, 2); {more};")


def _schema(synthetic: Synthetic) -> list[tuple[str, str]]:
    rows = synthetic.fetch("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    return [(row["name"], row["sql"]) for row in rows]
