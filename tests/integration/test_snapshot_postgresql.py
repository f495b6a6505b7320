"""What a snapshot of PostgreSQL sees: single changes of a schema, each made in a transaction that is rolled back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.migrate.snapshot import Difference, Snapshot, compare, take_snapshot

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]


class Mutation(NamedTuple):
    """A schema, a change of it, and a word of the facts in which the two differ."""

    name: str
    base: str
    change: str
    names: str
    subject: str = "table t"


P = "CREATE TABLE p (id int PRIMARY KEY, a int, b int, UNIQUE (a, b));"
T = f"{P} CREATE TABLE t (id int PRIMARY KEY, a int, b text, c varchar(10), d int, e int4range);"
F = "CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql AS 'SELECT x';"
G = "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
R = f"{T} {G} CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();"
K = f"{T} ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES p;"
C = f"{T} ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0);"
I = f"{T} CREATE INDEX i ON t (a);"  # noqa: E741  # short, as the others
V = f"{T} CREATE VIEW v AS SELECT id, a FROM t;"
M = f"{T} CREATE MATERIALIZED VIEW v AS SELECT id, a, b FROM t;"
S = "CREATE SEQUENCE s;"
E = "CREATE TYPE e AS ENUM ('a', 'b');"
D = "CREATE DOMAIN d AS int;"
O = f"{T} ALTER TABLE t ADD n int GENERATED ALWAYS AS IDENTITY;"  # noqa: E741  # short, as the others
L = f"{T} ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY y ON t FOR SELECT USING (a > 0);"
U = f"{T} CREATE RULE u AS ON DELETE TO t DO INSTEAD NOTHING;"
Z = "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER z FOREIGN DATA WRAPPER w;"
X = f"{T} CREATE STATISTICS x ON a, d FROM t;"
Q = (
    "CREATE TABLE q (a int NOT NULL, b text) PARTITION BY RANGE (a);"
    "CREATE TABLE t PARTITION OF q FOR VALUES FROM (0) TO (9); CREATE TABLE s (a int NOT NULL, b text);"
)


def instead(old: str, new: str) -> str:
    """Drop one thing and create another."""
    return f"DROP {old}; CREATE {new}"


def index(name: str, before: str, after: str, names: str = "t.i") -> Mutation:
    """Compare two indexes."""
    return Mutation(name, f"{T} CREATE INDEX i ON t {before};", f"DROP INDEX i; CREATE INDEX i ON t {after}", names)


def constraint(name: str, before: str, after: str, names: str = "t.k") -> Mutation:
    """Compare two constraints."""
    add = "ALTER TABLE t ADD CONSTRAINT k"
    return Mutation(name, f"{T} {add} {before};", f"ALTER TABLE t DROP CONSTRAINT k; {add} {after}", names)


def table(name: str, change: str, names: str, base: str = T) -> Mutation:
    """Compare a table with the same one, altered."""
    return Mutation(name, base, f"ALTER TABLE t {change}", names)


MUTATIONS = (
    # Columns.
    table("type", "ALTER a TYPE bigint", "t.a"),
    table("length", "ALTER c TYPE varchar(11)", "t.c"),
    table("precision", "ALTER a TYPE numeric(4, 2)", "t.a"),
    table("array", "ALTER a TYPE int[] USING NULL", "t.a"),
    table("nullability", "ALTER a SET NOT NULL", "t.a"),
    table("default added", "ALTER a SET DEFAULT 1", "t.a"),
    table("default", "ALTER a SET DEFAULT -1", "t.a", f"{T} ALTER TABLE t ALTER a SET DEFAULT 1;"),
    table(
        "function of a default",
        "ALTER b SET DEFAULT now()",
        "t.b",
        f"{T} ALTER TABLE t ALTER b SET DEFAULT clock_timestamp();",
    ),
    table("spaces of a default", "ALTER b SET DEFAULT 'x  y'", "t.b", f"{T} ALTER TABLE t ALTER b SET DEFAULT 'x y';"),
    table(
        "line break of a default",
        "ALTER b SET DEFAULT E'x\\ny'",
        "t.b",
        f"{T} ALTER TABLE t ALTER b SET DEFAULT 'x\\ny';",
    ),
    table("collation", 'ALTER b TYPE text COLLATE "POSIX"', "t.b"),
    table("column added", "ADD z int", "t.z"),
    table("column renamed", "RENAME a TO z", "t.z"),
    table("column dropped", "DROP a", "t.a"),
    table("computed", "ADD z int GENERATED ALWAYS AS (a + 1) STORED", "t.z"),
    table(
        "expression computed",
        "ALTER z SET EXPRESSION AS (a + 2)",
        "a + 2",
        f"{T} ALTER TABLE t ADD z int GENERATED ALWAYS AS (a + 1) STORED;",
    ),
    Mutation(
        "computed and stored",
        f"{T} ALTER TABLE t ADD z int GENERATED ALWAYS AS (a + 1) VIRTUAL;",
        "ALTER TABLE t DROP z; ALTER TABLE t ADD z int GENERATED ALWAYS AS (a + 1) STORED",
        "stored",
    ),
    table("storage", "ALTER b SET STORAGE EXTERNAL", "t.b"),
    table("compression", "ALTER b SET COMPRESSION pglz", "t.b"),
    table("statistics of a column", "ALTER a SET STATISTICS 500", "t.a"),
    table("no statistics of a column", "ALTER a SET STATISTICS 0", "t.a"),
    table("options of a column", "ALTER a SET (n_distinct = 5)", "t.a"),
    table("not null, not valid", "ADD CONSTRAINT n NOT NULL a NOT VALID", "not valid"),
    Mutation(
        "not null, validated",
        f"{T} ALTER TABLE t ADD CONSTRAINT n NOT NULL a NOT VALID;",
        "ALTER TABLE t VALIDATE CONSTRAINT n",
        "t.a",
    ),
    Mutation(
        "not null, not inherited",
        f"{T} ALTER TABLE t ADD CONSTRAINT n NOT NULL a;",
        "ALTER TABLE t DROP CONSTRAINT n; ALTER TABLE t ADD CONSTRAINT n NOT NULL a NO INHERIT",
        "t.a",
    ),
    # Identities and sequences.
    table("identity added", "ALTER id ADD GENERATED ALWAYS AS IDENTITY", "t.id"),
    table("kind of identity", "ALTER n SET GENERATED BY DEFAULT", "t.n", O),
    table("increment of an identity", "ALTER n SET INCREMENT 2", "t_n_seq", O),
    table("start of an identity", "ALTER n SET START 5", "t_n_seq", O),
    Mutation("sequence added", "", "CREATE SEQUENCE s", "s:", "sequence s"),
    Mutation("type of a sequence", S, instead("SEQUENCE s", "SEQUENCE s AS smallint"), "smallint", "sequence s"),
    Mutation("increment of a sequence", S, "ALTER SEQUENCE s INCREMENT 2", "increment 2", "sequence s"),
    Mutation("start of a sequence", S, "ALTER SEQUENCE s START 2", "start 2", "sequence s"),
    Mutation("minimum of a sequence", S, "ALTER SEQUENCE s MINVALUE 0", "minimum 0", "sequence s"),
    Mutation("maximum of a sequence", S, "ALTER SEQUENCE s MAXVALUE 9", "maximum 9", "sequence s"),
    Mutation("cache of a sequence", S, "ALTER SEQUENCE s CACHE 5", "cache 5", "sequence s"),
    Mutation("cycle of a sequence", S, "ALTER SEQUENCE s CYCLE", "cycle", "sequence s"),
    Mutation("column that owns a sequence", f"{T} {S}", "ALTER SEQUENCE s OWNED BY t.a", "owned by t.a", "sequence s"),
    Mutation("unlogged sequence", S, "ALTER SEQUENCE s SET UNLOGGED", "unlogged", "sequence s"),
    # Keys, uniqueness, checks, exclusions.
    table("primary key", "DROP CONSTRAINT t_pkey", "t.t_pkey"),
    table("name of the primary key", "RENAME CONSTRAINT t_pkey TO k", "t.k"),
    constraint("order of a key", "UNIQUE (a, d)", "UNIQUE (d, a)"),
    constraint("nulls not distinct", "UNIQUE (a)", "UNIQUE NULLS NOT DISTINCT (a)", "NULLS NOT DISTINCT"),
    constraint("deferrable key", "UNIQUE (a)", "UNIQUE (a) DEFERRABLE", "DEFERRABLE"),
    constraint("columns included in a key", "UNIQUE (a)", "UNIQUE (a) INCLUDE (d)", "INCLUDE"),
    constraint("fill factor of a key's index", "UNIQUE (a)", "UNIQUE (a) WITH (fillfactor = 70)", "fillfactor"),
    Mutation("fill factor of the primary key's index", T, "ALTER INDEX t_pkey SET (fillfactor = 70)", "fillfactor"),
    constraint("unique added", "UNIQUE (a)", "UNIQUE (a, d)", "(a, d)"),
    Mutation("check added", T, "ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)", "t.k"),
    constraint("check", "CHECK (a > 0)", "CHECK (a >= 0)"),
    constraint("list of a check", "CHECK (c IN ('x', 'y'))", "CHECK (c IN ('x', 'z'))"),
    constraint("case in a check", "CHECK (c <> 'x')", "CHECK (c <> 'X')"),
    constraint("spaces in a check", "CHECK (c <> ' ')", "CHECK (c <> '  ')"),
    constraint("cast in a check", "CHECK (c <> 'x')", "CHECK (c <> 'x'::bpchar)"),
    constraint("check, not inherited", "CHECK (a > 0)", "CHECK (a > 0) NO INHERIT", "NO INHERIT"),
    constraint("check, not valid", "CHECK (a > 0)", "CHECK (a > 0) NOT VALID", "NOT VALID"),
    constraint("check, not enforced", "CHECK (a > 0)", "CHECK (a > 0) NOT ENFORCED", "NOT ENFORCED"),
    Mutation(
        "check, validated",
        f"{T} ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID;",
        "ALTER TABLE t VALIDATE CONSTRAINT k",
        "t.k",
    ),
    Mutation("exclusion added", T, "ALTER TABLE t ADD CONSTRAINT k EXCLUDE USING gist (e WITH &&)", "EXCLUDE"),
    constraint("operator of an exclusion", "EXCLUDE USING gist (e WITH &&)", "EXCLUDE USING gist (e WITH -|-)"),
    constraint(
        "predicate of an exclusion", "EXCLUDE USING gist (e WITH &&)", "EXCLUDE USING gist (e WITH &&) WHERE (a > 0)"
    ),
    # Foreign keys.
    table("foreign key added", "ADD CONSTRAINT k FOREIGN KEY (a) REFERENCES p", "t.k"),
    constraint("action on delete", "FOREIGN KEY (a) REFERENCES p", "FOREIGN KEY (a) REFERENCES p ON DELETE CASCADE"),
    constraint("action on update", "FOREIGN KEY (a) REFERENCES p", "FOREIGN KEY (a) REFERENCES p ON UPDATE CASCADE"),
    constraint(
        "columns of an action",
        "FOREIGN KEY (a, d) REFERENCES p (a, b) ON DELETE SET NULL",
        "FOREIGN KEY (a, d) REFERENCES p (a, b) ON DELETE SET NULL (d)",
    ),
    constraint(
        "columns referred to", "FOREIGN KEY (a, d) REFERENCES p (a, b)", "FOREIGN KEY (a, d) REFERENCES p (b, a)"
    ),
    constraint("match", "FOREIGN KEY (a, d) REFERENCES p (a, b)", "FOREIGN KEY (a, d) REFERENCES p (a, b) MATCH FULL"),
    table("deferrable", "ALTER CONSTRAINT k DEFERRABLE", "DEFERRABLE", K),
    table(
        "deferred",
        "ALTER CONSTRAINT k DEFERRABLE INITIALLY DEFERRED",
        "DEFERRED",
        f"{K} ALTER TABLE t ALTER CONSTRAINT k DEFERRABLE;",
    ),
    constraint("foreign key, not valid", "FOREIGN KEY (a) REFERENCES p", "FOREIGN KEY (a) REFERENCES p NOT VALID"),
    constraint(
        "foreign key, not enforced", "FOREIGN KEY (a) REFERENCES p", "FOREIGN KEY (a) REFERENCES p NOT ENFORCED"
    ),
    table("foreign key whose triggers are disabled", "DISABLE TRIGGER ALL", "constraint t.k", K),
    # Indexes.
    Mutation("index added", T, "CREATE INDEX i ON t (a)", "t.i"),
    Mutation("name of an index", I, "ALTER INDEX i RENAME TO j", "t.j"),
    index("column of an index", "(a)", "(d)"),
    index("columns of an index", "(a, d)", "(d, a)"),
    index("direction of an index", "(a)", "(a DESC)"),
    index("nulls first", "(a)", "(a NULLS FIRST)"),
    index("predicate added", "(a)", "(a) WHERE d > 0"),
    index("predicate", "(a) WHERE d > 0", "(a) WHERE d > 1"),
    index("expression", "(lower(b))", "(upper(b))"),
    index("method", "(a)", "USING hash (a)"),
    index("included column", "(a)", "(a) INCLUDE (d)"),
    index("operator class", "(b)", "(b text_pattern_ops)"),
    index("collation of an index", "(b)", '(b COLLATE "POSIX")'),
    index("storage parameter of an index", "(a)", "(a) WITH (fillfactor = 50)"),
    Mutation(
        "nulls not distinct in an index",
        f"{T} CREATE UNIQUE INDEX i ON t (a);",
        "DROP INDEX i; CREATE UNIQUE INDEX i ON t (a) NULLS NOT DISTINCT",
        "t.i",
    ),
    Mutation("unique index", I, "DROP INDEX i; CREATE UNIQUE INDEX i ON t (a)", "UNIQUE"),
    Mutation("index to cluster on", I, "ALTER TABLE t CLUSTER ON i", "clustered"),
    Mutation(
        "statistics of an index",
        f"{T} CREATE INDEX i ON t ((a + 1));",
        "ALTER INDEX i ALTER 1 SET STATISTICS 9",
        "i.expr",
    ),
    # Tables.
    Mutation("table added", "", "CREATE TABLE t ()", "table t"),
    Mutation("unlogged table", "CREATE TABLE t (a int)", "ALTER TABLE t SET UNLOGGED", "unlogged"),
    table("storage parameter", "SET (fillfactor = 70)", "fillfactor"),
    table("storage parameter of the side table", "SET (toast.autovacuum_enabled = false)", "toast"),
    table("row security", "ENABLE ROW LEVEL SECURITY", "row security"),
    table("forced row security", "FORCE ROW LEVEL SECURITY", "forced"),
    table("replica identity", "REPLICA IDENTITY FULL", "replica identity full"),
    table("replica identity by index", "REPLICA IDENTITY USING INDEX t_pkey", "replica identity"),
    Mutation("inheritance", f"{T} CREATE TABLE q (a int);", "ALTER TABLE t INHERIT q", "inherits q"),
    Mutation("table of a type", "CREATE TYPE y AS (a int); CREATE TABLE t (a int);", "ALTER TABLE t OF y", "of y"),
    Mutation(
        "bounds of a partition",
        Q,
        "ALTER TABLE q DETACH PARTITION t; ALTER TABLE q ATTACH PARTITION t FOR VALUES FROM (0) TO (8)",
        "FOR VALUES",
    ),
    Mutation(
        "partition attached", Q, "ALTER TABLE q ATTACH PARTITION s FOR VALUES FROM (9) TO (99)", "inherits q", "table s"
    ),
    Mutation("partition detached", Q, "ALTER TABLE q DETACH PARTITION t", "inherits q"),
    Mutation(
        "key of partitions",
        "CREATE TABLE t (a int, b int) PARTITION BY RANGE (a);",
        instead("TABLE t", "TABLE t (a int, b int) PARTITION BY LIST (b)"),
        "LIST (b)",
    ),
    Mutation(
        "index of a partition attached",
        f"{Q} CREATE INDEX i ON ONLY q (b); CREATE INDEX j ON t (b);",
        "ALTER INDEX i ATTACH PARTITION j",
        "part of i",
    ),
    # Triggers, rules, policies, statistics.
    Mutation("trigger added", f"{T} {G}", "CREATE TRIGGER r BEFORE INSERT ON t EXECUTE FUNCTION g()", "t.r"),
    Mutation(
        "timing of a trigger",
        R,
        instead("TRIGGER r ON t", "TRIGGER r AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()"),
        "AFTER",
    ),
    Mutation(
        "event of a trigger",
        R,
        instead("TRIGGER r ON t", "TRIGGER r BEFORE UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION g()"),
        "UPDATE OF a",
    ),
    Mutation(
        "condition of a trigger",
        R,
        instead("TRIGGER r ON t", "TRIGGER r BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.a > 0) EXECUTE FUNCTION g()"),
        "WHEN",
    ),
    Mutation(
        "argument of a trigger",
        R,
        instead("TRIGGER r ON t", "TRIGGER r BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g('x')"),
        "'x'",
    ),
    Mutation(
        "deferred trigger",
        R,
        instead(
            "TRIGGER r ON t", "CONSTRAINT TRIGGER r AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION g()"
        ),
        "DEFERRABLE",
    ),
    table("disabled trigger", "DISABLE TRIGGER r", "disabled", R),
    table("trigger on replicas", "ENABLE REPLICA TRIGGER r", "on replicas", R),
    Mutation(
        "trigger of a view",
        f"{V} {G}",
        "CREATE TRIGGER r INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION g()",
        "v.r",
        "view v",
    ),
    Mutation("rule added", T, "CREATE RULE u AS ON DELETE TO t DO INSTEAD NOTHING", "t.u"),
    Mutation("rule", U, "CREATE OR REPLACE RULE u AS ON DELETE TO t WHERE OLD.a > 0 DO INSTEAD NOTHING", "t.u"),
    table("disabled rule", "DISABLE RULE u", "disabled", U),
    Mutation("policy added", T, "CREATE POLICY y ON t", "t.y"),
    Mutation("condition of a policy", L, "ALTER POLICY y ON t USING (a > 1)", "a > 1"),
    Mutation("role of a policy", L, "ALTER POLICY y ON t TO postgres", "postgres"),
    Mutation("command of a policy", L, instead("POLICY y ON t", "POLICY y ON t FOR DELETE USING (a > 0)"), "for d"),
    Mutation(
        "restrictive policy",
        L,
        instead("POLICY y ON t", "POLICY y ON t AS RESTRICTIVE FOR SELECT USING (a > 0)"),
        "restrictive",
    ),
    Mutation("check of a policy", f"{T} CREATE POLICY y ON t;", "ALTER POLICY y ON t WITH CHECK (a > 0)", "with check"),
    Mutation("statistics added", T, "CREATE STATISTICS x ON a, d FROM t", "statistics x"),
    Mutation("kind of statistics", X, instead("STATISTICS x", "STATISTICS x (ndistinct) ON a, d FROM t"), "ndistinct"),
    Mutation("target of statistics", X, "ALTER STATISTICS x SET STATISTICS 9", "target 9"),
    # Views.
    Mutation("view added", T, "CREATE VIEW v AS SELECT a FROM t", "view v", "view v"),
    Mutation("body of a view", V, "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t WHERE a > 0", "a > 0", "view v"),
    Mutation("options of a view", V, "ALTER VIEW v SET (security_barrier)", "security_barrier", "view v"),
    Mutation(
        "check option of a view",
        V,
        "CREATE OR REPLACE VIEW v AS SELECT id, a FROM t WITH LOCAL CHECK OPTION",
        "check_option",
        "view v",
    ),
    Mutation("default of a view", V, "ALTER VIEW v ALTER a SET DEFAULT 5", "v.a", "view v"),
    Mutation("column of a view", V, "ALTER VIEW v RENAME COLUMN a TO z", "z", "view v"),
    Mutation(
        "materialized view",
        V,
        "DROP VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id, a FROM t",
        "materialized",
        "view v",
    ),
    Mutation(
        "body of a materialized view",
        M,
        "DROP MATERIALIZED VIEW v; CREATE MATERIALIZED VIEW v AS SELECT id, d, b FROM t",
        "view v",
        "view v",
    ),
    Mutation(
        "options of a materialized view", M, "ALTER MATERIALIZED VIEW v SET (fillfactor = 70)", "fillfactor", "view v"
    ),
    Mutation("index of a materialized view", M, "CREATE INDEX i ON v (a)", "v.i", "view v"),
    Mutation(
        "storage of a materialized view", M, "ALTER MATERIALIZED VIEW v ALTER b SET STORAGE MAIN", "v.b", "view v"
    ),
    # Types.
    Mutation("enumeration added", "", E, "enum", "type e"),
    Mutation("value of an enumeration", E, "ALTER TYPE e ADD VALUE 'c'", "'c'", "type e"),
    Mutation("name of a value", E, "ALTER TYPE e RENAME VALUE 'a' TO 'z'", "'z'", "type e"),
    Mutation("order of values", E, instead("TYPE e", "TYPE e AS ENUM ('b', 'a')"), "'b', 'a'", "type e"),
    Mutation("domain", D, instead("DOMAIN d", "DOMAIN d AS bigint"), "bigint", "type d"),
    Mutation("check of a domain", D, "ALTER DOMAIN d ADD CHECK (VALUE > 0)", "VALUE > 0", "type d"),
    Mutation(
        "check of a domain, not valid", D, "ALTER DOMAIN d ADD CHECK (VALUE > 0) NOT VALID", "NOT VALID", "type d"
    ),
    Mutation("default of a domain", D, "ALTER DOMAIN d SET DEFAULT 1", "default 1", "type d"),
    Mutation("nullability of a domain", D, "ALTER DOMAIN d SET NOT NULL", "not null", "type d"),
    Mutation(
        "collation of a domain",
        "CREATE DOMAIN d AS text;",
        instead("DOMAIN d", 'DOMAIN d AS text COLLATE "POSIX"'),
        "POSIX",
        "type d",
    ),
    Mutation("composite type", "CREATE TYPE y AS (a int);", "ALTER TYPE y ADD ATTRIBUTE b int", "b integer", "type y"),
    Mutation(
        "type of an attribute",
        "CREATE TYPE y AS (a int);",
        "ALTER TYPE y ALTER ATTRIBUTE a TYPE text",
        "a text",
        "type y",
    ),
    Mutation(
        "collation of an attribute",
        "CREATE TYPE y AS (a text);",
        instead("TYPE y", 'TYPE y AS (a text COLLATE "POSIX")'),
        "POSIX",
        "type y",
    ),
    Mutation(
        "range",
        "CREATE TYPE y AS RANGE (subtype = int);",
        instead("TYPE y", "TYPE y AS RANGE (subtype = bigint)"),
        "bigint",
        "type y",
    ),
    Mutation(
        "difference of a range",
        "CREATE TYPE y AS RANGE (subtype = float8);",
        instead("TYPE y", "TYPE y AS RANGE (subtype = float8, subtype_diff = float8mi)"),
        "float8mi",
        "type y",
    ),
    Mutation(
        "operators of a range",
        "CREATE TYPE y AS RANGE (subtype = text);",
        instead("TYPE y", "TYPE y AS RANGE (subtype = text, subtype_opclass = text_pattern_ops)"),
        "text_pattern_ops",
        "type y",
    ),
    Mutation(
        "collation of a range",
        "CREATE TYPE y AS RANGE (subtype = text);",
        instead("TYPE y", 'TYPE y AS RANGE (subtype = text, collation = "POSIX")'),
        "POSIX",
        "type y",
    ),
    # Functions and what is made of them.
    Mutation("function added", "", F, "function f", "function f(integer)"),
    Mutation(
        "body of a function",
        F,
        F.replace("CREATE", "CREATE OR REPLACE").replace("SELECT x", "SELECT -x"),
        "-x",
        "function f(integer)",
    ),
    Mutation(
        "line break in a function",
        F.replace("SELECT x", "SELECT x -- \\n"),
        F.replace("CREATE", "CREATE OR REPLACE").replace("SELECT x", "SELECT x -- \n"),
        "f(",
        "function f(integer)",
    ),
    Mutation("volatility", F, "ALTER FUNCTION f IMMUTABLE", "IMMUTABLE", "function f(integer)"),
    Mutation("strictness", F, "ALTER FUNCTION f STRICT", "STRICT", "function f(integer)"),
    Mutation(
        "security of a function", F, "ALTER FUNCTION f SECURITY DEFINER", "SECURITY DEFINER", "function f(integer)"
    ),
    Mutation("setting of a function", F, "ALTER FUNCTION f SET work_mem = '5MB'", "work_mem", "function f(integer)"),
    Mutation(
        "default of an argument",
        F,
        F.replace("CREATE", "CREATE OR REPLACE").replace("x int", "x int DEFAULT 1"),
        "DEFAULT 1",
        "function f(integer)",
    ),
    Mutation("procedure", "", "CREATE PROCEDURE f() LANGUAGE sql AS ''", "PROCEDURE", "function f()"),
    Mutation(
        "start of an aggregate",
        "CREATE AGGREGATE y(int) (sfunc = int4pl, stype = int, initcond = '0');",
        "CREATE OR REPLACE AGGREGATE y(int) (sfunc = int4pl, stype = int, initcond = '1')",
        "y(",
        "function y(integer)",
    ),
    Mutation(
        "combination of an aggregate",
        "CREATE AGGREGATE y(int) (sfunc = int4pl, stype = int);",
        "CREATE OR REPLACE AGGREGATE y(int) (sfunc = int4pl, stype = int, combinefunc = int4pl)",
        "y(",
        "function y(integer)",
    ),
    Mutation(
        "operator",
        "",
        "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
        "int4eq",
        "operator ===(integer,integer)",
    ),
    Mutation(
        "cast",
        f"{E} CREATE FUNCTION f(e) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE CAST (e AS int) WITH FUNCTION f(e);",
        instead("CAST (e AS int)", "CAST (e AS int) WITH FUNCTION f(e) AS IMPLICIT"),
        "f(e) i",
        "cast (e as integer)",
    ),
    Mutation(
        "event trigger",
        "CREATE FUNCTION g() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';",
        "CREATE EVENT TRIGGER r ON ddl_command_end EXECUTE FUNCTION g()",
        "ddl_command_end",
        "event trigger r",
    ),
    Mutation(
        "text search",
        "CREATE TEXT SEARCH CONFIGURATION y (COPY = simple);",
        "ALTER TEXT SEARCH CONFIGURATION y DROP MAPPING FOR word",
        "y",
        "text search y",
    ),
    Mutation(
        "dictionary",
        "CREATE TEXT SEARCH DICTIONARY y (TEMPLATE = simple);",
        "ALTER TEXT SEARCH DICTIONARY y (accept = false)",
        "accept",
        "dictionary y",
    ),
    Mutation(
        "foreign table",
        f"{Z} CREATE FOREIGN TABLE t (a int) SERVER z;",
        "ALTER FOREIGN TABLE t OPTIONS (ADD x 'y')",
        "x=y",
    ),
    Mutation(
        "server",
        Z,
        "ALTER SERVER z OPTIONS (ADD x 'y')",
        "x=y",
        "server z",
    ),
    Mutation(
        "collation of one's own",
        "CREATE COLLATION y (locale = 'C');",
        instead("COLLATION y", "COLLATION y (locale = 'POSIX')"),
        "POSIX",
        "collation y",
    ),
    Mutation("extension", "", "CREATE EXTENSION vector", "vector", "extension vector"),
    Mutation("schema", "", "CREATE SCHEMA y", "y", "schema y"),
    Mutation("table in a schema", "CREATE SCHEMA y;", "CREATE TABLE y.t (a int)", "y.t.a", "table y.t"),
    Mutation(
        "schema of a table",
        f"{T} CREATE TABLE w (); CREATE SCHEMA y;",
        "ALTER TABLE w SET SCHEMA y",
        "y.w",
        "table y.w",
    ),
    # Comments.
    *(
        Mutation(f"comment on {what.lower()}", base, f"COMMENT ON {what} IS 'noted'", "noted", subject)
        for what, base, subject in (
            ("TABLE t", T, "table t"),
            ("COLUMN t.a", T, "table t"),
            ("INDEX i", I, "table t"),
            ("CONSTRAINT k ON t", C, "table t"),
            ("TRIGGER r ON t", R, "table t"),
            ("RULE u ON t", U, "table t"),
            ("POLICY y ON t", L, "table t"),
            ("STATISTICS x", X, "table t"),
            ("VIEW v", V, "view v"),
            ("COLUMN v.a", V, "view v"),
            ("MATERIALIZED VIEW v", M, "view v"),
            ("SEQUENCE s", S, "sequence s"),
            ("TYPE e", E, "type e"),
            ("DOMAIN d", D, "type d"),
            ("CONSTRAINT k ON DOMAIN d", f"{D} ALTER DOMAIN d ADD CONSTRAINT k CHECK (VALUE > 0);", "type d"),
            ("COLUMN y.a", "CREATE TYPE y AS (a int);", "type y"),
            ("FUNCTION f", F, "function f(integer)"),
            ("SCHEMA y", "CREATE SCHEMA y;", "schema y"),
            ("COLLATION y", "CREATE COLLATION y (locale = 'C');", "collation public.y"),
        )
    ),
    Mutation("text of a comment", f"{T} COMMENT ON TABLE t IS 'a b';", "COMMENT ON TABLE t IS 'a  b'", "a  b"),
)


@pytest.fixture(scope="module")
def database(postgres_admin_url: str) -> Iterator[str]:
    """Return the URL of a database that stays empty: whatever is made in it is rolled back."""
    name = f"tbcv_test_{uuid4().hex}"
    asyncio.run(administer(postgres_admin_url, f"CREATE DATABASE {name}"))
    yield make_url(postgres_admin_url).set(database=name).render_as_string(hide_password=False)
    asyncio.run(administer(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def administer(url: str, statement: str) -> None:
    """Create or drop a database."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect, in a transaction that is rolled back."""
    engine = migration_engine(parse_database_url(url))
    try:
        async with engine.connect() as connection:
            yield connection
            await connection.rollback()
    finally:
        await engine.dispose()


async def execute(connection: AsyncConnection, script: str) -> None:
    """Execute the statements of a script."""
    await connection.execute(text("SELECT 1"))  # begins the transaction
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    # asyncpg cannot take the answer to an empty script.
    await raw.execute(script or "SELECT 1")


@dataclass
class Laboratory:
    """Where mutations are tried out.

    Attributes:
        connection: In a transaction that is rolled back after each.
        bases: The snapshots that are known, by their scripts.
    """

    connection: AsyncConnection
    bases: dict[str, Snapshot] = field(default_factory=dict)

    async def seen(self, mutation: Mutation) -> tuple[bool, Difference]:
        """Return whether a change changes the fingerprint, and what the difference is."""
        await execute(self.connection, mutation.base)
        if mutation.base not in self.bases:
            self.bases[mutation.base] = await self.connection.run_sync(take_snapshot)
        before = self.bases[mutation.base]
        await execute(self.connection, mutation.change)
        after = await self.connection.run_sync(take_snapshot)
        await self.connection.rollback()
        return before.fingerprint != after.fingerprint, compare(before, after)


async def test_every_mutation_is_seen(database: str) -> None:
    """A single change of a schema changes its fingerprint, and the difference names the changed object: n of n."""
    unseen, unnamed = [], []
    async with connected(database) as connection:
        laboratory = Laboratory(connection)
        for mutation in MUTATIONS:
            seen, difference = await laboratory.seen(mutation)
            facts = (*difference.missing, *difference.unexpected)
            if not seen:
                unseen.append(mutation.name)
            elif not any(mutation.subject == fact.subject and mutation.names in fact.line for fact in facts):
                unnamed.append((mutation.name, facts))
    print(f"PostgreSQL: {len(MUTATIONS) - len(unseen)} of {len(MUTATIONS)} mutations seen")  # noqa: T201  # the rate
    assert (unseen, unnamed) == ([], [])
    assert len({one.name for one in MUTATIONS}) == len(MUTATIONS) >= 45


async def test_session_settings_are_not_seen(database: str) -> None:
    """How a session prints dates, numbers and names makes no difference, and is as it was afterwards."""
    table = (
        "CREATE TABLE t (a timestamptz DEFAULT '2020-01-02 03:04:05+00', b interval DEFAULT '1 day 2 hours', "
        "c bytea DEFAULT '\\x00ff', d float8 DEFAULT 0.1::float8, e date DEFAULT '2020-01-02')"
    )
    settings = {
        "timezone": "Asia/Tokyo",
        "datestyle": "SQL, DMY",
        "intervalstyle": "iso_8601",
        "bytea_output": "escape",
        "extra_float_digits": "-5",
        "quote_all_identifiers": "on",
    }
    async with connected(database) as connection:
        await execute(connection, table)
        before = await connection.run_sync(take_snapshot)
        await execute(connection, "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items()))
        after = await connection.run_sync(take_snapshot)
        kept = {name: await connection.scalar(text(f"SELECT current_setting('{name}')")) for name in settings}
    assert before.text == after.text
    assert kept == settings


async def test_others_are_not_seen(database: str) -> None:
    """Neither temporary tables nor what belongs to an extension is part of a schema."""
    async with connected(database) as connection:
        await execute(connection, "CREATE TABLE t (id int); CREATE EXTENSION vector")
        before = await connection.run_sync(take_snapshot)
        await execute(connection, "CREATE TEMPORARY TABLE x (id serial); CREATE TABLE alembic_version (v text)")
        after = await connection.run_sync(take_snapshot)
    assert before.text == after.text
    assert before.subjects == {"table t", "extension vector"}
