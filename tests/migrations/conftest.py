"""Fixtures of the migration tests: a database to migrate, and what pytest-alembic asks for."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tbcv.engine.engines import migration_engine
from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import own_environment
from tests.migrations.chain import Chain


@pytest.fixture
def chain(database_url: str) -> Chain:
    """Return an empty database to migrate, once for each engine."""
    return Chain(database_url)


@pytest.fixture
def sqlite_chain(sqlite_url: str) -> Chain:
    """Return a SQLite file to migrate."""
    return Chain(sqlite_url)


@pytest.fixture
def postgres_chain(postgres_url: str) -> Chain:
    """Return an empty PostgreSQL database to migrate."""
    return Chain(postgres_url)


@pytest.fixture
def alembic_engine(database_url: str) -> AsyncEngine:
    """Return the engine on which pytest-alembic migrates; it keeps no connection."""
    return migration_engine(parse_database_url(database_url))


@pytest.fixture
def alembic_config() -> dict[str, str]:
    """Name the revisions for pytest-alembic."""
    environment = own_environment()
    return {"file": str(environment.config_file), "script_location": str(environment.directory)}
