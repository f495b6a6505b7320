"""Statements with their parameters written in, and the scripts made of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tbcv.migrate.history import Revision
from tbcv.migrate.plan import Direction, Plan
from tbcv.migrate.preview import expand, finish_postgresql_script, script_text, stamp_script


@pytest.mark.parametrize(
    "value",
    [None, 0, -7, 2**62, 0.1, 1e300, float("inf"), float("-inf"), "", "it's ? -- ;", 'a "b"', "ä\n日", b"", b"\x00'?"],
)
def test_literals(value: object) -> None:
    """A value written into a statement is the value that a parameter would have been."""
    with closing(sqlite3.connect(":memory:")) as connection:
        (found,) = connection.execute(expand("SELECT ?", (value,))).fetchone()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("statement", "parameters", "expected"),
    [
        ("  SELECT 1 ", None, "SELECT 1"),
        ("SELECT '?', \"?\", ? -- ?", (1,), "SELECT '?', \"?\", 1 -- ?"),
        ("SELECT 'it''s ?', ?", ("x",), "SELECT 'it''s ?', 'x'"),
        ("SELECT /* ? */ ?, ?", (1, True), "SELECT /* ? */ 1, 1"),
        ("SELECT ?", (float("nan"),), "SELECT NULL"),
    ],
)
def test_placeholders(statement: str, parameters: tuple[object, ...] | None, expected: str) -> None:
    """Question marks in strings, names and comments are no placeholders."""
    assert expand(statement, parameters) == expected


def test_scripts() -> None:
    """A script says what it is, sets what a bare client would not, and records any number of revisions."""
    step = Revision("a1", (), (), (), "", "", Path("a1.py"))
    plan = Plan(Direction.UPGRADE, (), "head", (step,))
    assert script_text(plan, ["BEGIN;", "COMMIT;"]) == "-- upgrade to head: a1\nBEGIN;\nCOMMIT;\n"
    assert finish_postgresql_script("\nBEGIN;\n\n").endswith("\n\nBEGIN;\n")
    with closing(sqlite3.connect(":memory:")) as connection:
        for revisions in (("a1",), ("o'b", "b2"), ()):
            connection.executescript(stamp_script(revisions))
            rows = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1").fetchall()
            assert sorted(revisions) == [row[0] for row in rows]
