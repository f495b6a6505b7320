"""The API from outside: server processes, what they answer, what they say, and how they end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url

from tbcv.engine.url import parse_database_url
from tbcv.migrate.history import read_history
from tbcv.migrate.location import own_environment
from tbcv.migrate.lock import migration_lock
from tests.integration.newer import newer_release, runner_of
from tests.journeys.command_line import ROOT, contents, execute, recorded, upgrade
from tests.migrations.chain import Chain

HEAD = read_history(own_environment()).head
CHAIN = [one.id for one in read_history(own_environment()).ordered()]
PASSWORD = "s3cret-w0rd"
SECONDS = 60.0
SESSIONS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'waiter'"

MAIN = (str(ROOT / "main.py"), "--mode", "api")
SERVE = ("-m", "tbcv", "serve")
UVICORN = ("-m", "uvicorn", "--factory", "tbcv.api.app:create_app")
ways = pytest.mark.parametrize("way", [MAIN, SERVE, UVICORN], ids=["main", "tbcv", "uvicorn"])
own_ways = pytest.mark.parametrize("way", [MAIN, SERVE], ids=["main", "tbcv"])


class Server:
    """A server process on a free port; ends with the block.

    Args:
        directory: Its working directory; what it says goes to files there.
        url: Its DATABASE_URL.
        arguments: Options.
        way: How it is started.
        variables: More of its environment.
    """

    def __init__(
        self, directory: Path, url: str, *arguments: str, way: tuple[str, ...] = MAIN, **variables: str
    ) -> None:
        self._errors = directory / "stderr"
        port = () if "--port" in arguments else ("--port", "0")
        with self._errors.open("wb") as errors, (directory / "stdout").open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *way, *port, *arguments],
                cwd=directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert "Traceback" not in self.said
        assert PASSWORD not in self.said

    @property
    def said(self) -> str:
        """Everything on stderr so far."""
        return self._errors.read_text()

    def serving(self, times: int = 1) -> Self:
        """Wait until the processes have started up so many times altogether."""
        wait(lambda: self._lives() and self.said.count("Application startup complete") >= times)
        wait(lambda: self._address() is not None)
        return self

    def get(self, path: str) -> httpx.Response:
        """Ask the server."""
        return httpx.get(f"{self._address()}{path}", timeout=SECONDS, trust_env=False)

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Ask whether it is ready."""
        answer = self.get("/health/ready")
        return answer.status_code, answer.json()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return how the process ended: the number of a signal is negative."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)

    def refused(self, code: int) -> str:
        """Wait for an end with this code and return the one line that explains it."""
        assert self.process.wait(SECONDS) == code, self.said
        lines = [line for line in self.said.splitlines() if not line.startswith("INFO:")]
        if lines[-1:] == ["ERROR:    Application startup failed. Exiting."]:  # uvicorn's, after the reason
            lines.pop()
        (line,) = lines
        return re.sub(r"^(tbcv: |ERROR: +)", "", line)

    def _lives(self) -> bool:
        assert self.process.poll() is None, self.said
        return True

    def _address(self) -> str | None:
        found = re.search(r"running on (http://\S+)", self.said)
        return found[1] if found else None


@dataclass(frozen=True)
class Start:
    """Starts servers on one database."""

    url: str
    directory: Path

    def __call__(self, *arguments: str, url: str = "", way: tuple[str, ...] = MAIN, **variables: str) -> Server:
        """Start one."""
        return Server(self.directory, url or self.url, *arguments, way=way, **variables)


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Start:
    """Start servers on an empty database, once for each engine."""
    (tmp_path / "somewhere").mkdir()
    return Start(database_url, tmp_path / "somewhere")


@pytest.fixture
def on_sqlite(sqlite_url: str, tmp_path: Path) -> Start:
    """Start servers on a SQLite file that does not exist yet."""
    (tmp_path / "somewhere").mkdir()
    return Start(sqlite_url, tmp_path / "somewhere")


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_fresh_database_is_brought_to_head_and_served(start: Start) -> None:
    """On an empty database the first answer comes after the schema is at head, and all interfaces are there."""
    with start().serving() as server:
        assert server.get("/health/live").status_code == 200
        assert server.ready() == (200, {"ready": True})
        assert server.get("/api/schema").json() == {
            "database": parse_database_url(start.url).redacted,
            "engine": make_url(start.url).get_backend_name(),
            "state": "at-head",
            "description": "at head",
            "current": [HEAD],
            "head": HEAD,
            "heads": [HEAD],
            "pending": [],
        }
        assert "/openapi.json" in server.get("/docs").text
        assert "/api/schema" in server.get("/openapi.json").json()["paths"]
        page = server.get("/").text
        assert "<title>TBCV: ready</title>" in page
        assert HEAD in page
        assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
        assert "alembic" not in server.said
    assert recorded(start.url) == [HEAD]


def test_each_applied_revision_is_one_line(start: Start) -> None:
    """A server that migrates at startup says which revisions it applied, once each and in order."""
    upgrade(start.url, CHAIN[4])
    with start().serving() as server:
        applied = re.findall(r"^INFO: +revision (\w+): ", server.said, re.MULTILINE)
    assert applied == CHAIN[5:]


@ways
def test_check_refuses_to_serve_a_pending_database(start: Start, free: int, way: tuple[str, ...]) -> None:
    """With `check`, a database that is behind ends the process with one line; nothing listens or changes."""
    upgrade(start.url, CHAIN[4])
    before = contents(start.url)
    with start("--port", str(free), way=way, TBCV_MIGRATE_ON_STARTUP="check") as server:
        assert f"behind by {len(CHAIN) - 5}" in server.refused(3)
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", free)) != 0
    assert contents(start.url) == before


def test_off_serves_and_turns_ready_once_somebody_migrates(start: Start) -> None:
    """With `off`, an empty database is served as not ready, until a migration from outside brings it to head."""
    with start(TBCV_MIGRATE_ON_STARTUP="off").serving() as server:
        assert server.get("/health/live").status_code == 200
        code, answer = server.ready()
        assert (code, answer["ready"]) == (503, False)
        assert "the database is empty" in answer["reason"]
        assert server.get("/api/schema").json()["pending"] == CHAIN
        assert "Not ready" in server.get("/").text
        upgrade(start.url)
        assert server.ready() == (200, {"ready": True})


def test_an_unversioned_database_is_refused(start: Start) -> None:
    """A table of tbcv that somebody made by hand is neither adopted nor touched."""
    execute(start.url, "CREATE TABLE workflows (id INTEGER PRIMARY KEY)")
    before = contents(start.url)
    with start() as server:
        assert "workflows" in server.refused(3)
    assert contents(start.url) == before


def test_a_database_ahead_is_refused(start: Start) -> None:
    """A revision that this release does not have ends the process with one line that names it."""
    upgrade(start.url)
    execute(start.url, "UPDATE alembic_version SET version_num = 'ffff'")
    with start() as server:
        assert "revision ffff" in server.refused(3)
    assert recorded(start.url) == ["ffff"]


def test_a_database_ahead_by_additive_revisions_is_served(start: Start, tmp_path: Path) -> None:
    """Above additive revisions alone an older release serves, and says in its answers and its log why it may."""
    asyncio.run(runner_of(newer_release(tmp_path / "newer", True, True), start.url).build())
    words = "the database is ahead by 2 additive revisions, on which this release may run"
    with start(TBCV_MIGRATE_ON_STARTUP="check").serving() as server:
        assert server.ready() == (200, {"ready": True, "note": words})
        assert server.get("/api/schema").json()["state"] == "ahead"
        assert "<title>TBCV: ready</title>" in server.get("/").text
        assert words in server.said
    assert recorded(start.url) == ["n2"]


def test_a_database_ahead_by_another_revision_is_refused(start: Start, tmp_path: Path) -> None:
    """A revision that breaks this release is named, with the command of the newer one that takes it back."""
    asyncio.run(runner_of(newer_release(tmp_path / "newer", True, False), start.url).build())
    with start() as server:
        line = server.refused(3)
    assert "n2" in line
    assert f"tbcv migrate downgrade -r {HEAD}" in line


@ways
def test_an_unreachable_server_is_told_in_seconds(on_sqlite: Start, free: int, way: tuple[str, ...]) -> None:
    """A PostgreSQL server that does not run costs seconds and one line, which hides the password."""
    began = time.monotonic()
    with on_sqlite(way=way, url=f"postgresql://me:{PASSWORD}@127.0.0.1:{free}/tbcv") as server:
        assert f"me:***@127.0.0.1:{free}" in server.refused(3)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(("way", "code"), [(MAIN, 2), (SERVE, 2), (UVICORN, 3)], ids=["main", "tbcv", "uvicorn"])
def test_a_malformed_url_is_told_without_its_password(on_sqlite: Start, way: tuple[str, ...], code: int) -> None:
    """A URL that names no database is a matter of configuration; bare uvicorn has one code for all failures."""
    with on_sqlite(way=way, url=f"postgresql://me:{PASSWORD}@db:port/name") as server:
        assert "port" in server.refused(code)


def test_workers_share_one_migration(start: Start) -> None:
    """Two workers serve a database that was migrated once, before they were started; SIGTERM ends them all."""
    upgrade(start.url, CHAIN[4])
    with start("--workers", "2").serving(times=2) as server:
        assert len(set(re.findall(r"Started server process \[(\d+)\]", server.said))) == 2
        assert {server.ready()[0] for _ in range(10)} == {200}
        assert server.said.count(f"revision {HEAD}:") == 1
        assert server.end() == 0


def test_a_database_of_the_command_line_reaches_the_workers(on_sqlite: Start, tmp_path: Path) -> None:
    """Workers serve the database of --database-url, not the one of the environment."""
    url = f"sqlite:///{tmp_path}/other.db"
    with on_sqlite("--workers", "2", "--database-url", url).serving(times=2) as server:
        assert server.get("/api/schema").json()["database"] == url
        server.end()
    assert not Chain(on_sqlite.url).path.exists()


def test_reload_starts_anew(on_sqlite: Start) -> None:
    """With --reload a changed source file starts the application again, which finds the schema at head."""
    source = on_sqlite.directory / "source.py"
    source.write_text("")
    with on_sqlite("--reload").serving() as server:
        os.utime(source)
        server.serving(times=2)
        wait(lambda: server.ready() == (200, {"ready": True}))
        assert server.end() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
@own_ways
def test_a_signal_ends_a_server_in_good_order(on_sqlite: Start, number: int, code: int, way: tuple[str, ...]) -> None:
    """SIGTERM and Ctrl-C let the application shut down; the process ends as uvicorn's do."""
    with on_sqlite(way=way).serving() as server:
        assert server.end(number) == code, server.said
        assert "Application shutdown complete" in server.said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_the_startup_migration_rolls_it_back(start: Start, number: int, code: int) -> None:
    """A signal that comes in the middle of a revision leaves the database as it was; the next start finishes."""
    upgrade(start.url, CHAIN[0])
    if start.url.startswith("sqlite"):
        lock_file(start.url).unlink(missing_ok=True)
    with busy(start.url), start() as server:
        wait(lambda: migrating(start.url))
        assert server.end(number) == code, server.said
        assert "running on" not in server.said
    assert recorded(start.url) == [CHAIN[0]]
    with start().serving() as server:
        assert server.ready() == (200, {"ready": True})


@pytest.mark.postgresql
def test_a_signal_while_waiting_for_another_migrator_ends_at_once(postgres_url: str, tmp_path: Path) -> None:
    """A server that waits for the lock can be told to end."""
    with locked(postgres_url), Server(tmp_path, f"{postgres_url}?application_name=waiter") as server:
        wait(lambda: asyncio.run(Chain(postgres_url).fetch(SESSIONS)))
        began = time.monotonic()
        assert server.end() == 143
        assert time.monotonic() - began < 10
    assert asyncio.run(Chain(postgres_url).fetch("SELECT * FROM pg_tables WHERE schemaname = 'public'")) == []


def test_ctrl_c_during_the_imports_is_no_traceback(on_sqlite: Start) -> None:
    """Ctrl-C in the first second, when Python still reads its modules, ends like any other."""
    with on_sqlite(way=("-X", "importtime", *MAIN)) as server:
        wait(lambda: "sqlalchemy.sql" in server.said)
        assert server.end(signal.SIGINT) == 130
        assert server.said.splitlines()[-1].endswith("tbcv: interrupted")


@own_ways
def test_a_port_in_use_is_told_before_anything_is_migrated(on_sqlite: Start, taken: int, way: tuple[str, ...]) -> None:
    """An address on which somebody listens is a matter of configuration, and no reason to touch a database."""
    with on_sqlite("--port", str(taken), way=way) as server:
        line = server.refused(2)
    assert f"127.0.0.1:{taken}" in line
    assert "in use" in line
    assert not Chain(on_sqlite.url).path.exists()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_foreign_address_is_refused(on_sqlite: Start, host: str) -> None:
    """A host that is not this machine's is told in one line."""
    with on_sqlite("--host", host) as server:
        assert host in server.refused(2)


@pytest.mark.parametrize(
    "arguments", [("--port", "65536"), ("--workers", "0"), ("--mode", "web"), ("--workers", "2", "--reload")]
)
def test_wrong_options_are_usage_errors(on_sqlite: Start, arguments: tuple[str, ...]) -> None:
    """An option out of its range is refused as such."""
    with on_sqlite(*arguments) as server:
        server.refused(2)


def test_a_database_that_goes_away_is_told_while_serving(start: Start) -> None:
    """When the database is gone, a server lives and is not ready; it is ready again once the database is back."""
    with start().serving() as server:
        with gone(start.url):
            code, answer = server.ready()
            assert (code, answer["ready"]) == (503, False)
            problem = server.get("/api/schema")
            assert problem.status_code == 503
            assert problem.json()["error"] == "database-unavailable"
            assert set(problem.json()) == {"error", "message", "hint"}
            assert problem.json()["message"] in answer["reason"]
            assert server.get("/health/live").status_code == 200
            page = server.get("/")
            assert "Not ready" in page.text
        assert server.ready() == (200, {"ready": True})


@pytest.mark.parametrize("module", ["uvicorn", "fastapi", "jinja2"])
def test_without_the_extra_the_refusal_says_what_to_install(on_sqlite: Start, module: str) -> None:
    """Where the extra is not installed, the command line still works and names the command that installs it."""
    hidden = f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'tbcv'; "
    with on_sqlite(way=("-c", hidden + "from tbcv.cli.main import main; main()", "serve")) as server:
        assert "pip install 'tbcv[api]'" in server.refused(2)


@contextmanager
def holding(begin: str, url: str) -> Iterator[None]:
    """Keep a transaction open on a connection of its own."""
    ready, done = threading.Event(), threading.Event()

    async def hold() -> None:
        async with Chain(url)._connected() as connection:
            await connection.execute("BEGIN")
            await connection.execute(begin)
            ready.set()
            await asyncio.to_thread(done.wait)
            await connection.execute("ROLLBACK")

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert ready.wait(SECONDS)
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def busy(url: str) -> Iterator[None]:
    """Keep a table from being changed."""
    with holding("DELETE FROM metrics WHERE 1 = 0" if url.startswith("sqlite") else "SELECT * FROM workflows", url):
        yield


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Hold the migration lock."""
    ready, done = threading.Event(), threading.Event()

    async def hold() -> None:
        async with migration_lock(parse_database_url(url), SECONDS):
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    try:
        assert ready.wait(SECONDS)
        yield
    finally:
        done.set()
        thread.join()


def lock_file(url: str) -> Path:
    """Return the file that a migration of a SQLite database locks."""
    path = Chain(url).path
    return path.with_name(f"{path.name}-migrate.lock")


def migrating(url: str) -> bool:
    """Whether a migration has begun and has met a table that is busy."""
    if url.startswith("sqlite"):
        return lock_file(url).exists()
    (row,) = asyncio.run(Chain(url).fetch("SELECT count(*) AS number FROM pg_locks WHERE NOT granted"))
    return bool(row["number"])


@contextmanager
def gone(url: str) -> Iterator[None]:
    """Make a database unusable for as long as the block lasts."""
    if url.startswith("sqlite"):
        path = Chain(url).path
        kept = path.read_bytes()
        path.write_bytes(b"no database" * 1000)
        yield
        path.write_bytes(kept)
        return
    name = make_url(url).database
    asyncio.run(administer(url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
    stop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    asyncio.run(administer(url, stop))
    yield
    asyncio.run(administer(url, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))


async def administer(url: str, statement: str) -> None:
    """Execute a statement on the same server, outside of the database."""
    address = make_url(url).set(drivername="postgresql", database="postgres")
    connection = await asyncpg.connect(address.render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
