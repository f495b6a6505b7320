"""Random SQLite schemas: spelled twice they are equal, another one is not, and none of them breaks the parser."""

from __future__ import annotations

import random
import re
import sqlite3
import string
from contextlib import closing
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from tbcv.migrate.snapshot import Snapshot, take_snapshot

NAMES = ("id", "check", "primary", "two words", 'q"uote', "key", "É", "desc", "a.b", "(", "end", "state", "value")
TYPES = ("", "INTEGER", "VARCHAR(10)", "DOUBLE PRECISION", "UNSIGNED BIG INT", "NUMERIC(10, -2)")
DEFAULTS = ("", "0", "-1.5", "'x  Y'", "'it''s, (a) -- b'", "CURRENT_TIMESTAMP", "(upper('x'))", "NULL", "TRUE")
CHECKS = ("", "{0} > 0", "{0} IN ('a', 'B', ')')", "{0} <> '/* UNIQUE, */'", "length({0}) > 1 OR {0} IS NULL")
OPTIONS = ("", "STRICT", "WITHOUT ROWID")


@dataclass(frozen=True)
class Column:
    """A column and what can be said of it alone."""

    name: str
    kind: str = ""
    default: str = ""
    collation: str = ""
    check: str = ""
    label: str = ""
    required: bool = False
    unique: bool = False
    action: str | None = None


@dataclass(frozen=True)
class Schema:
    """A table, an index, and the table that it refers to."""

    columns: tuple[Column, ...]
    key: str
    predicate: bool


columns = st.builds(
    Column,
    st.sampled_from(NAMES),
    st.sampled_from(TYPES),
    st.sampled_from(DEFAULTS),
    st.sampled_from(("", "NOCASE", "RTRIM")),
    st.sampled_from(CHECKS),
    st.sampled_from(("", "label", "not")),
    st.booleans(),
    st.booleans(),
    st.sampled_from((None, "", "ON DELETE CASCADE", "ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED")),
)


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw a schema whose columns have names of their own."""
    some = draw(st.lists(columns, min_size=1, max_size=5, unique_by=lambda column: column.name))
    return Schema(tuple(some), draw(st.sampled_from([column.name for column in some])), draw(st.booleans()))


class Speller:
    """Spells a schema in one of the many ways in which SQLite takes it."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def schema(self, schema: Schema) -> str:
        """Write the script."""
        parts, constraints = [], []
        for column in self.dice.sample(schema.columns, len(schema.columns)):
            definition, apart = self.column(column, key=column.name == schema.key)
            parts.append(definition)
            constraints += apart
        self.dice.shuffle(constraints)
        table = f"CREATE TABLE {self.name('t')} ({', '.join([*parts, *constraints])})"
        key = self.name(schema.key)
        where = self.dice.choice(("WHERE {} IS NOT NULL", "WHERE ({} IS NOT NULL)")).format(self.name(schema.key))
        index = (
            f"CREATE UNIQUE INDEX i ON t ({key} {self.dice.choice(('', 'ASC'))}) {where if schema.predicate else ''}"
        )
        return "; ".join(("CREATE TABLE p (id PRIMARY KEY)", self.words(table), self.words(index)))

    def column(self, column: Column, *, key: bool) -> tuple[str, list[str]]:
        """Write a column and the constraints that are to stand after all columns."""
        name = self.name(column.name)
        clauses = [f"DEFAULT {column.default}"] if column.default else []
        clauses += [f"COLLATE {column.collation}"] if column.collation else []
        clauses += ["NOT NULL"] if column.required else []
        apart: list[str] = []
        label = f"CONSTRAINT {self.name(column.label)} " if column.label else ""
        both = [("UNIQUE", f"UNIQUE ({name})")] if column.unique else []
        both += [("PRIMARY KEY", f"PRIMARY KEY ({name})")] if key else []
        both += [(f"CHECK ({column.check.format(name)})",) * 2] if column.check else []
        if column.action is not None:
            refer = f"REFERENCES {self.name('p')} (id) {column.action}"
            both += [(refer, f"FOREIGN KEY ({name}) {refer}")]
        for here, there in both:
            if self.dice.random() < 0.5:
                clauses.append(label + here)
            else:
                apart.append(label + there)
        self.dice.shuffle(clauses)
        return f"{name} {column.kind} {' '.join(clauses)}", apart

    def name(self, name: str) -> str:
        """Quote a name in one of the ways there are, or not at all."""
        ways = [f'"{name.replace(chr(34), chr(34) * 2)}"', f"`{name}`", f"[{name}]"]
        if name in ("id", "t", "p", "key", "state", "value", "label", "desc", "end"):
            ways.append(name)
        return self.case(self.dice.choice(ways))

    def words(self, sql: str) -> str:
        """Change the case of keywords, and put spaces and comments between words; strings and names stay."""
        pieces = re.split(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])""", sql)
        gaps = (" ", "  ", "\n", "\t", " /* , ( ' */ ", " -- it's )\n")
        for place in range(0, len(pieces), 2):
            pieces[place] = re.sub(" ", lambda _: self.dice.choice(gaps), self.case(pieces[place]))
        return "".join(pieces)

    def case(self, text: str) -> str:
        """Change the case of the letters of ASCII."""
        return "".join(
            self.dice.choice((one.lower(), one.upper())) if one in string.ascii_letters else one for one in text
        )


def snapshot(script: str) -> Snapshot:
    """Return the snapshot of a new database."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.executescript(script)
            return take_snapshot(connection)
    finally:
        engine.dispose()


@settings(max_examples=150, deadline=None)
@given(schemas(), st.integers(), st.integers())
def test_two_spellings_are_equal(schema: Schema, first: int, second: int) -> None:
    """A schema spelled twice, its columns in another order, has one fingerprint."""
    one = snapshot(Speller(random.Random(first)).schema(schema))
    other = snapshot(Speller(random.Random(second)).schema(schema))
    assert one.text == other.text


@settings(max_examples=150, deadline=None)
@given(schemas(), columns, st.integers(), st.data())
def test_another_schema_is_not_equal(schema: Schema, column: Column, seed: int, data: st.DataObject) -> None:
    """A schema of which one attribute of one column is another one has another fingerprint."""
    place = data.draw(st.integers(0, len(schema.columns) - 1))
    attribute = data.draw(st.sampled_from(("kind", "default", "collation", "check", "required", "unique", "action")))
    changed = replace(schema.columns[place], **{attribute: getattr(column, attribute)})
    others = (*schema.columns[:place], changed, *schema.columns[place + 1 :])
    one = snapshot(Speller(random.Random(seed)).schema(schema))
    other = snapshot(Speller(random.Random(seed)).schema(replace(schema, columns=others)))
    assert (one.text == other.text) == (changed == schema.columns[place])


FRAGMENTS = (
    *("a", '"b"', "'c'", "[d e]", "`f`", "É", "😀", "generated", "always", "strict", "key", "text", "(10)", "(1, -2)"),
    *("CONSTRAINT x", "NOT NULL", "NULL", "DEFAULT -1", "DEFAULT +1.5e-3", "DEFAULT x", "DEFAULT (1)", "DEFAULT ''"),
    *("DEFAULT x'00'", "COLLATE NOCASE", 'COLLATE "RTRIM"', "PRIMARY KEY", "DESC", "AUTOINCREMENT", "UNIQUE"),
    *("ON CONFLICT REPLACE", "CHECK (1)", "CHECK ('(' <> \"a)\")", "REFERENCES p", "REFERENCES p (id)", "MATCH FULL"),
    *("ON DELETE SET NULL", "ON UPDATE SET DEFAULT", "ON DELETE NO ACTION", "DEFERRABLE", "NOT DEFERRABLE"),
    *("INITIALLY DEFERRED", "AS (1)", "GENERATED ALWAYS AS (a) STORED", "VIRTUAL", ", ", ",", ", z", ", y INTEGER"),
    *("UNIQUE (a)", "PRIMARY KEY (a)", "FOREIGN KEY (a) REFERENCES p", "CHECK (a > 0) ON CONFLICT FAIL", "/* ( */"),
    *("-- '\n", "(a)", "CASE WHEN 1 THEN 2 END", "CURRENT_DATE", "TRUE"),
)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=8),
    st.lists(st.sampled_from(FRAGMENTS), max_size=6),
    st.sampled_from(OPTIONS),
)
def test_parser_takes_what_sqlite_takes(first: list[str], second: list[str], option: str) -> None:
    """Whatever CREATE TABLE SQLite accepts has facts, one for each of its columns among them."""
    ends = f", {' '.join(second)}" if second else ""
    script = f"CREATE TABLE t (a {' '.join(first)}{ends}) {option}"
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(script)
        except (sqlite3.Error, UnicodeDecodeError):  # its messages may cut a character in two
            return
        connection.text_factory = bytes  # SQLite cuts off quotes from types, and so from characters beyond ASCII
        there = len(connection.execute("PRAGMA table_xinfo(t)").fetchall())
    lines = [fact.line for fact in snapshot(script).facts]
    assert sum(line.startswith("column t.") for line in lines) == there, script
