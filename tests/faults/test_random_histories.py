"""Histories that nobody wrote go up, down and up again, and every row is there at every revision."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import read_environment
from tbcv.migrate.runner import MigrationRunner
from tests.conftest import ENGINES, empty_database
from tests.faults.commands import Forge
from tests.faults.figures import Figures
from tests.faults.histories import Change, histories
from tests.faults.synthetic import Synthetic

MANY = 200 if os.environ.get("TBCV_FAULTS") == "all" else 6

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("engine", ENGINES)
def test_any_history(engine: str, request: pytest.FixtureRequest, forge: Forge, figures: Figures) -> None:
    """At each revision the rows are the same on both ways up and on the way down."""
    admin = "" if engine == "sqlite" else request.getfixturevalue("postgres_admin_url")
    revisions: list[int] = []

    @settings(
        max_examples=MANY,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(history=histories())
    def travel(history: list[Change]) -> None:
        with tempfile.TemporaryDirectory() as name, empty_database(admin, Path(name)) as url:
            asyncio.run(_travel(Synthetic(forge, Path(name, "environment"), url), history))
        revisions.append(len(history))

    travel()
    figures.note(
        f"random histories, {engine}, up, down and up again",
        f"{len(revisions)} histories of {sum(revisions)} revisions, every row conserved",
    )


async def _travel(synthetic: Synthetic, history: list[Change]) -> None:
    names = [f"{number:03}" for number in range(1, len(history) + 1)]
    for name, (up, down) in zip(names, history, strict=True):
        synthetic.write(name, up, down)
    runner = MigrationRunner(parse_database_url(synthetic.url), read_environment(synthetic.ini))
    seen: dict[str, Any] = {}
    for name in names:
        await runner.upgrade(name)
        seen[name] = await _contents(synthetic, runner)
    for name in reversed(names[:-1]):
        await runner.downgrade(name)
        assert await _contents(synthetic, runner) == seen[name], f"down to {name}"
    await runner.downgrade("base")
    assert not (await runner.snapshot()).only(lambda subject: "alembic_version" not in subject).facts
    await runner.upgrade()
    assert await _contents(synthetic, runner) == seen[names[-1]]


async def _contents(synthetic: Synthetic, runner: MigrationRunner) -> object:
    """Return the rows of every table, and the schema."""
    snapshot = await runner.snapshot()
    tables = sorted(one.removeprefix("table ") for one in snapshot.subjects if one.startswith("table t_"))
    rows = {table: await synthetic.chain.fetch(f"SELECT * FROM {table} ORDER BY id") for table in tables}
    return snapshot.text, {table: [sorted(row.items(), key=str) for row in some] for table, some in rows.items()}
