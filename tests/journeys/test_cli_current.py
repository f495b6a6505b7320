"""`tbcv migrate current`: the state of a database in words, for people and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.command_line import CHAIN, COLOUR, HEAD, CommandLine, copied, execute, load_legacy, upgrade
from tests.migrations.chain import Chain
from tests.migrations.dumps import UNVERSIONED, load


def test_from_empty_to_head(tbcv: CommandLine) -> None:
    """The same command says `empty`, `behind by n` and `at head` as the database grows; --check judges."""
    assert tbcv.url is not None
    empty = tbcv.document("current")
    assert set(empty) == {
        "schema",
        "kind",
        "database",
        "state",
        "description",
        "current",
        "heads",
        "pending",
        "unknown",
        "above",
        "blocking",
    }
    assert (empty["kind"], empty["state"], empty["current"]) == ("current", "empty", [])
    assert (empty["heads"], empty["pending"]) == ([HEAD], list(CHAIN))
    upgrade(tbcv.url, "009")
    behind = tbcv.document("current", "--check", code=1)
    assert (behind["state"], behind["description"]) == ("behind", "behind by 2")
    assert (behind["current"], behind["pending"]) == (["009"], ["010", "011"])
    said = tbcv("current", "-v")
    assert "behind by 2" in said.out
    assert "010_json_documents.py" not in said.out
    assert [line.split()[0] for line in said.out.splitlines()[-2:]] == ["010", "011"]
    upgrade(tbcv.url)
    said = tbcv("current", "--check")
    assert said.err == ""
    assert "\x1b" not in said.out
    assert [line.split(maxsplit=1)[0] for line in said.out.splitlines()] == ["database", "state", "current", "head"]
    assert "at head" in said.out


def test_a_managed_table_without_a_revision(tbcv: CommandLine, tmp_path: Path) -> None:
    """A database of TBCV 2.0 that nobody stamped is `unversioned`, and nothing migrates it in either direction."""
    assert tbcv.url is not None
    if tbcv.url.startswith("sqlite"):
        load(UNVERSIONED, Chain(tbcv.url).path)
    else:
        execute(tbcv.url, "CREATE TABLE workflows (id varchar(36) PRIMARY KEY)")
    found = tbcv.document("current", "--verbose")
    assert (found["state"], found["description"], found["current"]) == ("unversioned", "unversioned", [])
    assert "workflows" in tbcv("current").out
    assert "no revision recorded" in tbcv.refused("upgrade")
    assert "no revision recorded" in tbcv.refused("downgrade", "-r", "base", "--yes")
    error = tbcv.document("upgrade", code=3)
    assert (error["kind"], error["error"]["code"]) == ("error", "database-unversioned")
    assert error["error"]["hint"]


def test_somebody_elses_table_is_no_schema_of_ours(tbcv: CommandLine) -> None:
    """A database that holds only a table that tbcv does not know is `empty`."""
    assert tbcv.url is not None
    execute(tbcv.url, "CREATE TABLE holidays (day date)")
    assert tbcv.document("current")["state"] == "empty"


@pytest.mark.parametrize(
    ("revisions", "state", "unknown"),
    [
        (["feedbeef"], "ahead", ["feedbeef"]),
        (["010", "feedbeef"], "diverged", ["feedbeef"]),
        (["003", "010"], "diverged", []),
    ],
)
def test_a_place_that_this_release_does_not_know(
    tbcv: CommandLine, revisions: list[str], state: str, unknown: list[str]
) -> None:
    """An unknown revision is `ahead`, two that exclude each other are `diverged`; neither is migrated or hidden."""
    assert tbcv.url is not None
    upgrade(tbcv.url, "001")
    rows = ", ".join(f"('{one}')" for one in revisions)
    execute(tbcv.url, f"DELETE FROM alembic_version; INSERT INTO alembic_version VALUES {rows}")
    found = tbcv.document("current", "--check", code=1)
    assert (found["state"], found["current"], found["unknown"]) == (state, revisions, unknown)
    history = tbcv.document("history")
    assert (history["state"], history["current"]) == (state, revisions)
    assert {one["applied"] for one in history["revisions"]} == {None}
    with copied(tbcv.url, tbcv.directory) as copy:
        for arguments in (["upgrade"], ["downgrade", "-r", "base", "--yes"], ["upgrade", "--sql"]):
            line = tbcv.refused(*arguments)
            assert revisions[-1] in line
        assert tbcv.document("current") | {"database": ""} == tbcv.at(copy).document("current") | {"database": ""}


def test_looking_creates_nothing(on_sqlite: CommandLine) -> None:
    """Commands that read leave no file and no directory where there is no database."""
    missing = on_sqlite.directory / "not" / "there.db"
    tbcv = on_sqlite.at(f"sqlite:///{missing}")
    assert tbcv.document("current")["state"] == "empty"
    assert "pending" in tbcv("history").out
    assert tbcv("upgrade", "--sql").out.startswith("-- upgrade to head: 001")
    assert tbcv("stamp", "005", "--sql").out.startswith("BEGIN;")
    assert "nothing to do" in tbcv("downgrade", "-r", "base", "--yes").out
    assert "below" in tbcv.refused("downgrade", "-r", "005", "--yes")
    assert list(on_sqlite.directory.iterdir()) == []


def test_looking_changes_nothing(tbcv: CommandLine, tmp_path: Path) -> None:
    """Commands that read leave a SQLite file as it is, to the byte, and no file beside it."""
    assert tbcv.url is not None
    load_legacy(tbcv.url, tmp_path)
    before = sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.db*"))
    tbcv("current", "-v")
    tbcv("history", "-v")
    tbcv("upgrade", "--sql")
    assert sorted((path.name, path.read_bytes()) for path in tmp_path.glob("*.db*")) == before


def test_colours(on_sqlite: CommandLine) -> None:
    """A pipe gets no escape codes unless FORCE_COLOR asks for them; NO_COLOR wins over that; JSON never has any."""
    assert "\x1b" not in on_sqlite("current").out
    assert COLOUR.search(on_sqlite.having(FORCE_COLOR="1")("current").out)
    assert not COLOUR.search(on_sqlite.having(FORCE_COLOR="1", NO_COLOR="1")("current").out)
    assert on_sqlite.having(FORCE_COLOR="1").document("current")["state"] == "empty"


def test_a_narrow_character_set(on_sqlite: CommandLine) -> None:
    """A stream that cannot take an arrow gets something else instead of an error."""
    upgrade(str(on_sqlite.url))
    said = on_sqlite.having(PYTHONIOENCODING="ascii")("history")
    assert "011" in said.out
    assert on_sqlite.having(PYTHONIOENCODING="ascii").document("history")["current"] == [HEAD]


def test_which_database(on_sqlite: CommandLine) -> None:
    """--database-url counts before and after the subcommand and wins over both routes of the environment."""
    first, second = (f"sqlite:///{on_sqlite.directory}/{name}.db" for name in ("first", "second"))
    upgrade(first)
    for arguments in (["--database-url", first, "current"], ["current", "--database-url", first]):
        found = on_sqlite.at(second).document(*arguments)
        assert (found["database"].endswith("/first.db"), found["state"]) == (True, "at-head")
    elsewhere = on_sqlite.at(second).having(TBCV_MIGRATION_DATABASE_URL=second)
    assert elsewhere.document("current", "--database-url", first)["state"] == "at-head"
    assert elsewhere.at(first).document("current")["state"] == "empty"
    inner = on_sqlite.document("--database-url", second, "current", "--database-url", first)
    assert inner["state"] == "at-head"


def test_nothing_configured(on_sqlite: CommandLine) -> None:
    """Without any setting the database is data/tbcv.db below the working directory, and looking makes neither."""
    found = on_sqlite.at(None).document("current")
    assert found["database"].endswith("data/tbcv.db")
    assert list(on_sqlite.directory.iterdir()) == []
