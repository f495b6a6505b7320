"""`--sql`: replayed by a bare client, the script leaves the same schema and rows as the real run."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.command_line import (
    HEAD,
    CommandLine,
    contents,
    copied,
    execute,
    load_legacy,
    recorded,
    write_environment,
    write_revision,
)

ONLINE = """
from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""


def test_replays_of_a_legacy_database(tbcv: CommandLine, tmp_path: Path) -> None:
    """With the rows of TBCV 2.0: up from 001 to head, and from there down to 005 and to 001."""
    assert tbcv.url is not None
    load_legacy(tbcv.url, tmp_path)
    before = contents(tbcv.url)
    with copied(tbcv.url, tmp_path) as copy:
        document = tbcv.document("upgrade", "--sql")
        assert set(document) == {"schema", "kind", "database", "direction", "before", "target", "steps", "sql"}
        assert (document["kind"], document["direction"], document["before"]) == ("script", "upgrade", ["001"])
        assert document["steps"][-1] == HEAD
        assert contents(tbcv.url) == before
        execute(copy, document["sql"])
        tbcv("upgrade")
        assert contents(copy) == contents(tbcv.url)
    with copied(tbcv.url, tmp_path) as to_005, copied(tbcv.url, tmp_path) as to_001:
        before = contents(tbcv.url)
        down = tbcv("downgrade", "-r", "005", "--sql")
        assert down.err == ""
        execute(to_005, down.out)
        execute(to_001, tbcv("downgrade", "-r", "001", "--sql").out)
        assert contents(tbcv.url) == before
        tbcv("downgrade", "-r", "005", "--yes")
        assert contents(to_005) == contents(tbcv.url)
        tbcv("downgrade", "-r", "001", "--yes")
        assert contents(to_001) == contents(tbcv.url)


def test_replays_of_an_empty_database(tbcv: CommandLine, tmp_path: Path) -> None:
    """From nothing to head and back to nothing; where nothing is to be done, the script is a comment."""
    assert tbcv.url is not None
    with copied(tbcv.url, tmp_path) as copy:
        execute(copy, tbcv("upgrade", "--sql").out)
        tbcv("upgrade")
        assert contents(copy) == contents(tbcv.url)
        execute(copy, tbcv.at(copy)("downgrade", "-r", "base", "--sql").out)
        tbcv("downgrade", "-r", "base", "--yes")
        assert contents(copy) == contents(tbcv.url)
        assert recorded(copy) == []
    nothing = tbcv("downgrade", "-r", "base", "--sql").out
    assert nothing == "-- nothing to do: the database is at base\n"


def test_without_an_offline_mode(tbcv: CommandLine, tmp_path: Path) -> None:
    """SQLite's script is recorded from a run; PostgreSQL's is env.py's to write, and where it cannot, that is said."""
    ini = str(write_environment(tmp_path / "other"))
    (tmp_path / "other/script/env.py").write_text(ONLINE, encoding="utf-8")
    write_revision(tmp_path / "other/script/versions", "a1", None)
    if str(tbcv.url).startswith("sqlite"):
        assert "INSERT INTO alembic_version" in tbcv("-c", ini, "upgrade", "--sql").out
    else:
        assert "env.py has no offline mode" in tbcv.refused("-c", ini, "upgrade", "--sql")
    assert tbcv.document("-c", ini, "upgrade")["after"] == ["a1"]
