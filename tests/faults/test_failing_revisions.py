"""A revision that fails leaves nothing behind, and runs once it is repaired."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection, text

from tbcv.engine.embedded import EmbeddedPostgres
from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.errors import RefusedError
from tbcv.migrate.executor import configuration
from tbcv.migrate.location import read_environment
from tests.conftest import empty_database
from tests.faults.commands import Forge, ask, plain, until
from tests.faults.figures import Figures
from tests.faults.synthetic import Synthetic, wait

TABLE = "op.create_table({0!r}, sa.Column('id', sa.Integer, primary_key=True), sa.Column('body', sa.Text))\n"
FILL = (
    "for number in range(400):\n    op.get_bind().execute(sa.text('INSERT INTO two VALUES (:id, :body)'), "
    "{'id': number, 'body': 'x' * 4000})\n"
)
LONG = (
    "op.execute('ALTER TABLE two ALTER body SET STORAGE PLAIN')\n"
    "op.execute(\"INSERT INTO two SELECT n, repeat('x', 7000) FROM generate_series(1, 4000) AS n\")\n"
)
BLOCK = "with op.get_context().autocommit_block():\n    op.execute({0!r})\n"


@pytest.fixture
def three(synthetic: Synthetic) -> Synthetic:
    """Return a history of three revisions of which the second is to be written."""
    synthetic.write("a1", TABLE.format("one") + "op.execute(\"INSERT INTO one VALUES (1, 'kept')\")")
    synthetic.write("a3", TABLE.format("three"), parent="a2")
    return synthetic


@pytest.mark.parametrize(
    "failure",
    ["raise ValueError('the third row is odd')", "op.execute('INSERT INTO nowhere VALUES (1)')", "1 / 0"],
)
def test_a_revision_raises(three: Synthetic, failure: str) -> None:
    """A failing revision is rolled back whole, the one before it stays, and the repaired one runs."""
    three.write("a2", TABLE.format("two") + "op.execute('UPDATE one SET id = 2')\n" + failure)
    done = three.run("upgrade", "--json", code=3)
    assert "revision a2 (Revision a2.) failed and was rolled back" in done.line
    assert "applied before it: a1; not begun: a3" in done.line
    assert json.loads(done.out)["error"]["code"] == "upgrade-failed"
    assert (three.recorded, three.tables()) == (["a1"], {"one"})
    assert three.fetch("SELECT * FROM one") == [{"id": 1, "body": "kept"}]
    three.write("a2", TABLE.format("two"))
    three.run("upgrade")
    assert (three.recorded, three.tables()) == (["a3"], {"one", "two", "three"})


def test_a_revision_raises_above_others(three: Synthetic) -> None:
    """From a database that has revisions already, those before the failing one are applied, and the error says so."""
    three.run("upgrade", "-r", "a1", code=3)  # a2 is not written yet, so that a3 stands on nothing
    three.write("a2", TABLE.format("two"))
    three.run("upgrade", "-r", "a1")
    three.write("a3", "raise ValueError('odd')", "op.execute('SELECT 1')")
    done = three.run("upgrade", code=3)
    assert "revision a3 (Revision a3.) failed and was rolled back: " in done.line
    assert "applied before it: a2; not begun: nothing" in done.line
    assert (three.recorded, three.tables()) == (["a2"], {"one", "two"})


def test_a_revision_that_wants_rows(synthetic: Synthetic) -> None:
    """What fails on an empty database may be right here: it is carried out, planned and reverted."""
    reads = "assert op.get_bind().execute(sa.text('SELECT body FROM one')).scalar_one() == 'kept'\n"
    synthetic.write("a1", TABLE.format("one"), "op.drop_table('one')")
    synthetic.run("upgrade")
    synthetic.execute("INSERT INTO one VALUES (1, 'kept')")
    synthetic.write("a2", reads + TABLE.format("two"), reads + "op.drop_table('two')")
    planned = synthetic.run("plan").out
    assert "Revision a2." in planned
    assert "It could not be found out what it takes away" in planned
    synthetic.run("upgrade")
    assert (synthetic.recorded, synthetic.tables()) == (["a2"], {"one", "two"})
    done = synthetic.run("downgrade", "-r", "a1", "--yes")
    assert "It could not be found out what it takes away: on an empty" in done.err
    assert (synthetic.recorded, synthetic.tables()) == (["a1"], {"one"})
    assert synthetic.fetch("SELECT * FROM one") == [{"id": 1, "body": "kept"}]


@pytest.mark.parametrize("fault", ["max_page_count", "file size"])
def test_the_disk_is_full(on_sqlite: Synthetic, figures: Figures, fault: str) -> None:
    """A full disk in the middle of a revision leaves nothing of it, and says so; with room again it runs."""
    on_sqlite.write("a1", TABLE.format("one"))
    limit = "op.execute('PRAGMA max_page_count = 40')\n" if fault == "max_page_count" else ""
    on_sqlite.write("a2", TABLE.format("two") + limit + FILL)
    limited = on_sqlite.forge.start(*on_sqlite.words("upgrade"), file_limit=0 if limit else 200_000)
    done = limited.finish()
    assert done.code == 3, done
    assert "revision a2 (Revision a2.) failed and was rolled back: " in done.line
    assert (on_sqlite.recorded, on_sqlite.tables()) == (["a1"], {"one"})
    assert on_sqlite.scalar("PRAGMA integrity_check") == "ok"
    on_sqlite.write("a2", TABLE.format("two") + FILL)
    on_sqlite.run("upgrade")
    assert on_sqlite.scalar("SELECT count(*) FROM two") == 400
    figures.note(f"disk full, sqlite, by {fault}", "rolled back, earlier revision kept, resumed")


def limit_files(pid: int, size: int) -> None:
    """Let a process of ours, or of a user that is less than we are, make no file longer than that many bytes."""
    owner = Path(f"/proc/{pid}").stat()
    user, group = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else (None, None)
    subprocess.run(["prlimit", "--pid", str(pid), f"--fsize={size}"], check=True, user=user, group=group)


def test_the_server_has_no_room(forge: Forge, tmp_path: Path, figures: Figures) -> None:
    """A server that cannot make a file longer fails the revision; with room again it runs."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    with EmbeddedPostgres() as server, empty_database(server.url(), tmp_path) as url:
        one = Synthetic(forge, tmp_path / "environment", url)
        one.write("a1", TABLE.format("one") + "op.execute(\"INSERT INTO one VALUES (1, 'kept')\")")
        filled = TABLE.format("two") + LONG
        one.write("a2", wait(ready, go) + filled)
        upgrade = one.start("upgrade")
        until(ready.exists, 30)
        # Not less than a segment of the write-ahead log: a server that cannot write that ends.
        for session in ask(url, "SELECT pid FROM pg_stat_activity WHERE state LIKE 'idle%'"):
            limit_files(session["pid"], 20_000_000)
        go.touch()
        done = upgrade.finish()
        assert done.code == 3, done
        assert "revision a2 (Revision a2.) failed and was rolled back: could not extend file" in done.line
        assert (one.recorded, one.tables()) == (["a1"], {"one"})
        assert one.fetch("SELECT * FROM one") == [{"id": 1, "body": "kept"}]
        one.run("upgrade")
        assert one.scalar("SELECT count(*) FROM two") == 4000
    figures.note("disk full, postgresql, by file size", "rolled back, earlier revision kept, resumed")


def test_several_statements_in_one_text(on_postgresql: Synthetic) -> None:
    """A script is executed whole or not at all, and what is wrong with it is said."""
    script = "CREATE TABLE two (id int); INSERT INTO two VALUES (1), (2); {}"
    on_postgresql.write("a1", TABLE.format("one"))
    on_postgresql.write("a2", f"op.execute({script.format('INSERT INTO nowhere VALUES (1)')!r})")
    assert 'relation "nowhere" does not exist' in on_postgresql.run("upgrade", code=3).line
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a1"], {"one"})
    on_postgresql.write("a2", f"op.execute({script.format('UPDATE two SET id = 3 WHERE id = 2;')!r})")
    on_postgresql.run("upgrade")
    assert on_postgresql.scalar("SELECT sum(id) FROM two") == 4


def test_an_invalid_index_is_built_again(on_postgresql: Synthetic) -> None:
    """A unique index that failed on duplicates while it was built concurrently is built once they are gone."""
    one = on_postgresql
    one.write("a1", TABLE.format("one") + "op.execute(\"INSERT INTO one VALUES (1, 'x'), (2, 'x')\")")
    one.write("a2", BLOCK.format("CREATE UNIQUE INDEX CONCURRENTLY bodies ON one (body)"))
    assert "could not create unique index" in one.run("upgrade", code=3).line
    assert one.recorded == ["a1"]
    assert not one.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bodies'::regclass")
    one.execute("DELETE FROM one WHERE id = 2")
    done = one.run("upgrade")
    assert "index bodies was left unfinished" in done.err
    assert one.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'bodies'::regclass")
    assert one.recorded == ["a2"]


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ("CREATE INDEX bodies ON one (body, id DESC)", "bodies ON one (body, id DESC)", True),
        (
            "CREATE INDEX bodies ON one (lower(body)) WHERE id > 1",
            "bodies ON one (lower(one.body)) WHERE one.id>1",
            True,
        ),
        ('CREATE INDEX "Bodies" ON public.one (id)', '"Bodies" ON ONLY "public".one USING btree (id)', True),
        ("CREATE INDEX bodies ON one (body)", "bodies ON one (id)", False),
        ("CREATE UNIQUE INDEX bodies ON one (id)", "bodies ON one (id)", False),
        ("CREATE INDEX bodies ON one (id) WHERE id > 1", "IF NOT EXISTS bodies ON one (id)", False),
        ("CREATE INDEX bodies ON other (id)", "bodies ON one (id)", False),
    ],
)
def test_an_index_of_the_same_name_is_kept_only_if_it_is_the_same(
    on_postgresql: Synthetic, there: str, wanted: str, same: bool
) -> None:
    """An earlier attempt may have built it; one that says something else is no such thing, and is not touched."""
    one = on_postgresql
    one.write("a1", TABLE.format("one") + TABLE.format("other"))
    one.run("upgrade")
    one.execute(there)
    definitions = "SELECT indexdef FROM pg_indexes WHERE indexname ILIKE 'bodies'"
    before = one.fetch(definitions)
    one.write("a2", BLOCK.format("CREATE INDEX CONCURRENTLY " + wanted), parent="a1")
    refused = not same and "EXISTS" not in wanted
    done = one.run("upgrade", code=3 if refused else 0)
    assert ("is kept" in done.err) is same
    assert ("is not known to come from an earlier attempt: it is CREATE" in done.err) is not same
    assert not refused or "already exists" in done.line
    assert one.fetch(definitions) == before
    assert one.fetch("SELECT * FROM pg_tables WHERE tablename = 'tbcv_probe'") == []


def test_an_index_that_cannot_be_compared_is_left_to_the_server(on_postgresql: Synthetic) -> None:
    """Where what is wanted cannot be built even beside, the statement itself says why."""
    one = on_postgresql
    one.write("a1", TABLE.format("one") + "op.execute('CREATE INDEX bodies ON one (body)')\n")
    one.write("a2", BLOCK.format("CREATE INDEX CONCURRENTLY bodies ON one (nowhere)"))
    assert 'column "nowhere" does not exist' in one.run("upgrade", code=3).line
    one.write("a2", BLOCK.format("CREATE INDEX CONCURRENTLY bodies ON one (body)"))
    assert "is kept" in one.run("upgrade").err


@pytest.mark.parametrize(
    ("before", "statement", "proof"),
    [
        ("", "CREATE INDEX CONCURRENTLY i ON one (body)", "SELECT count(*) FROM pg_class WHERE relname = 'i'"),
        (
            "op.execute('CREATE INDEX i ON one (body)')\n",
            "DROP INDEX CONCURRENTLY i",
            "SELECT 1 - count(*) FROM pg_class WHERE relname = 'i'",
        ),
        (
            "op.execute(\"CREATE TYPE mood AS ENUM ('sad')\")\n",
            "ALTER TYPE mood ADD VALUE 'glad'",
            "SELECT count(*) FROM pg_enum WHERE enumlabel = 'glad'",
        ),
    ],
    ids=["create index", "drop index", "add value"],
)
def test_what_an_autocommit_block_did_is_done_again(
    on_postgresql: Synthetic, before: str, statement: str, proof: str
) -> None:
    """A revision that fails after its autocommit block can run again, although the block was not rolled back."""
    on_postgresql.write("a1", TABLE.format("one") + before)
    on_postgresql.write("a2", BLOCK.format(statement) + "raise ValueError('after the block')")
    assert "after the block" in on_postgresql.run("upgrade", code=3).line
    assert on_postgresql.recorded == ["a1"]
    on_postgresql.write("a2", BLOCK.format(statement) + TABLE.format("two"))
    on_postgresql.run("upgrade")
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a2"], {"one", "two"})
    assert on_postgresql.scalar(proof) == 1


def test_indexes_that_were_not_rebuilt_are_rebuilt(on_postgresql: Synthetic) -> None:
    """The invalid copies that a failed REINDEX CONCURRENTLY leaves are gone once it has succeeded."""
    one = on_postgresql
    function = "CREATE OR REPLACE FUNCTION low(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN {}; END'"
    one.write(
        "a1",
        TABLE.format("one")
        + f"op.execute({function.format('RETURN lower($1)')!r})\n"
        + "op.execute('CREATE INDEX bodies ON one (low(body))')\n"
        + "op.execute(\"INSERT INTO one VALUES (1, 'x')\")",
    )
    one.run("upgrade")
    one.execute(function.format("RAISE division_by_zero"))
    one.write("a2", BLOCK.format("REINDEX TABLE CONCURRENTLY one"))
    assert "division_by_zero" in one.run("upgrade", code=3).line
    left = r"SELECT count(*) FROM pg_class WHERE relname ~ '_ccnew\d*$'"
    assert one.scalar(left) > 0
    one.execute(function.format("RETURN lower($1)"))
    assert "was left unfinished by an earlier attempt" in one.run("upgrade").err
    assert (one.scalar(left), one.recorded) == (0, ["a2"])


@pytest.mark.parametrize("finished", [False, True])
def test_a_partition_that_was_being_detached_is_detached(on_postgresql: Synthetic, finished: bool) -> None:
    """A detachment that was cancelled while it waited for readers, or was followed by a failure, is not in the way."""
    one = on_postgresql
    one.write(
        "a1",
        "op.execute('CREATE TABLE one (id int) PARTITION BY RANGE (id)')\n"
        "op.execute('CREATE TABLE part PARTITION OF one FOR VALUES FROM (0) TO (9)')",
    )
    one.run("upgrade")
    detach = "ALTER TABLE one DETACH PARTITION part CONCURRENTLY"
    if finished:
        one.write("a2", BLOCK.format(detach) + "raise ValueError('after the block')")
        one.run("upgrade", code=3)
    else:
        asyncio.run(cut_short(one.url, "one", detach))
    assert one.scalar("SELECT count(*) FROM pg_inherits") == (0 if finished else 1)
    one.write("a2", BLOCK.format(detach))
    one.run("upgrade")
    assert (one.scalar("SELECT count(*) FROM pg_inherits"), one.recorded) == (0, ["a2"])


async def cut_short(url: str, read: str, statement: str) -> None:
    """Let a statement wait for the end of a transaction that reads a table, and cancel it."""
    reader, other = await asyncpg.connect(plain(url)), await asyncpg.connect(plain(url))
    async with reader.transaction():
        await reader.fetch(f"SELECT * FROM {read}")
        await other.execute("SET statement_timeout = '500ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await other.execute(statement)
    await reader.close()
    await other.close()


def test_nothing_is_committed_before_an_autocommit_block(synthetic: Synthetic) -> None:
    """Changes before an autocommit block, which would be committed without their revision, are refused."""
    synthetic.write("a1", TABLE.format("one"))
    synthetic.write("a2", TABLE.format("two") + BLOCK.format("ANALYZE"))
    done = synthetic.run("upgrade", code=3)
    assert "before an autocommit block" in done.line
    assert (synthetic.recorded, synthetic.tables()) == (["a1"], {"one"})
    synthetic.write("a2", BLOCK.format("ANALYZE") + TABLE.format("two"))
    synthetic.run("upgrade")
    assert (synthetic.recorded, synthetic.tables()) == (["a2"], {"one", "two"})


def test_a_script_that_begins_by_looking(on_postgresql: Synthetic) -> None:
    """What a script changes after its first statement counts as well; SQLite's driver takes no scripts."""
    on_postgresql.write("a1", TABLE.format("one"))
    script = "op.execute(\"SET lock_timeout = '5s'; CREATE TABLE two (id integer)\")\n"
    on_postgresql.write("a2", script + BLOCK.format("ANALYZE"))
    assert "before an autocommit block" in on_postgresql.run("upgrade", code=3).line
    assert (on_postgresql.recorded, on_postgresql.tables()) == (["a1"], {"one"})


@pytest.mark.parametrize("opened", ["by a query", "by begin()"])
def test_a_connection_in_a_transaction_is_refused(synthetic: Synthetic, opened: str) -> None:
    """`command.upgrade` on a connection in a transaction cannot succeed and keep nothing: it is refused."""
    synthetic.write("a1", TABLE.format("one"))

    async def upgrade(*, spoilt: bool) -> None:
        engine = migration_engine(parse_database_url(synthetic.url))
        try:
            async with engine.connect() as connection:
                if spoilt and opened == "by a query":
                    await connection.execute(text("SELECT 1"))
                elif spoilt:
                    await connection.begin()
                await connection.run_sync(_alembic, synthetic)
        finally:
            await engine.dispose()

    with pytest.raises(RefusedError, match="is in a transaction"):
        asyncio.run(upgrade(spoilt=True))
    assert synthetic.tables() == set()
    asyncio.run(upgrade(spoilt=False))
    assert (synthetic.recorded, synthetic.tables()) == (["a1"], {"one"})


def _alembic(connection: Connection, synthetic: Synthetic) -> None:
    config = configuration(read_environment(Path(synthetic.ini)), parse_database_url(synthetic.url))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
