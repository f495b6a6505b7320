"""What a snapshot of SQLite sees and what it does not: single changes of a schema, and other spellings of the same."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from tbcv.migrate.snapshot import Snapshot, compare, take_snapshot

PARENT = "CREATE TABLE p (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, UNIQUE (a, b));"


class Pair(NamedTuple):
    """Two scripts, and a word of the facts in which their schemas differ."""

    name: str
    before: str
    after: str
    names: str
    subject: str = "table t"


def columns(name: str, before: str, after: str, names: str) -> Pair:
    """Compare two lists of columns and constraints of a table."""
    return Pair(name, f"CREATE TABLE t ({before})", f"CREATE TABLE t ({after})", names)


def children(name: str, before: str, after: str, names: str = "t.unnamed") -> Pair:
    """Compare two tables that refer to another one."""
    return Pair(name, f"{PARENT} CREATE TABLE t ({before})", f"{PARENT} CREATE TABLE t ({after})", names)


def additions(name: str, before: str, after: str, names: str, subject: str = "table t") -> Pair:
    """Compare what stands beside a table."""
    table = "CREATE TABLE t (a TEXT, b INTEGER, c);"
    return Pair(name, f"{table} {before}", f"{table} {after}", names, subject)


MUTATIONS = (
    # Columns.
    columns("type", "a INTEGER", "a BIGINT", "t.a"),
    columns("length", "a VARCHAR(10)", "a VARCHAR(11)", "t.a"),
    columns("precision", "a NUMERIC(10, 2)", "a NUMERIC(10, 3)", "t.a"),
    columns("negative scale", "a NUMERIC(10, 2)", "a NUMERIC(10, -2)", "t.a"),
    columns("second word of a type", "a DOUBLE PRECISION", "a DOUBLE", "t.a"),
    columns("third word of a type", "a UNSIGNED BIG INT", "a UNSIGNED BIG INTEGER", "t.a"),
    columns("no type", "a, b", "a BLOB, b", "t.a"),
    columns("nullability", "a INTEGER", "a INTEGER NOT NULL", "t.a"),
    columns("conflict clause of NOT NULL", "a NOT NULL", "a NOT NULL ON CONFLICT IGNORE", "t.a"),
    columns("which conflict clause", "a NOT NULL ON CONFLICT FAIL", "a NOT NULL ON CONFLICT IGNORE", "t.a"),
    columns("name of NOT NULL", "a NOT NULL", "a CONSTRAINT given NOT NULL", "t.a"),
    columns("column added", "a", "a, b", "t.b"),
    columns("column renamed", "a", "b", "t.b"),
    columns("column named as a keyword", '"check" INTEGER', '"check" TEXT', 't."check"'),
    columns("column named as the start of a constraint", '"primary" INTEGER', '"primary" TEXT', 't."primary"'),
    columns("column named generated", "generated INTEGER", "generated TEXT", "t.generated"),
    columns("name beyond ASCII, in another case", "É TEXT", "é TEXT", "t.É"),
    # Defaults.
    columns("default added", "a INTEGER", "a INTEGER DEFAULT 0", "t.a"),
    columns("default", "a INTEGER DEFAULT 0", "a INTEGER DEFAULT 1", "t.a"),
    columns("sign of a default", "a INTEGER DEFAULT 1", "a INTEGER DEFAULT -1", "t.a"),
    columns("default of another type", "a DEFAULT 1", "a DEFAULT '1'", "t.a"),
    columns("default NULL", "a DEFAULT NULL", "a DEFAULT 'NULL'", "t.a"),
    columns("expression of a default", "a DEFAULT (1 + 1)", "a DEFAULT (1 + 2)", "t.a"),
    columns("function of a default", "a DEFAULT (upper('x'))", "a DEFAULT (lower('x'))", "t.a"),
    columns("constant of a default", "a DEFAULT CURRENT_DATE", "a DEFAULT CURRENT_TIMESTAMP", "t.a"),
    columns("constant or string", "a DEFAULT CURRENT_DATE", "a DEFAULT 'CURRENT_DATE'", "t.a"),
    columns("case of a default", "a DEFAULT 'Abc'", "a DEFAULT 'abc'", "t.a"),
    columns("case of a default in double quotes", 'a DEFAULT "Abc"', 'a DEFAULT "abc"', "t.a"),
    columns("case of a default without quotes", "a DEFAULT Abc", "a DEFAULT abc", "t.a"),
    columns("spaces of a default", "a DEFAULT 'x y'", "a DEFAULT 'x  y'", "t.a"),
    columns("line break of a default", "a DEFAULT 'x\ny'", "a DEFAULT 'x\\ny'", "t.a"),
    columns("comment in a default", "a DEFAULT 'x/*y*/'", "a DEFAULT 'x/*z*/'", "t.a"),
    columns(
        "default before a named constraint", "a DEFAULT 1 CONSTRAINT u UNIQUE", "a DEFAULT 2 CONSTRAINT u UNIQUE", "t.a"
    ),
    columns("name of a default", "a DEFAULT 1", "a CONSTRAINT d DEFAULT 1", "t.a"),
    # Collations and computed columns.
    columns("collation added", "a TEXT", "a TEXT COLLATE NOCASE", "t.a"),
    columns("collation", "a TEXT COLLATE RTRIM", "a TEXT COLLATE NOCASE", "t.a"),
    columns("last collation", "a COLLATE RTRIM COLLATE NOCASE", "a COLLATE NOCASE COLLATE RTRIM", "t.a"),
    columns("computed", "a INTEGER, b", "a INTEGER, b AS (a + 1)", "t.b"),
    columns("expression computed", "a, b AS (a + 1)", "a, b AS (a + 2)", "t.b"),
    columns("computed and stored", "a, b AS (a + 1)", "a, b AS (a + 1) STORED", "t.b"),
    columns(
        "computed, not null",
        "a, b GENERATED ALWAYS AS (a) STORED",
        "a, b GENERATED ALWAYS AS (a) STORED NOT NULL",
        "t.b",
    ),
    # Primary keys and unique constraints.
    columns("primary key", "a INTEGER, b", "a INTEGER PRIMARY KEY, b", "t.unnamed"),
    columns("column of the primary key", "a, b, PRIMARY KEY (a)", "a, b, PRIMARY KEY (b)", "t.unnamed"),
    columns("order of the primary key", "a, b, PRIMARY KEY (a, b)", "a, b, PRIMARY KEY (b, a)", "t.unnamed"),
    columns("direction of the primary key", "a, b, PRIMARY KEY (a)", "a, b, PRIMARY KEY (a DESC)", "t.unnamed"),
    columns(
        "descending key at its column", "a INTEGER PRIMARY KEY DESC", "a INTEGER, PRIMARY KEY (a DESC)", "at its column"
    ),
    columns("name of the primary key", "a PRIMARY KEY", "a CONSTRAINT k PRIMARY KEY", "t.k"),
    columns("automatic key", "a INTEGER PRIMARY KEY", "a INTEGER PRIMARY KEY AUTOINCREMENT", "autoincrement"),
    columns("conflict of the primary key", "a PRIMARY KEY", "a PRIMARY KEY ON CONFLICT REPLACE", "replace"),
    columns("unique", "a, b", "a UNIQUE, b", "unique(a)"),
    columns("unique over two", "a, b, UNIQUE (a)", "a, b, UNIQUE (a, b)", "unique(a, b)"),
    columns("order of unique", "a, b, UNIQUE (a, b)", "a, b, UNIQUE (b, a)", "unique(b, a)"),
    columns("collation of unique", "a, UNIQUE (a)", "a, UNIQUE (a COLLATE NOCASE)", "nocase"),
    columns("conflict of unique", "a UNIQUE", "a UNIQUE ON CONFLICT IGNORE", "ignore"),
    columns("name of unique", "a, CONSTRAINT u UNIQUE (a)", "a, CONSTRAINT v UNIQUE (a)", "t.v"),
    # Checks.
    columns("check added", "a", "a CHECK (a > 0)", "t.unnamed"),
    columns("check", "a CHECK (a > 0)", "a CHECK (a >= 0)", "t.unnamed"),
    columns("name of a check", "a CONSTRAINT c CHECK (a > 0)", "a CONSTRAINT d CHECK (a > 0)", "t.d"),
    columns("one of two checks", "a CHECK (a > 0) CHECK (a < 9)", "a CHECK (a > 0) CHECK (a < 8)", "a < 8"),
    columns("constraints without a comma", "a, UNIQUE (a) CHECK (a > 0)", "a, UNIQUE (a) CHECK (a > 1)", "a > 1"),
    columns("list of a check", "a CHECK (a IN ('x', 'y'))", "a CHECK (a IN ('x', 'y', 'z'))", "'z'"),
    columns("comma in a string", "a CHECK (a <> 'x,y')", "a CHECK (a <> 'x;y')", "x;y"),
    columns("parenthesis in a string", "a CHECK (a <> '(')", "a CHECK (a <> ')')", "')'"),
    columns("quote in a string", "a CHECK (a <> 'it''s')", "a CHECK (a <> 'it''''s')", "it''''s"),
    columns("keyword in a string", "a CHECK (a <> 'x UNIQUE')", "a CHECK (a <> 'x unique')", "x unique"),
    columns("spaces in a string of a check", "a CHECK (a <> ' ')", "a CHECK (a <> '  ')", "'  '"),
    columns("comment in a string of a check", "a CHECK (a <> '--')", "a CHECK (a <> '-')", "'--'"),
    columns("string in double quotes", 'a CHECK (a <> "X")', 'a CHECK (a <> "x")', "'x'"),
    columns("column or string", 'a, b, CHECK (a <> "b")', "a, b, CHECK (a <> 'b')", "'b'"),
    columns("parentheses that matter", "a CHECK ((a + 1) * 2 > 0)", "a CHECK (a + (1 * 2) > 0)", "t.unnamed"),
    columns(
        "column named as a keyword in a check", '"not" CHECK ("not" > 0)', '"not" CHECK (not "not" > 0)', "t.unnamed"
    ),
    # Foreign keys.
    children("foreign key added", "a", "a REFERENCES p (id)"),
    children("action on delete", "a REFERENCES p (id)", "a REFERENCES p (id) ON DELETE CASCADE"),
    children("another action", "a REFERENCES p ON DELETE SET NULL", "a REFERENCES p ON DELETE SET DEFAULT"),
    children("action on update", "a REFERENCES p (id) ON DELETE CASCADE", "a REFERENCES p (id) ON UPDATE CASCADE"),
    children(
        "not null beside an action",
        "a REFERENCES p ON DELETE SET NULL",
        "a REFERENCES p ON DELETE SET NULL NOT NULL",
        "t.a",
    ),
    children("deferrable", "a REFERENCES p", "a REFERENCES p DEFERRABLE INITIALLY DEFERRED"),
    children(
        "deferrable, said apart", "a REFERENCES p NOT NULL", "a REFERENCES p NOT NULL DEFERRABLE INITIALLY DEFERRED"
    ),
    children("match", "a REFERENCES p", "a REFERENCES p MATCH FULL"),
    children("column referred to", "a REFERENCES p (id)", "a REFERENCES p (a)"),
    children("name of a foreign key", "a REFERENCES p", "a CONSTRAINT f REFERENCES p", "t.f"),
    children(
        "order of two columns",
        "a, b, FOREIGN KEY (a, b) REFERENCES p (a, b)",
        "a, b, FOREIGN KEY (a, b) REFERENCES p (b, a)",
    ),
    # Tables.
    Pair("table added", "CREATE TABLE s (a)", "CREATE TABLE s (a); CREATE TABLE t (a)", "table t"),
    Pair("strict", "CREATE TABLE t (a TEXT)", "CREATE TABLE t (a TEXT) STRICT", "strict"),
    Pair("without rowid", "CREATE TABLE t (a PRIMARY KEY)", "CREATE TABLE t (a PRIMARY KEY) WITHOUT ROWID", "rowid"),
    Pair(
        "strict besides",
        "CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE t (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
        "strict",
    ),
    # Indexes.
    additions("index added", "", "CREATE INDEX i ON t (a)", "t.i"),
    additions("unique index", "CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)", "unique"),
    additions("column of an index", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (b)", "t.i"),
    additions("order of an index", "CREATE INDEX i ON t (a, b)", "CREATE INDEX i ON t (b, a)", "t.i"),
    additions("direction of an index", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a DESC)", "desc"),
    additions("collation of an index", "CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a COLLATE NOCASE)", "nocase"),
    additions("expression of an index", "CREATE INDEX i ON t (lower(a))", "CREATE INDEX i ON t (upper(a))", "upper"),
    additions(
        "predicate of an index",
        "CREATE UNIQUE INDEX i ON t (a) WHERE b > 0",
        "CREATE UNIQUE INDEX i ON t (a) WHERE b > 1",
        "b > 1",
    ),
    additions(
        "case in a predicate", "CREATE INDEX i ON t (a) WHERE a <> 'X'", "CREATE INDEX i ON t (a) WHERE a <> 'x'", "'x'"
    ),
    additions("name of an index", "CREATE INDEX i ON t (a)", "CREATE INDEX j ON t (a)", "t.j"),
    # Views and triggers.
    additions("view added", "", "CREATE VIEW v AS SELECT a FROM t", "view v", "view v"),
    additions(
        "body of a view",
        "CREATE VIEW v AS SELECT a FROM t WHERE a = 'x'",
        "CREATE VIEW v AS SELECT a FROM t WHERE a = 'X'",
        "'X'",
        "view v",
    ),
    additions(
        "columns of a view",
        "CREATE VIEW v (x) AS SELECT a FROM t",
        "CREATE VIEW v (y) AS SELECT a FROM t",
        "v(y)",
        "view v",
    ),
    additions("trigger added", "", "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END", "t.r"),
    additions(
        "timing of a trigger",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE TRIGGER r BEFORE INSERT ON t BEGIN DELETE FROM t; END",
        "before",
    ),
    additions(
        "event of a trigger",
        "CREATE TRIGGER r AFTER UPDATE OF a ON t BEGIN DELETE FROM t; END",
        "CREATE TRIGGER r AFTER UPDATE OF b ON t BEGIN DELETE FROM t; END",
        "of b",
    ),
    additions(
        "condition of a trigger",
        "CREATE TRIGGER r AFTER INSERT ON t WHEN new.b > 0 BEGIN DELETE FROM t; END",
        "CREATE TRIGGER r AFTER INSERT ON t WHEN new.b > 1 BEGIN DELETE FROM t; END",
        "new.b > 1",
    ),
    additions(
        "body of a trigger",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 'x' WHERE b = 1; END",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 'y' WHERE b = 1; END",
        "'y'",
    ),
    # Virtual tables.
    Pair(
        "column of a virtual table",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE VIRTUAL TABLE t USING fts5(a, b)",
        "b)",
    ),
    Pair(
        "option of a virtual table",
        "CREATE VIRTUAL TABLE t USING fts5(a, tokenize = 'porter')",
        "CREATE VIRTUAL TABLE t USING fts5(a, tokenize = 'trigram')",
        "trigram",
    ),
)

EQUALITIES = (
    columns("case of keywords", "a INTEGER NOT NULL", "A integer not null", ""),
    columns("quoted names", "a INTEGER, b TEXT", '"a" INTEGER, [b] `TEXT`', ""),
    columns("a string for a name", "a INTEGER, PRIMARY KEY (a)", "'a' INTEGER, PRIMARY KEY ('a')", ""),
    columns("spaces", "a VARCHAR(10),b DEFAULT(1)", "a\tVARCHAR ( 10 ) ,\n b DEFAULT ( 1 )", ""),
    columns("comments", "a INTEGER, b", "a /* CHECK (a > 0), */ INTEGER, -- UNIQUE (a),\n b", ""),
    columns("order of columns", "a INTEGER, b TEXT", "b TEXT, a INTEGER", ""),
    columns("order of clauses", "a DEFAULT 1 NOT NULL", "a NOT NULL DEFAULT 1", ""),
    columns("NULL", "a TEXT", "a TEXT NULL", ""),
    columns("parentheses of a default", "a DEFAULT 'x', b DEFAULT -1", "a DEFAULT ('x'), b DEFAULT (-1)", ""),
    columns("default in double quotes", "a DEFAULT 'Abc'", 'a DEFAULT "Abc"', ""),
    columns("case of numbers", "a DEFAULT 0xff, b DEFAULT 1e5", "a DEFAULT 0XFF, b DEFAULT 1E5", ""),
    columns("primary key at its column", "a INTEGER PRIMARY KEY, b", "b, a INTEGER, PRIMARY KEY (a)", ""),
    columns("named primary key", "a CONSTRAINT k PRIMARY KEY", "a, CONSTRAINT k PRIMARY KEY (a)", ""),
    columns("automatic key", "a INTEGER PRIMARY KEY AUTOINCREMENT", "a INTEGER, PRIMARY KEY (a AUTOINCREMENT)", ""),
    columns("ascending", "a PRIMARY KEY", "a PRIMARY KEY ASC", ""),
    columns("unique at its column", "a UNIQUE ON CONFLICT FAIL, b", "a, b, UNIQUE (a) ON CONFLICT FAIL", ""),
    columns("check at its column", "a CONSTRAINT c CHECK (a > 0), b", "a, b, CONSTRAINT c CHECK (a > 0)", ""),
    columns("parentheses of a check", "a CHECK (a > 0)", "a CHECK ((a > 0))", ""),
    columns("quoted name in a check", "a CHECK (a > 0)", 'A CHECK ("a" > 0)', ""),
    columns("order of constraints", "a, UNIQUE (a), CHECK (a > 0)", "a, CHECK (a > 0), UNIQUE (a)", ""),
    columns("virtual", "a, b AS (a)", "a, b GENERATED ALWAYS AS (a) VIRTUAL", ""),
    children("foreign key at its column", "a REFERENCES p (id), b", "a, b, FOREIGN KEY (a) REFERENCES p (id)"),
    children(
        "order of actions",
        "a REFERENCES p ON DELETE CASCADE ON UPDATE RESTRICT",
        "a REFERENCES p ON UPDATE RESTRICT ON DELETE CASCADE",
    ),
    children("no action", "a REFERENCES p", "a REFERENCES p ON DELETE NO ACTION"),
    children(
        "deferrable, said apart",
        "a NOT NULL REFERENCES p DEFERRABLE INITIALLY DEFERRED",
        "a REFERENCES p NOT NULL DEFERRABLE INITIALLY DEFERRED",
    ),
    Pair(
        "order of options",
        "CREATE TABLE t (a TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
        "create table IF NOT EXISTS main.t (a TEXT PRIMARY KEY) without rowid, strict",
        "",
    ),
    additions(
        "spelling of an index",
        "CREATE INDEX i ON t (a) WHERE b > 0",
        'create index "i" on [t] ("a" ASC) where (b>0)',
        "",
    ),
    additions(
        "spelling of a view", "CREATE VIEW v AS SELECT a FROM t", 'create view "v" as\nselect "A" -- all\nfrom "t"', ""
    ),
    additions(
        "quoted alias", "CREATE VIEW v AS SELECT a AS total FROM t", 'CREATE VIEW v AS SELECT a AS "Total" FROM t', ""
    ),
    Pair(
        "shadow tables",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "create virtual table t using FTS5 (a); INSERT INTO t VALUES ('x')",
        "",
    ),
    Pair(
        "what SQLite keeps for itself",
        "CREATE TABLE t (a)",
        "CREATE TABLE t (a); CREATE TABLE alembic_version (v); ANALYZE",
        "",
    ),
)


def snapshot(script: str) -> Snapshot:
    """Return the snapshot of a new database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            run(connection, script)
            return take_snapshot(connection)
    finally:
        engine.dispose()


def run(connection: Connection, script: str) -> None:
    """Run the statements of a script."""
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.executescript(script)


def by_name(pair: Pair) -> str:
    """Name a test after its pair."""
    return pair.name


@pytest.mark.parametrize("mutation", MUTATIONS, ids=by_name)
def test_mutation_is_seen(mutation: Pair) -> None:
    """A single change of a schema changes its fingerprint, and the difference names the changed object only."""
    before, after = snapshot(mutation.before), snapshot(mutation.after)
    assert before.fingerprint != after.fingerprint
    difference = compare(before, after)
    facts = (*difference.missing, *difference.unexpected)
    assert {fact.subject for fact in facts} == {mutation.subject}
    assert any(mutation.names in fact.line for fact in facts), [fact.line for fact in facts]


def test_rate_of_mutations() -> None:
    """Every mutation is seen: n of n, and there are many of them."""
    seen = sum(snapshot(one.before).fingerprint != snapshot(one.after).fingerprint for one in MUTATIONS)
    print(f"SQLite: {seen} of {len(MUTATIONS)} mutations seen")  # noqa: T201  # the rate
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS) >= 40
    assert seen == len(MUTATIONS)


@pytest.mark.parametrize("pair", EQUALITIES, ids=by_name)
def test_spelling_is_not_seen(pair: Pair) -> None:
    """Two spellings of one schema have one fingerprint."""
    before, after = snapshot(pair.before), snapshot(pair.after)
    assert before.text == after.text
    assert before.fingerprint == after.fingerprint
