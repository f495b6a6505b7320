"""Databases for the tests: SQLite files, and databases on an embedded PostgreSQL that the tests start themselves.

``TBCV_TEST_POSTGRES_URL`` puts the latter on an existing server. A server that does not start is a failure.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import make_url

from tbcv.engine.embedded import EmbeddedPostgres

ENGINES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, the loop that the drivers are written for."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name == "DATABASE_URL" or (name.startswith("TBCV_") and name != "TBCV_TEST_POSTGRES_URL"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """Start one embedded server per test process."""
    with EmbeddedPostgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_admin_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database from which others can be created."""
    given = os.environ.get("TBCV_TEST_POSTGRES_URL")
    return given or request.getfixturevalue("postgres_server").url()


@pytest.fixture
def postgres_url(postgres_admin_url: str) -> Iterator[str]:
    """Create a database for one test; its name is unique, so test processes may share a server."""
    name = f"tbcv_test_{uuid4().hex}"
    asyncio.run(_administer(postgres_admin_url, f"CREATE DATABASE {name}"))
    yield make_url(postgres_admin_url).set(database=name).render_as_string(hide_password=False)
    asyncio.run(_administer(postgres_admin_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path}/tbcv.db"


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
