"""What goes wrong: one line on stderr, the right exit code, no password, and a database as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.journeys.command_line import (
    CommandLine,
    bytes_of,
    copy_checkout,
    recorded,
    upgrade,
    write_environment,
    write_revision,
)
from tests.rights import ordinary

SECRET = "hunter2-zQ9"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", 2),
        ("not a url", 2),
        (f"postgres//me:{SECRET}@host/db", 2),
        (f"mysql://me:{SECRET}@host/db", 2),
        (f"postgresql+psycopg9://me:{SECRET}@host/db", 2),
        (f"postgresql://me:{SECRET}@127.0.0.1:1/db", 3),
        (f"postgresql://me:{SECRET}@127.0.0.1:99999/db", 2),
    ],
)
def test_urls_that_lead_nowhere(on_sqlite: CommandLine, url: str, code: int) -> None:
    """A URL that is malformed is a matter of configuration, one where nobody answers a failure; neither tells."""
    for words in (["upgrade"], ["current", "--database-url", url]):
        tbcv = on_sqlite.at(url if words == ["upgrade"] else None)
        assert SECRET not in tbcv.refused(*words, code=code)


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


def test_a_file_that_may_not_be_written(on_sqlite: CommandLine) -> None:
    """A read-only file can be looked at and not migrated."""
    upgrade(str(on_sqlite.url), "010")
    before = bytes_of(str(on_sqlite.url))
    path = Path(str(on_sqlite.url).removeprefix("sqlite:///"))
    path.chmod(0o444)

    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*ordinary(), *on_sqlite.command(*words)],
            cwd=on_sqlite.directory,
            env=on_sqlite.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    code, out, _ = run("current")
    assert (code, "behind by 1" in out) == (0, True)
    code, out, err = run("upgrade")
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    assert "readonly database" in line
    assert bytes_of(str(on_sqlite.url)) == before


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
