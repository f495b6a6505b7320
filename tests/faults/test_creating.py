"""Revisions that are created at the same time, and ids that no version table holds."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.faults.commands import ROOT
from tests.faults.synthetic import Synthetic

MANY = 5
MESSAGE = "the same \"message\"\n'''../"
TOO_LONG = "a" * 40


def template(synthetic: Synthetic) -> None:
    """Give an environment what revisions are made out of."""
    script = synthetic.directory / "script"
    script.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "migrations" / "script.py.mako", script)


def test_many_creates_at_once(on_sqlite: Synthetic) -> None:
    """Each follows the one before it: one head, and every file is Python that runs."""
    on_sqlite.write("001", "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))", "op.drop_table('t')")
    template(on_sqlite)
    words = on_sqlite.words("create", "the same message", "--no-autogenerate", "--json")
    processes = [on_sqlite.forge.start(*words) for _ in range(MANY)]
    done = [process.finish() for process in processes]
    assert [one.code for one in done] == [0] * MANY, done
    made = {json.loads(one.out)["revision"] for one in done}
    assert len(made) == MANY
    listed = json.loads(on_sqlite.run("history", "--json").out)
    assert len(json.loads(on_sqlite.run("heads", "--json").out)["revisions"]) == 1
    assert {one["revision"] for one in listed["revisions"]} == {"001", *made}
    on_sqlite.run("upgrade")


def test_many_creates_at_once_with_a_ledger(on_sqlite: Synthetic) -> None:
    """With a ledger they end as one line of revisions as well, each with its own line in it, and all of it true."""
    on_sqlite.write("001", "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))", "op.drop_table('t')")
    template(on_sqlite)
    on_sqlite.run("ledger", "--write")
    words = on_sqlite.words("create", MESSAGE, "--no-autogenerate", "--json")
    done = [process.finish() for process in [on_sqlite.forge.start(*words) for _ in range(MANY)]]
    assert [one.code for one in done] == [0] * MANY, done
    made = {json.loads(one.out)["revision"] for one in done}
    listed = [one["revision"] for one in json.loads(on_sqlite.run("history", "--json").out)["revisions"]]
    assert set(listed) == {"001", *made}
    assert json.loads(on_sqlite.run("ledger", "--json").out)["findings"] == []
    lines = (on_sqlite.directory / "script" / "ledger").read_text().splitlines()
    assert [line.split()[0] for line in lines[-MANY:]] == listed[MANY - 1 :: -1]
    on_sqlite.run("upgrade")


def test_no_template(on_sqlite: Synthetic) -> None:
    """An environment without a template for revisions is told so, and gets no file."""
    path = on_sqlite.write("001", "pass")
    assert "script.py.mako" in on_sqlite.run("create", "more", code=2).line
    assert list(path.parent.glob("*.py")) == [path]


@pytest.mark.parametrize("verb", ["upgrade", "stamp"])
def test_an_id_that_is_too_long(synthetic: Synthetic, verb: str) -> None:
    """It is refused before anything runs, where stock Alembic fails with the work done."""
    synthetic.write("001", "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))", "op.drop_table('t')")
    synthetic.run("upgrade")
    synthetic.write(TOO_LONG, "op.drop_table('t')", parent="001")
    done = synthetic.run(verb, *(["head"] if verb == "stamp" else []), code=3)
    assert TOO_LONG in done.line
    assert "holds 32" in done.line
    assert synthetic.scalar("SELECT count(*) AS n FROM t") == 0
    assert synthetic.scalar("SELECT version_num FROM alembic_version") == "001"


def test_a_wider_version_table(synthetic: Synthetic) -> None:
    """An environment that made room for long ids is its own master."""
    synthetic.write(TOO_LONG, "op.create_table('t', sa.Column('id', sa.Integer, primary_key=True))", parent=None)
    synthetic.execute("CREATE TABLE alembic_version (version_num VARCHAR(64) PRIMARY KEY)")
    synthetic.run("upgrade")
    assert synthetic.scalar("SELECT version_num FROM alembic_version") == TOO_LONG
