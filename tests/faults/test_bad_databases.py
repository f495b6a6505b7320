"""Files and servers that cannot be used: one line that says why, soon, and nothing is changed."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from tests.faults.commands import ROOT, Done, Forge, ask, until
from tests.faults.figures import Figures
from tests.migrations.chain import Chain
from tests.rights import ordinary

COMMANDS = ("current", "history", "upgrade")
PASSWORD = "s3cr3t-w0rd"
SECONDS = 25


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        f"postgres//me:{PASSWORD}@host/db",
        f"postgresql://me:{PASSWORD}@host/db\n",
        f"mysql://me:{PASSWORD}@host/db",
        f"postgresql+psycopg9://me:{PASSWORD}@host/db",
        f"postgresql://me:{PASSWORD}@127.0.0.1:99999/db",
    ],
    ids=["empty", "words", "malformed", "newline", "engine", "driver", "port"],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_url_that_means_no_database(forge: Forge, command: str, url: str) -> None:
    """A URL that cannot be understood is a matter of configuration, for every command."""
    done = forge.start("migrate", "--database-url", url, command).finish()
    assert (done.code, done.out) == (2, ""), done
    assert len(done.err.splitlines()) == 1
    assert "database" in done.line
    assert PASSWORD not in done.err
    assert done.seconds < SECONDS


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (b"this is a letter and no database, " * 200, "file is not a database"),
        (b"SQLite format 3\0" + b"\x10\x00\x01\x01\x00\x40\x20\x20" + b"\xff" * 9000, ""),
    ],
    ids=["text", "corrupt header"],
)
def test_no_database(forge: Forge, tmp_path: Path, command: str, contents: bytes, why: str) -> None:
    """A file that is no SQLite database is refused by every command, and its bytes stay."""
    file = tmp_path / "letter.db"
    file.write_bytes(contents)
    done = _fails(forge, command, f"sqlite:///{file}")
    assert why in done.err
    assert file.read_bytes() == contents
    _only_lock_beside(file, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_corrupt_file(forge: Forge, sqlite_url: str, command: str) -> None:
    """A database with overwritten pages is refused, and its bytes stay."""
    forge.run("migrate", "--database-url", sqlite_url, "upgrade", "-r", "003")
    file = Chain(sqlite_url).path
    contents = bytearray(file.read_bytes())
    contents[100:4096] = os.urandom(3996)
    file.write_bytes(contents)
    _fails(forge, command, sqlite_url)
    assert file.read_bytes() == contents


def test_a_file_with_a_corrupt_page_in_the_middle(forge: Forge, sqlite_url: str) -> None:
    """What is found damaged half-way is rolled back and written to no more, not even by the journal."""
    forge.run("migrate", "--database-url", sqlite_url, "upgrade")
    file = Chain(sqlite_url).path
    contents = bytearray(file.read_bytes())
    middle = len(contents) // 8192 * 4096
    contents[8192:middle] = os.urandom(middle - 8192)
    file.write_bytes(contents)
    done = forge.start("migrate", "--database-url", sqlite_url, "downgrade", "-r", "base", "--yes").finish()
    assert done.code == 3, done
    assert "malformed" in done.line or "corrupt" in done.line or "not a database" in done.line
    assert file.read_bytes() == contents


def test_a_locked_file(forge: Forge, sqlite_url: str, figures: Figures) -> None:
    """While another process holds the file exclusively, every command waits some seconds and says so."""
    forge.run("migrate", "--database-url", sqlite_url, "upgrade", "-r", "003")
    file = Chain(sqlite_url).path
    before = file.read_bytes()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ends = _all_fail(forge, sqlite_url)
        assert all("database is locked" in done.err for done in ends.values())
        other.execute("ROLLBACK")
    assert file.read_bytes() == before
    forge.run("migrate", "--database-url", sqlite_url, "upgrade")
    for command, done in ends.items():
        figures.note(f"{command} on a locked file", f"says so after {done.seconds:.1f} s")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreachable_host(forge: Forge, command: str) -> None:
    """A host that refuses connections is named in one line, without the password."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = _fails(forge, command, f"postgresql://someone:{PASSWORD}@127.0.0.1:{port}/db")
    assert f"127.0.0.1:{port}" in done.err


def test_a_server_that_never_answers(forge: Forge, figures: Figures) -> None:
    """A server that accepts and says nothing is given up after seconds by every command."""
    with _silent_server() as port:
        ends = _all_fail(forge, f"postgresql://someone:{PASSWORD}@127.0.0.1:{port}/db")
    for command, done in ends.items():
        assert "timed out" in done.err
        figures.note(f"{command} on a server that never answers", f"gives up after {done.seconds:.1f} s")


@pytest.mark.postgresql
@pytest.mark.parametrize("command", COMMANDS)
def test_no_such_database(forge: Forge, postgres_admin_url: str, command: str) -> None:
    """A database that does not exist is named in one line."""
    url = make_url(postgres_admin_url).set(database="nowhere").render_as_string(hide_password=False)
    assert "does not exist" in _fails(forge, command, url).err


@pytest.mark.postgresql
def test_missing_rights(forge: Forge, postgres_url: str) -> None:
    """A role without the right to create tables is told so, and nothing is changed; looking is allowed."""
    url = make_url(postgres_url)
    ask(postgres_url, "DO $$ BEGIN CREATE ROLE guest LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN END $$")
    guest = url.set(username="guest", password=PASSWORD).render_as_string(hide_password=False)
    forge.run("migrate", "--database-url", guest, "current")
    assert "permission denied" in _fails(forge, "upgrade", guest).err
    assert ask(postgres_url, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []


@pytest.mark.postgresql
@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_password(forge: Forge, postgres_url: str, command: str) -> None:
    """A server that asks for a password, and gets another one, refuses in one line; the right one is let in."""
    with _asks_for_password(postgres_url) as role:
        url = make_url(postgres_url).set(username=role, host="127.0.0.1")
        wrong = _fails(forge, command, url.set(password=PASSWORD).render_as_string(hide_password=False))
        assert f'password authentication failed for user "{role}"' in wrong.err
        assert ask(postgres_url, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []
        right = url.set(password="right").render_as_string(hide_password=False)
        done = forge.run("migrate", "--database-url", right, "history")
        assert "right" not in done.out + done.err


@pytest.mark.postgresql
@pytest.mark.parametrize("command", COMMANDS)
def test_terminated_sessions(forge: Forge, postgres_url: str, command: str) -> None:
    """A database that admits nobody is refused in one line."""
    name = make_url(postgres_url).database
    admin = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    ask(admin, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    assert "not currently accepting connections" in _fails(forge, command, postgres_url).err


@pytest.mark.parametrize("command", ["current", "history"])
def test_looking_creates_nothing(forge: Forge, tmp_path: Path, command: str) -> None:
    """A command that only looks makes neither a file nor a directory."""
    forge.run("migrate", "--database-url", f"sqlite:///{tmp_path}/new/tbcv.db", command)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_read_only(tmp_path: Path) -> None:
    """A directory in which nothing may be made is named in one line."""
    tmp_path.chmod(0o555)
    done = _without_rights("upgrade", f"sqlite:///{tmp_path}/tbcv.db")
    tmp_path.chmod(0o755)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert str(tmp_path) in line
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_read_only(forge: Forge, sqlite_url: str) -> None:
    """A file that may not be written can be looked at and not migrated."""
    forge.run("migrate", "--database-url", sqlite_url, "upgrade", "-r", "010")
    file = Chain(sqlite_url).path
    before = file.read_bytes()
    file.chmod(0o444)
    looked = _without_rights("current", sqlite_url)
    assert (looked.returncode, "behind by 1" in looked.stdout) == (0, True)
    done = _without_rights("upgrade", sqlite_url)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert "readonly database" in line
    assert file.read_bytes() == before


def test_a_path_that_cannot_be(forge: Forge, tmp_path: Path) -> None:
    """A file where a directory should be, and a directory where a file should be, are refused."""
    (tmp_path / "file").write_text("x")
    _fails(forge, "upgrade", f"sqlite:///{tmp_path}/file/tbcv.db")
    (tmp_path / "directory").mkdir()
    for command in COMMANDS:
        _fails(forge, command, f"sqlite:///{tmp_path}/directory")
    assert list((tmp_path / "directory").iterdir()) == []


def test_a_directory_in_which_no_file_can_be_made(forge: Forge) -> None:
    """Not even by root: a lock that cannot be made is not waited for."""
    assert "/proc/tbcv.db" in _fails(forge, "upgrade", "sqlite:////proc/tbcv.db").err


def _without_rights(command: str, url: str) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody for whom the rights of files count."""
    words = [*ordinary(), sys.executable, "-m", "tbcv", "migrate", command, "--database-url", url]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def _fails(forge: Forge, command: str, url: str) -> Done:
    return _failed(command, forge.start("migrate", "--database-url", url, command).finish())


def _all_fail(forge: Forge, url: str) -> dict[str, Done]:
    """Run all commands at once, since each of them waits."""
    processes = {command: forge.start("migrate", "--database-url", url, command) for command in COMMANDS}
    return {command: _failed(command, process.finish()) for command, process in processes.items()}


def _failed(command: str, done: Done) -> Done:
    assert "Traceback" not in done.err
    assert PASSWORD not in done.err + done.out
    assert done.seconds < SECONDS
    if command == "history":
        # The revisions can be shown without the database; its place among them cannot.
        assert done.code == 0, done
        assert done.err.startswith("shown without the place of the database: ")
        assert len(done.err.splitlines()) == 1
    else:
        assert (done.code, done.out) == (3, ""), done
        assert done.line
        assert len(done.err.splitlines()) == 1, done.err
    return done


def _only_lock_beside(file: Path, command: str) -> None:
    beside = {path.name for path in file.parent.iterdir()} - {file.name}
    assert beside <= ({f"{file.name}-migrate.lock"} if command == "upgrade" else set())


@contextmanager
def _asks_for_password(url: str) -> Iterator[str]:
    """Give a role of which the server demands a password; the embedded one trusts everybody else."""
    role = f"strict_{uuid4().hex}"
    ask(url, f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    (found,) = ask(url, "SELECT current_setting('hba_file') AS path")
    rules, rule = Path(found["path"]), f"host all {role} 127.0.0.1/32 scram-sha-256\n"
    rules.write_text(rule + rules.read_text())
    ask(url, "SELECT pg_reload_conf()")
    try:
        wrong = make_url(url).set(username=role, password=PASSWORD, host="127.0.0.1")
        until(lambda: not _lets_in(wrong.render_as_string(hide_password=False)), 20)
        yield role
    finally:
        rules.write_text(rules.read_text().replace(rule, ""))
        ask(url, "SELECT pg_reload_conf()")
        ask(url, f"DROP ROLE {role}")


def _lets_in(url: str) -> bool:
    try:
        ask(url, "SELECT 1")
    except asyncpg.InvalidPasswordError:
        return False
    return True


@contextmanager
def _silent_server() -> Iterator[int]:
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
    for connection in taken:
        connection.close()
