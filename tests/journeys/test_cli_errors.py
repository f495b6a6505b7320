"""What goes wrong: one line on stderr, the right exit code, no password, and a database as it was."""

from __future__ import annotations

from pathlib import Path

from tests.journeys.command_line import (
    CommandLine,
    bytes_of,
    copy_checkout,
    recorded,
    upgrade,
    write_environment,
    write_revision,
)

SECRET = "hunter2-zQ9"


def test_a_file_that_is_no_database(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """A file of something else is neither read as an empty database nor written."""
    path = tmp_path / "photo.db"
    path.write_bytes(b"this is a photograph" * 500)
    tbcv = on_sqlite.at(f"sqlite:///{path}")
    for words in (
        ["current"],
        ["upgrade"],
        ["downgrade", "-r", "base", "--yes"],
        ["stamp", "head"],
        ["upgrade", "--sql"],
    ):
        assert "not a database" in tbcv.refused(*words)
    assert path.read_bytes() == b"this is a photograph" * 500


def test_broken_histories(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """Files that form no history are named, by every command that needs one; the database is not touched."""
    upgrade(str(on_sqlite.url), "009")
    before = bytes_of(str(on_sqlite.url))
    tbcv = on_sqlite.within(copy_checkout(tmp_path / "copy"))
    versions = tmp_path / "copy/migrations/versions"

    def refused(*words: str) -> str:
        lines = {tbcv.refused(*one) for one in (["upgrade"], ["current"], list(words) or ["history"])}
        (line,) = lines
        return line

    broken = write_revision(versions, "0a0a", "011", "pass pass")
    assert "0a0a_by_hand.py line" in refused()
    broken.unlink()
    twice = write_revision(versions, "005", "004")
    assert "revision 005 stands twice" in refused("heads")
    twice.unlink()
    orphan = write_revision(versions, "0a0a", "0b0b")
    assert "0b0b" in refused("heads")
    broken_history = tbcv.document("check", code=1)
    assert [(one["code"], one["revision"]) for one in broken_history["findings"]] == [("parent-missing", "0a0a")]
    write_revision(versions, "0b0b", "0a0a")
    assert "circle" in refused("stamp", "head")
    orphan.unlink()
    write_revision(versions, "0b0b", "010")
    for words in (["upgrade"], ["create", "more"]):
        assert "0b0b" in tbcv.refused(*words)
    assert tbcv.document("current")["heads"] == ["011", "0b0b"]
    document = tbcv.document("upgrade", code=3)
    assert (document["kind"], document["error"]["code"]) == ("error", "multiple-heads")
    assert bytes_of(str(on_sqlite.url)) == before


def test_usage(on_sqlite: CommandLine, tmp_path: Path) -> None:
    """What click refuses has exit code 2 and one line, which says where the options are listed."""
    for words in (["downgrade"], ["stamp"], ["create"], ["nonsense"], ["current", "--nonsense"]):
        assert "--help" in on_sqlite.refused(*words, code=2)
    ini = str(write_environment(tmp_path / "other"))
    assert on_sqlite("-c", ini, "upgrade").out == "nothing to do: the database is at base\n"
    assert not Path(str(on_sqlite.url).removeprefix("sqlite:///")).exists()


def test_a_wrong_password(postgres_url: str, on_sqlite: CommandLine) -> None:
    """A server that refuses the login is a failure that names the database and not the password."""
    url = postgres_url.replace("//postgres@", f"//nobody_known:{SECRET}@")
    line = on_sqlite.at(url).refused("upgrade")
    assert "nobody_known" in line
    assert SECRET not in line
    assert SECRET not in on_sqlite.at(url)("history").err
    upgrade(postgres_url, "001")
    assert recorded(postgres_url) == ["001"]
