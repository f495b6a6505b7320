"""A step that leaves references to nothing on SQLite is refused, since foreign keys are off while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tbcv.engine.url import parse_database_url
from tbcv.errors import ForeignKeyViolationError, UpgradeFailedError
from tbcv.migrate.location import read_environment
from tbcv.migrate.runner import MigrationRunner
from tests.migrations.chain import Chain, exact

pytestmark = pytest.mark.anyio

ENV = """
from sqlalchemy import MetaData
from tbcv.migrate.environment import run

run(MetaData(), rendered_types={})
"""
TABLES = """
    op.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY)")
    op.execute("CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parents (id))")
    op.execute("INSERT INTO parents VALUES (1), (2)")
    op.execute("INSERT INTO children VALUES (10, 1), (20, 2), (30, 7)")
"""
REVISION = '''"""{message}."""

from alembic import op

revision = "{id}"
down_revision = {below!r}
{announcement}

def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''


class Environment:
    """An Alembic environment of its own, and a SQLite file that it migrates."""

    def __init__(self, directory: Path) -> None:
        self._versions = directory / "versions"
        self._versions.mkdir()
        (directory / "alembic.ini").write_text("[alembic]\nscript_location = .\n")
        (directory / "env.py").write_text(ENV)
        self.chain = Chain(f"sqlite:///{directory}/synthetic.db")
        address = parse_database_url(f"sqlite:///{directory}/synthetic.db")
        self.runner = MigrationRunner(address, read_environment(directory / "alembic.ini"))

    def revision(
        self, identifier: str, message: str, upgrade: str, downgrade: str = "pass", announcement: str = ""
    ) -> None:
        """Write a revision that follows the one with the number before."""
        number = int(identifier)
        text = REVISION.format(
            id=identifier,
            message=message,
            below=f"{number - 1:03}" if number > 1 else None,
            upgrade=upgrade,
            downgrade=downgrade,
            announcement=announcement,
        )
        (self._versions / f"{identifier}.py").write_text(text)

    async def children(self) -> list[tuple[int, int]]:
        """Return the children and what they refer to."""
        return [(row["id"], row["parent_id"]) for row in await self.chain.fetch("SELECT * FROM children ORDER BY id")]


@pytest.fixture
async def environment(tmp_path: Path) -> Environment:
    """Return an environment whose database is at 001 with one reference that dangles already."""
    environment = Environment(tmp_path)
    environment.revision("001", "tables", TABLES.strip(), "pass", 'leaves_dangling_references = "upgrade"')
    await environment.runner.upgrade()
    return environment


async def test_step_that_leaves_dangling_references_is_rolled_back(environment: Environment) -> None:
    """The failure names the references and the rows, and everything before the step stays applied."""
    environment.revision("002", "harmless", "op.execute('CREATE TABLE notes (id INTEGER)')")
    environment.revision("003", "careless", "op.execute('DELETE FROM parents WHERE id = 2')")
    environment.revision("004", "later", "pass")
    with pytest.raises(UpgradeFailedError) as caught:
        await environment.runner.upgrade()
    error = caught.value
    assert (error.applied, error.failed, error.remaining) == (("002",), "003", ("004",))
    assert isinstance(error.__cause__, ForeignKeyViolationError)
    assert "leaves references to nothing: children(parent_id) -> parents in rows 20, 30" in error.message
    assert "leaves_dangling_references = 'upgrade'" in error.hint
    assert (await environment.runner.status()).current == ("002",)
    assert [row["id"] for row in await environment.chain.fetch("SELECT id FROM parents")] == [1, 2]
    assert await environment.children() == [(10, 1), (20, 2), (30, 7)]


async def test_references_that_dangled_before_are_no_obstacle(environment: Environment) -> None:
    """A step is judged by what it adds: an old database may hold dangling references already."""
    environment.revision("002", "harmless", "op.execute('INSERT INTO children VALUES (40, 1)')")
    await environment.runner.upgrade()
    assert await environment.children() == [(10, 1), (20, 2), (30, 7), (40, 1)]


async def test_step_that_announces_them_may_leave_them(environment: Environment) -> None:
    """A revision that says so may leave dangling references, in the direction that it names only."""
    environment.revision(
        "002",
        "deliberate",
        "op.execute('DELETE FROM parents WHERE id = 2')",
        "op.execute('DELETE FROM parents WHERE id = 1')",
        'leaves_dangling_references = "upgrade"',
    )
    await environment.runner.upgrade()
    rows = await environment.children()
    with pytest.raises(UpgradeFailedError, match="the downgrade of revision 002 leaves references to nothing"):
        await environment.runner.downgrade("001")
    assert (await environment.runner.status()).current == ("002",)
    assert exact(await environment.children()) == exact(rows)
