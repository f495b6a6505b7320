"""The command line under test, as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.command_line import CommandLine


@pytest.fixture
def tbcv(database_url: str, postgres_admin_url: str, tmp_path: Path) -> CommandLine:
    """Return the command line on an empty database, once for each engine."""
    return CommandLine(database_url, postgres_admin_url, _directory(tmp_path))


@pytest.fixture
def on_sqlite(sqlite_url: str, postgres_admin_url: str, tmp_path: Path) -> CommandLine:
    """Return the command line on a SQLite file that does not exist yet."""
    return CommandLine(sqlite_url, postgres_admin_url, _directory(tmp_path))


def _directory(tmp_path: Path) -> Path:
    directory = tmp_path / "somewhere"
    directory.mkdir()
    return directory
