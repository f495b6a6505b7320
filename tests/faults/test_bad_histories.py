"""Histories that are none, and databases that do not fit theirs: one line names them, nothing is touched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import empty_database
from tests.faults.synthetic import Synthetic

MAKE = "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))"

LONG = "a" * 40


def three(synthetic: Synthetic, at: str = "002") -> Path:
    """Write three revisions and bring the database to one of them; returns the file of the third."""
    synthetic.write("001", "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))", "op.drop_table('t')")
    synthetic.write("002", "op.execute('INSERT INTO t (id) VALUES (1), (2)')", "op.execute('DELETE FROM t')")
    last = synthetic.write("003", "op.create_table('u', sa.Column('id', sa.Integer))", "op.drop_table('u')")
    synthetic.run("upgrade", "-r", at)
    return last


def contents(synthetic: Synthetic) -> tuple[object, ...]:
    """Return everything that a command which is refused must leave alone."""
    tables = sorted(synthetic.tables())
    rows = [synthetic.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]
    return tables, rows, synthetic.recorded


def edited(path: Path, old: str, new: str) -> None:
    """Replace text in a revision file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


Break = Callable[[Synthetic, Path], object]
FIRST = "script/versions/001.py"
BROKEN: dict[str, tuple[Break, tuple[str, ...]]] = {
    "two heads": (lambda one, _: one.write("004", "pass", parent="002"), ("003 (003.py)", "004 (004.py)")),
    "a cycle": (lambda one, _: edited(one.directory / FIRST, "= None", "= '003'"), ("circle", "001 (001.py)")),
    "a missing parent": (lambda _, last: edited(last, "'002'", "'0f0f'"), ("003", "0f0f")),
    "a duplicate id": (lambda one, _: edited(one.write("004", "pass"), "'004'", "'003'"), ("003", "twice")),
    "a 40-character id": (lambda one, _: one.write(LONG, "pass", parent="003"), (f"{LONG} ({LONG}.py)", "32")),
    "a syntax error": (lambda _, last: edited(last, "upgrade():", "upgrade(:"), ("003.py line",)),
    "a missing import": (lambda _, last: edited(last, "import time", "import nowhere"), ("003.py line", "nowhere")),
    "no revision": (lambda _, last: last.write_text("pass\n"), ("003.py", "declares no")),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_history(synthetic: Synthetic, fault: str) -> None:
    """What would migrate is refused with the file or revision by name; the database is as it was."""
    breaks, named = BROKEN[fault]
    last = three(synthetic)
    before = contents(synthetic)
    breaks(synthetic, last)
    for words in (["upgrade"], ["stamp", "head"], ["upgrade", "--plan"]):
        line = synthetic.run(*words, code=3).line
        assert all(name in line for name in named), (words, line)
    assert contents(synthetic) == before


def test_an_unknown_revision(synthetic: Synthetic) -> None:
    """A revision that the files lack is named, whether a person asks for it or the database records it."""
    last = three(synthetic, "003")
    assert "0f0f" in synthetic.run("upgrade", "-r", "0f0f", code=3).line
    last.unlink()
    before = contents(synthetic)
    for words in (["upgrade"], ["downgrade", "-r", "001", "--yes"], ["current", "--check"]):
        done = synthetic.run(*words, code=1 if words[0] == "current" else 3)
        assert "003" in (done.out if words[0] == "current" else done.line)
    assert contents(synthetic) == before


def test_diverged(synthetic: Synthetic) -> None:
    """A database that took another branch is told from one that is merely behind."""
    last = three(synthetic, "003")
    last.unlink()
    synthetic.write("004", "op.create_table('v', sa.Column('id', sa.Integer))", parent="002")
    before = contents(synthetic)
    assert "003" in synthetic.run("upgrade", code=3).line
    assert contents(synthetic) == before


def test_a_lost_version_table(synthetic: Synthetic) -> None:
    """Tables without a record of their revision are not migrated from base; the way out is named, and works."""
    three(synthetic)
    synthetic.execute("DROP TABLE alembic_version")
    line = synthetic.run("upgrade", code=3).line
    assert "adopt" in line or "stamp" in line
    assert synthetic.tables() == {"t"}
    assert synthetic.scalar("SELECT count(*) FROM t") == 2
    synthetic.run("stamp", "002")
    synthetic.run("upgrade")
    assert synthetic.recorded == ["003"]


def test_wrong_revisions_are_refused(synthetic: Synthetic) -> None:
    """An empty revision, and one that lies the other way, are mistakes of whoever calls."""
    three(synthetic)
    before = contents(synthetic)
    for words in (["upgrade", "-r", ""], ["downgrade", "-r", "", "--yes"], ["stamp", ""], ["upgrade", "-r", " "]):
        assert "empty" in synthetic.run(*words, code=2).line
    assert "001" in synthetic.run("upgrade", "-r", "001", code=3).line
    assert "003" in synthetic.run("downgrade", "-r", "003", "--yes", code=3).line
    assert contents(synthetic) == before


def test_a_lost_version_table_that_fits_several_revisions(synthetic: Synthetic) -> None:
    """Where the schema does not tell which data migrations have run, nobody guesses."""
    synthetic.write("a1", MAKE)
    synthetic.write("a2", "op.execute('UPDATE t SET id = id * 100')")
    synthetic.run("upgrade")
    synthetic.execute("INSERT INTO t VALUES (5)")
    synthetic.execute("DROP TABLE alembic_version")
    done = synthetic.start("adopt").finish()
    assert done.code != 0
    assert "needs a confirmation" in done.line
    assert "equals that of revision a1, a2. Recorded at a1, the next upgrade runs a2 on these rows." in " ".join(
        done.err.split()
    )
    assert synthetic.tables() == {"t"}
    synthetic.run("stamp", "a2")
    synthetic.run("upgrade")
    assert synthetic.scalar("SELECT id FROM t") == 5


def test_a_ledger_that_lacks_a_revision(synthetic: Synthetic) -> None:
    """The files count: what the ledger does not know is run, with a warning."""
    synthetic.write("a1", MAKE)
    (synthetic.directory / "script" / "ledger").write_text("# nothing\n")
    done = synthetic.run("upgrade")
    assert "the ledger is not up to date, and the revision files count: ledger: revision a1 has no entry" in done.err
    assert (synthetic.recorded, synthetic.tables()) == (["a1"], {"t"})


def test_two_databases_that_differ_in_tables_of_neither_history(
    synthetic: Synthetic, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Compared with another database, everything that only one of them has is told."""
    synthetic.write("a1", MAKE)
    synthetic.run("upgrade")
    admin = "" if synthetic.sqlite else request.getfixturevalue("postgres_admin_url")
    beside = tmp_path / "beside"
    beside.mkdir()
    with empty_database(admin, beside) as url:
        other = Synthetic(synthetic.forge, synthetic.directory, url)
        other.run("upgrade")
        other.execute("CREATE TABLE beside (id INTEGER)")
        for one, two in ((synthetic, other), (other, synthetic)):
            assert "beside.id" in one.start("diff", "--against", two.url).finish().out
