"""One schema, reached by different routes, has one fingerprint."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tbcv.core.database import Base
from tbcv.engine.embedded import EmbeddedPostgres, _binaries
from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.migrate.ledger import read_ledger, short
from tbcv.migrate.location import own_environment
from tbcv.migrate.runner import MigrationRunner
from tbcv.migrate.snapshot import Snapshot

pytestmark = pytest.mark.anyio

RICH = """
CREATE TABLE "group" (id INTEGER PRIMARY KEY AUTOINCREMENT, "check" TEXT DEFAULT "It's" CHECK ("check" <> 'A,(b'));
CREATE TABLE child (a REFERENCES "group" (id) ON DELETE CASCADE NOT NULL DEFERRABLE INITIALLY DEFERRED,
    b VARCHAR(10) COLLATE NOCASE DEFAULT -1, c AS (b || 'X  y') STORED, -- UNIQUE (b)
    CONSTRAINT u UNIQUE (a, b) ON CONFLICT IGNORE CHECK (b <> "z Z"));
CREATE TABLE flat (k TEXT PRIMARY KEY, v ANY) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX i ON child (a, lower(b) DESC) WHERE b IS NOT NULL;
CREATE VIEW v AS SELECT a, "check" AS "Text" FROM child JOIN "group" ON a = id;
CREATE TRIGGER r AFTER INSERT ON child BEGIN UPDATE "group" SET "check" = 'It''s' WHERE id = new.a; END;
"""
RICH_POSTGRESQL = """
CREATE TYPE mood AS ENUM ('sad', 'It''s');
CREATE DOMAIN positive AS int CONSTRAINT p CHECK (VALUE > 0) DEFAULT 1;
CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY (INCREMENT 2) PRIMARY KEY, a int, b int, UNIQUE (a, b));
CREATE TABLE child (id bigserial, a int NOT NULL, b int, c varchar(20) DEFAULT 'x', m mood DEFAULT 'sad', r int4range,
    n positive, g int GENERATED ALWAYS AS (a + b) STORED,
    CONSTRAINT k CHECK (c IN ('a', E'It''s \\\\ \\n', 'ARRAY[(''x'')::text]')),
    CONSTRAINT one CHECK (c IN ('a')), CONSTRAINT arr CHECK (c = ANY (ARRAY['q']) OR c LIKE 'w%'),
    CHECK (a BETWEEN 1 AND 5 AND c NOT IN ('x', 'y') AND b::numeric IN (1, 2.5)),
    FOREIGN KEY (a, b) REFERENCES parent (a, b) ON DELETE SET NULL (b) DEFERRABLE INITIALLY DEFERRED,
    EXCLUDE USING gist (r WITH &&) WHERE (a > 0)) WITH (fillfactor = 70, autovacuum_enabled = off);
CREATE INDEX i ON child (lower(c) text_pattern_ops DESC NULLS LAST) INCLUDE (a) WHERE c IN ('a', 'b');
CREATE VIEW v AS SELECT id, c FROM child WHERE c IN ('a', 'b') ORDER BY c;
CREATE MATERIALIZED VIEW w AS SELECT c, count(*) FROM child GROUP BY c;
CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEW; -- \\n
END $$;
CREATE TRIGGER r BEFORE INSERT ON child FOR EACH ROW WHEN (NEW.c IN ('a', 'b')) EXECUTE FUNCTION g('x');
ALTER TABLE child ENABLE ROW LEVEL SECURITY;
CREATE POLICY y ON child USING (c IN ('a', 'b'));
CREATE STATISTICS s ON a, b FROM child;
CREATE TABLE parts (a int PRIMARY KEY) PARTITION BY RANGE (a);
CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9);
COMMENT ON COLUMN child.a IS 'a
b';
"""


@pytest.fixture(scope="module", params=[16, 18])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """Start a server of each version."""
    with EmbeddedPostgres(version=request.param) as started:
        yield started


def runner(url: str) -> MigrationRunner:
    """Return the project's migrations for a database."""
    return MigrationRunner(parse_database_url(url), own_environment(), create_all=Base.metadata.create_all)


async def build(url: str) -> Snapshot:
    """Build the schema of the models."""
    engine = migration_engine(parse_database_url(url))

    def create(connection: Connection) -> None:
        Base.metadata.create_all(connection)
        connection.commit()

    try:
        async with engine.connect() as connection:
            await connection.run_sync(create)
    finally:
        await engine.dispose()
    return await runner(url).snapshot()


def file(path: Path, script: str) -> Path:
    """Make a SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


async def of_file(path: Path) -> Snapshot:
    """Return the snapshot of a SQLite file."""
    return await runner(f"sqlite:///{path}").snapshot()


def psql(server: EmbeddedPostgres, database: str, script: str) -> None:
    """Run a script with the server's own client."""
    client(server, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database, script=script)


def client(server: EmbeddedPostgres, program: str, *arguments: str, script: str = "") -> str:
    """Run a program of the server's own and return what it prints."""
    where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
    command = [str(_binaries(server.version) / program), *where, *arguments]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
    return done.stdout


def restore(server: EmbeddedPostgres, source: str, target: str) -> None:
    """Dump a database and restore it into a new one."""
    psql(server, "postgres", f"CREATE DATABASE {target}")
    psql(server, target, client(server, "pg_dump", source))


async def test_models_and_chain_are_equal(database_url: str, tmp_path: Path) -> None:
    """The models, the chain, and the chain after a way down and up build one schema: the ledger's."""
    chain = runner(database_url)
    await chain.upgrade()
    built = await chain.snapshot()
    await chain.downgrade("base")
    assert not (await chain.snapshot()).facts
    assert (await build(database_url)).text == built.text
    entry = read_ledger(own_environment())[chain.history().head]
    assert short(built.fingerprint) == entry.fingerprints[built.dialect]


async def test_chain_is_equal_after_the_way_back(database_url: str) -> None:
    """After the way down to the first revision and up again the schema is what it was at both ends."""
    chain = runner(database_url)
    await chain.upgrade("001")
    first = await chain.snapshot()
    await chain.upgrade()
    last = await chain.snapshot()
    await chain.downgrade("001")
    assert (await chain.snapshot()).text == first.text
    await chain.upgrade()
    assert (await chain.snapshot()).text == last.text


@pytest.mark.parametrize("schema", ["chain", "rich"])
async def test_sqlite_copies_are_equal(tmp_path: Path, schema: str) -> None:
    """VACUUM INTO and a dump that is restored keep the fingerprint."""
    source = tmp_path / "source.db"
    if schema == "rich":
        file(source, RICH)
    else:
        await runner(f"sqlite:///{source}").upgrade()
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", [str(tmp_path / "vacuumed.db")])
        dump = "\n".join(connection.iterdump())
    expected = await of_file(source)
    assert (await of_file(tmp_path / "vacuumed.db")).text == expected.text
    assert (await of_file(file(tmp_path / "restored.db", dump))).text == expected.text


async def test_sqlite_table_renamed_and_back_is_equal(tmp_path: Path) -> None:
    """A table and a column that are renamed, and renamed back, leave no trace but quotes, which do not count."""
    plain, renamed = file(tmp_path / "plain.db", RICH), file(tmp_path / "renamed.db", RICH)
    file(
        renamed,
        "ALTER TABLE child RENAME TO x; ALTER TABLE x RENAME TO child;"
        "ALTER TABLE child RENAME b TO z; ALTER TABLE child RENAME z TO b;"
        "ALTER TABLE child ADD extra TEXT DEFAULT 'x'; ALTER TABLE child DROP extra;",
    )
    assert (await of_file(renamed)).text == (await of_file(plain)).text


@pytest.mark.postgresql
async def test_postgresql_restored_is_equal(server: EmbeddedPostgres) -> None:
    """A dump that is restored has the fingerprint of its source, for the chain and for a schema full of everything."""
    await runner(server.url()).upgrade()
    restore(server, "postgres", "restored")
    expected = await runner(server.url()).snapshot()
    assert (await runner(server.url("restored")).snapshot()).text == expected.text
    psql(server, "postgres", "CREATE DATABASE rich")
    psql(server, "rich", RICH_POSTGRESQL)
    restore(server, "rich", "rich_restored")
    rich = await runner(server.url("rich")).snapshot()
    assert (await runner(server.url("rich_restored")).snapshot()).text == rich.text


@pytest.mark.postgresql
async def test_versions_of_postgresql_agree(server: EmbeddedPostgres) -> None:
    """On PostgreSQL 16 and 18 every revision has the fingerprint that the ledger has for it."""
    psql(server, "postgres", "CREATE DATABASE versions")
    chain = runner(server.url("versions"))
    for entry in read_ledger(own_environment()).values():
        await chain.upgrade(entry.id)
        assert short((await chain.snapshot()).fingerprint) == entry.fingerprints["postgresql"], entry.id
