"""Databases for the tests: SQLite files, and databases on an embedded PostgreSQL that the tests start themselves.

``TBCV_TEST_POSTGRES_URL`` puts the latter on an existing server. A server that does not start is a failure.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from tbcv.engine.embedded import EmbeddedPostgres
from tbcv.engine.memory import directory_in_memory

SERVER = "TBCV_TEST_POSTGRES_URL"
UNIT = Path(__file__).parent / "unit"
ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
# Files are copied faster than they are logged, but not before version 15, which a given server may be.
STRATEGY = "" if os.environ.get(SERVER) else " STRATEGY FILE_COPY"


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what stays until the end: a tenth of the time would be looking at it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def pytest_configure() -> None:
    """Keep the files of the tests in memory where they may be programs, too: most of the time is waiting for disks."""
    memory = directory_in_memory()
    if memory is not None and not os.statvfs(memory).f_flag & os.ST_NOEXEC:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the loop that the drivers are written for."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Leave to each test, and to the processes it starts, no setting but the server for scratch databases.

    Whoever asks for scratch databases would otherwise start a server, which takes seconds; tests marked
    ``embedded_scratch`` see that it does. Processes may keep bytecode: without it each takes seconds to start.
    """
    others = {"DATABASE_URL", "GITHUB_STEP_SUMMARY", "PYTHONDONTWRITEBYTECODE"}
    for name in list(os.environ):
        if name in others or (name.startswith("TBCV_") and name != SERVER):
            monkeypatch.delenv(name)
    alone = request.path.is_relative_to(UNIT) or request.node.get_closest_marker("embedded_scratch")
    if not alone:
        monkeypatch.setenv("TBCV_SCRATCH_DATABASE_URL", request.getfixturevalue("postgres_admin_url"))
    if not request.path.is_relative_to(UNIT):
        monkeypatch.setenv("TBCV_CACHE_DIRECTORY", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in a directory of the test's own, where backups of PostgreSQL go unless somebody says otherwise."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Start one embedded server per test process."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_admin_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database from which others can be created."""
    given = os.environ.get(SERVER)
    return given or request.getfixturevalue("postgres_server").url()


@contextmanager
def empty_database(admin: str, directory: Path) -> Iterator[str]:
    """Give the URL of an empty database.

    Args:
        admin: A database on the server where it is created and dropped again; empty for a SQLite file.
        directory: Where that file will be.
    """
    if not admin:
        yield f"sqlite:///{directory}/tbcv.db"
        return
    # Unique, so that test processes may share a server.
    name = f"tbcv_test_{uuid4().hex}"
    asyncio.run(_administer(admin, f"CREATE DATABASE {name}{STRATEGY}"))
    yield make_url(admin).set(database=name).render_as_string(hide_password=False)
    asyncio.run(_administer(admin, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def postgres_url(postgres_admin_url: str, tmp_path: Path) -> Iterator[str]:
    """Create a database for one test."""
    with empty_database(postgres_admin_url, tmp_path) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    with empty_database("", tmp_path) as url:
        return url


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database, once for each engine."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


async def _administer(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg://", "postgresql://"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
