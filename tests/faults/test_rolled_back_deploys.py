"""A deploy that was rolled back: processes of an older release meet the database that a newer one has upgraded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.faults.commands import Forge
from tests.integration.newer import HEAD, newer_release, runner_of
from tests.migrations.chain import Chain

_ADD = "op.add_column('metrics', sa.Column('unit', sa.String(20)))"


def rows(url: str) -> list[dict[str, object]]:
    """Return what an older release must leave alone."""
    return asyncio.run(Chain(url).fetch("SELECT * FROM alembic_version"))


def test_an_additive_revision_lets_the_older_release_start(forge: Forge, database_url: str, tmp_path: Path) -> None:
    """It finds nothing to do, as often as it looks, and leaves the database with the newer release."""
    older = ("--database-url", database_url)
    forge.run("migrate", "upgrade", *older)
    asyncio.run(runner_of(newer_release(tmp_path, True, upgrade=_ADD), database_url).upgrade())
    assert rows(database_url) == [{"version_num": "n1"}]
    for _ in range(2):
        assert "nothing to do" in forge.run("migrate", "upgrade", *older).out
        current = json.loads(forge.run("migrate", "current", "--json", *older).out)
        assert current["description"] == "ahead by 1 additive revision, on which this release may run"
    assert rows(database_url) == [{"version_num": "n1"}]


def test_any_other_revision_is_refused_with_the_way_back(forge: Forge, database_url: str, tmp_path: Path) -> None:
    """The older release names the revision and the command; the newer release runs it, and the older one starts."""
    older = ("--database-url", database_url)
    forge.run("migrate", "upgrade", *older)
    newer = runner_of(newer_release(tmp_path, True, False), database_url)
    asyncio.run(newer.upgrade())
    line = forge.run("migrate", "upgrade", *older, code=3).line
    assert "n2" in line
    assert f"`tbcv migrate downgrade -r {HEAD}`" in line
    assert rows(database_url) == [{"version_num": "n2"}]
    asyncio.run(newer.downgrade(HEAD))
    assert "nothing to do" in forge.run("migrate", "upgrade", *older).out
    assert rows(database_url) == [{"version_num": HEAD}]
