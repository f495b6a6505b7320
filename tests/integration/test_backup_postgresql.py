"""What only PostgreSQL's backups have to do: types, keys, foreign keys, sequences, and the client programs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tbcv.engine.embedded import EmbeddedPostgres
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError, TbcvError
from tbcv.migrate.backup import Backup, Part, list_backups, take_backup
from tbcv.migrate.backup.dump import restore
from tbcv.migrate.backup.tools import find_tools
from tbcv.settings import Settings
from tests.integration.backup_cases import Library

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

ODD_TYPES = """CREATE TABLE "Odd ""ty pes" (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serial_number serial, mood mood DEFAULT 'sad', short short,
    doc json, docb jsonb, raw bytea, at timestamptz, span interval, real_one real, float_one double precision,
    number numeric, list integer[], words text[], moods mood[], letters char(5), range int4range, ip inet, key uuid,
    bits bit varying, place regclass, twice numeric GENERATED ALWAYS AS (number * 2) STORED)"""
FILL_ODD_TYPES = """INSERT INTO "Odd ""ty pes" (mood, short, doc, docb, raw, at, span, real_one, float_one, number,
    list, words, moods, letters, range, ip, key, bits, place) VALUES
    ('ha''ppy', 'abc', '{"a" : 1, "a":2}', '{"a": [1, null]}', '\\x0009ff', '2026-02-29 0:0+0'::timestamptz
    + interval '0.000001 s', '-1 mon 3 days -04:05:06.7', 'NaN', 0.1 + 0.2::double precision, 1e-30, '{1,NULL}',
    '{"a,\\"b",NULL,"NULL"}', '{sad}', 'ab', '[1,5)', '::1/128', gen_random_uuid(), B'101', 'pg_class'),
    (NULL, NULL, NULL, NULL, '', 'infinity', '0', '-Infinity', 1e308, 'NaN', '{}', '{}', NULL, '', 'empty', NULL, NULL,
    B'', NULL)"""


class WithoutPostgresql(ScratchDatabases):
    """What a production image has: no PostgreSQL besides the one in use."""

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        """The engines of which scratch databases can be had here."""
        return ("sqlite",)


@pytest.fixture
def library(postgres_url: str, postgres_admin_url: str, tmp_path: Path) -> Library:
    """Give a filled library whose backups are partial."""
    library = Library(parse_database_url(postgres_url), tmp_path / "backups", "partial", postgres_admin_url)
    asyncio.run(library.fill())
    return library


async def part(library: Library, *losses: tuple[str, str | None]) -> Backup:
    """Back up parts of a library."""
    return await library.take(losses=[Part(*loss) for loss in losses])


async def printed(library: Library, table: str) -> Sequence[str]:
    """Return the rows of a table as PostgreSQL prints them."""
    query = f"(SELECT t::text FROM {table} t) x"
    return [row for (row,) in (await library.rows(query))[query]]


async def test_every_type_survives(library: Library) -> None:
    """Whatever PostgreSQL can print comes back, in types that the scratch server does not know too."""
    await library.run("CREATE TYPE mood AS ENUM ('sad', 'ha''ppy')", "CREATE DOMAIN short AS varchar(3)", ODD_TYPES)
    await library.run(FILL_ODD_TYPES.replace("2026-02-29", "2024-02-29").replace(":", r"\:"))
    name = '"Odd ""ty pes"'
    before = await printed(library, name)
    assert len(before) == 2
    backup = await part(library, ('Odd "ty pes', None))
    await library.run(f"DROP TABLE {name}", ODD_TYPES)
    restored = await library.restore(backup)
    assert await printed(library, name) == before
    assert restored.rows == {'Odd "ty pes': 2}
    await library.run(f"UPDATE {name} SET raw = NULL, docb = NULL, float_one = NULL, moods = NULL")
    assert await printed(library, name) != before
    await library.restore(backup)
    assert await printed(library, name) == before


async def test_only_what_is_lost_is_exported(library: Library) -> None:
    """A column goes with its key and nothing else."""
    backup = await part(library, ("authors", "note"))
    (export,) = backup.exports
    assert export.names == ("id", "note")
    assert export.key == ("id",)
    assert backup.rows == {"authors": 40}


async def test_place_that_is_not_there_names_the_command(library: Library) -> None:
    """While the table or the column is missing the refusal says how to bring it back, and changes nothing."""
    backup = await library.take()
    await library.run("ALTER TABLE authors DROP COLUMN note")
    before = await library.rows()
    with pytest.raises(
        BackupError, match=r"column authors\.note is not there.*tbcv migrate downgrade -r 011"
    ) as caught:
        await library.restore(backup)
    assert "\n" not in str(caught.value)
    await library.run("DROP TABLE books")
    backup = replace(backup, exports=backup.exports[1:])
    with pytest.raises(BackupError, match=r"table books is not there.*tbcv migrate downgrade -r 011"):
        await library.restore(backup)
    assert (await library.rows("authors"))["authors"] == before["authors"]
    assert len(list_backups(library.directory)) == 1


async def test_rows_that_came_later_stay(library: Library) -> None:
    """A restore of a column deletes nothing and brings no deleted row back."""
    backup = await part(library, ("authors", "note"))
    await library.run(
        "ALTER TABLE authors DROP COLUMN note",
        "ALTER TABLE authors ADD COLUMN note TEXT",
        "DELETE FROM books WHERE id = 0",
        "DELETE FROM authors WHERE id = 0",
        "INSERT INTO authors VALUES (100, 'later', 'later')",
        "UPDATE authors SET name = 'renamed' WHERE id = 8",
    )
    restored = await library.restore(backup)
    rows = (await library.rows("authors"))["authors"]
    assert restored.rows == {"authors": 39}
    assert rows[-1] == (100, "later", "later")
    assert (8, "renamed", "plain") in rows
    assert len(rows) == 40


async def test_unique_columns_serve_as_a_key(library: Library) -> None:
    """Where the primary key itself goes, another key finds the rows."""
    await library.run("CREATE TABLE pair (id integer PRIMARY KEY, code text NOT NULL UNIQUE, x text)")
    await library.run("INSERT INTO pair VALUES (1, 'a', 'x'), (2, 'b', 'y')")
    before = await library.rows("pair")
    backup = await part(library, ("pair", "id"))
    assert backup.exports[0].key == ("code",)
    await library.run("UPDATE pair SET id = id + 10")
    await library.restore(backup)
    assert await library.rows("pair") == before


async def test_table_without_a_key_is_exported_whole(library: Library) -> None:
    """Its rows cannot be found one by one, so all of them come back, as long as they are the same."""
    await library.run(
        "CREATE TABLE heap (a text, b text)", "INSERT INTO heap VALUES ('x', '1'), ('x', '2'), (NULL, '3')"
    )
    before = sorted(map(str, (await library.rows("heap"))["heap"]))
    backup = await part(library, ("heap", "b"))
    (export,) = backup.exports
    assert (export.names, export.key, export.lost) == (("a", "b"), (), ("b",))
    await library.run("ALTER TABLE heap DROP COLUMN b", "ALTER TABLE heap ADD COLUMN b text")
    await library.restore(backup)
    assert sorted(map(str, (await library.rows("heap"))["heap"])) == before
    await library.run("INSERT INTO heap VALUES ('new')")
    with pytest.raises(BackupError, match="no key by which its rows could be found"):
        await library.restore(backup)
    assert len((await library.rows("heap"))["heap"]) == 4


async def test_sequences_go_on_behind_what_was_restored(library: Library) -> None:
    """A row that is inserted after a restore collides with none."""
    create = "CREATE TABLE counted (id serial PRIMARY KEY, n integer GENERATED ALWAYS AS IDENTITY, x text)"
    await library.run(create, "INSERT INTO counted (x) SELECT 'x' FROM generate_series(1, 5)")
    backup = await part(library, ("counted", None))
    await library.run("DROP TABLE counted", create)
    await library.restore(backup)
    await library.run("INSERT INTO counted (x) VALUES ('after')")
    assert (await library.rows("counted"))["counted"][-1] == (6, 6, "after")


async def test_parents_are_restored_before_children(library: Library) -> None:
    """Tables that point at each other come back in the order in which they can."""
    before = await library.rows()
    backup = await part(library, ("books", None), ("authors", None))
    await library.run("DELETE FROM books", "DELETE FROM authors")
    await library.restore(backup)
    assert await library.rows() == before


async def test_trigger_that_changes_values_is_found(library: Library) -> None:
    """Values that do not arrive as they are fail the restore, which is rolled back."""
    backup = await part(library, ("authors", "note"))
    await library.run(
        "UPDATE authors SET note = 'newer'",
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.note \\:= 'meddled'; RETURN NEW; END $$",
        "CREATE TRIGGER meddle BEFORE UPDATE ON authors FOR EACH ROW EXECUTE FUNCTION meddle()",
    )
    with pytest.raises(BackupError, match="40 rows of authors do not take its values"):
        await library.restore(backup)
    assert {note for _, _, note in (await library.rows("authors"))["authors"]} == {"newer"}


async def test_partial_backup_needs_no_other_server(library: Library) -> None:
    """Without a scratch PostgreSQL it is proven in temporary tables; a full one is refused."""
    async with WithoutPostgresql(Settings.from_env()) as scratch:
        backup = await take_backup(
            library.address, library.directory, reason="a test", scratch=scratch, losses=[Part("books", None)]
        )
    assert backup is not None
    assert backup.rows == {"books": 40}


async def test_rows_hidden_by_a_policy_are_no_silent_gap(library: Library) -> None:
    """A role that may not see all rows cannot take a backup of some."""
    await library.run(
        "ALTER TABLE books ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE books FORCE ROW LEVEL SECURITY",
        "CREATE POLICY few ON books USING (id < 10)",
        "DROP ROLE IF EXISTS tbcv_reader",
        "CREATE ROLE tbcv_reader LOGIN",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO tbcv_reader",
    )
    url = library.address.url.set(username="tbcv_reader")
    reader = replace(library, address=replace(library.address, url=url))
    try:
        with pytest.raises(Exception, match="row-level security"):
            await part(reader, ("books", None))
    finally:
        await library.run("DROP OWNED BY tbcv_reader", "DROP ROLE tbcv_reader")
    assert library.leftovers() == []


async def test_full_restore_removes_what_came_later(library: Library) -> None:
    """Tables, views, types, functions and schemas that are newer than the dump are gone, with what hangs on them."""
    whole = replace(library, kind="full")
    before = await whole.rows()
    backup = await whole.take()
    await whole.run(
        "CREATE TYPE mood AS ENUM ('sad')",
        "CREATE SCHEMA later",
        "CREATE TABLE later.t (m mood)",
        "CREATE TABLE reviews (id serial PRIMARY KEY, book integer REFERENCES books (id), m mood)",
        "CREATE VIEW titles AS SELECT title FROM books",
        "CREATE MATERIALIZED VIEW names AS SELECT name FROM authors",
        "CREATE FUNCTION one(a integer, OUT b text) LANGUAGE sql AS 'SELECT 1\\:\\:text'",
        "CREATE SEQUENCE loose",
        "UPDATE alembic_version SET version_num = '012'",
        "DELETE FROM books",
    )
    restored = await whole.restore(backup)
    assert await whole.rows() == before
    assert restored.undo is not None
    await whole.restore(restored.undo)
    assert (await whole.rows("alembic_version", "books")) == {"alembic_version": [("012",)], "books": []}


async def test_full_restore_keeps_privileges(library: Library) -> None:
    """Who may read a table may read it afterwards."""
    whole = replace(library, kind="full")
    await whole.run("GRANT SELECT ON books TO pg_monitor")
    backup = await whole.take()
    await whole.run("REVOKE ALL ON books FROM pg_monitor")
    await whole.restore(backup)
    granted = "(SELECT has_table_privilege('pg_monitor', 'books', 'SELECT')) x"
    assert (await whole.rows(granted))[granted] == [(True,)]


async def test_dump_that_ends_too_early_changes_nothing(library: Library) -> None:
    """Whatever pg_restore did send is rolled back when it fails."""
    whole = replace(library, kind="full")
    backup = await whole.take()
    before = await whole.rows()
    dump = backup.path / "database.dump"
    data = dump.read_bytes()
    for share in (0.3, 0.7, 0.95):
        dump.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BackupError, match="pg_restore failed"):
            await restore(find_tools(18), whole.address, dump)
        assert await whole.rows() == before


async def test_statement_that_fails_rolls_a_full_restore_back(library: Library) -> None:
    """A role without the right to drop what is there is told so by PostgreSQL, and nothing is changed."""
    whole = replace(library, kind="full")
    backup = await whole.take()
    await whole.run("DROP ROLE IF EXISTS tbcv_guest", "CREATE ROLE tbcv_guest LOGIN")
    guest = replace(whole.address, url=whole.address.url.set(username="tbcv_guest"))
    before = await whole.rows()
    try:
        with pytest.raises(BackupError, match=r"psql failed: .*must be owner"):
            await restore(find_tools(18), guest, backup.path / "database.dump")
    finally:
        await whole.run("DROP ROLE tbcv_guest")
    assert await whole.rows() == before


async def test_full_backup_without_scratch_is_refused(library: Library) -> None:
    """A dump that cannot be proven does not count, and is not kept."""
    async with WithoutPostgresql(Settings.from_env(scratch_database_url="postgresql://127.0.0.1:1/none")) as scratch:
        with pytest.raises(TbcvError):
            await take_backup(library.address, library.directory, reason="a test", scratch=scratch)
    assert library.leftovers() == []
    assert list_backups(library.directory) == ()


async def test_programs_are_not_older_than_the_server() -> None:
    """Of the programs at hand the oldest that are new enough are taken; if there are none, it says which there are."""
    assert find_tools(18).major == 18
    assert find_tools(16).major == 16
    with pytest.raises(BackupError, match=r"version 99 or newer; found: .*18 in "):
        find_tools(99)


async def test_older_server_is_dumped_by_its_own_programs(
    library: Library, tmp_path: Path, postgres_admin_url: str
) -> None:
    """A database of PostgreSQL 16 is dumped and restored there, though it is proven on another version."""
    with EmbeddedPostgres(version=16) as server:
        older = Library(parse_database_url(server.url()), tmp_path / "older", "full", postgres_admin_url)
        await older.fill()
        before = await older.rows()
        backup = await older.take()
        await older.lose()
        await older.restore(backup)
        assert await older.rows() == before
        assert backup.made_by.endswith("postgresql 16")
        partial = replace(older, kind="partial")
        backup = await partial.take()
        await partial.lose()
        await partial.restore(backup)
        assert await partial.rows() == before
