"""Fixtures of the tests of faults: commands to start and kill, and the table of figures at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.commands import Forge
from tests.faults.figures import Figures, table
from tests.faults.synthetic import Synthetic


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory, postgres_admin_url: str) -> Iterator[Forge]:
    """Return what starts commands."""
    forge = Forge(tmp_path_factory.mktemp("commands"), postgres_admin_url)
    yield forge
    forge.close()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Return where a test notes what it counted."""
    return Figures(request.node)


@pytest.fixture
def synthetic(forge: Forge, database_url: str, tmp_path: Path) -> Synthetic:
    """Return an environment without revisions for an empty database, once for each engine."""
    return Synthetic(forge, tmp_path / "environment", database_url)


@pytest.fixture
def on_sqlite(forge: Forge, sqlite_url: str, tmp_path: Path) -> Synthetic:
    """Return an environment without revisions for a SQLite file that does not exist yet."""
    return Synthetic(forge, tmp_path / "environment", sqlite_url)


@pytest.fixture
def on_postgresql(forge: Forge, postgres_url: str, tmp_path: Path) -> Synthetic:
    """Return an environment without revisions for an empty PostgreSQL database."""
    return Synthetic(forge, tmp_path / "environment", postgres_url)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if isinstance(report, pytest.TestReport)
    ]
    lines = table(reports)
    if lines:
        terminalreporter.section("faults injected, and what was found")
        for line in lines:
            terminalreporter.write_line(line)
