"""What a plan takes away is found on a scratch database, counted in the real one, and backed up before it goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import parse_database_url
from tbcv.errors import BackupError
from tbcv.migrate.backup import list_backups, restore_backup
from tbcv.migrate.losses import How, Loss, find_losses
from tbcv.migrate.plan import Outcome
from tbcv.migrate.protection import Protection
from tbcv.migrate.runner import MigrationRunner
from tbcv.settings import Settings
from tests.integration.synthetic import environment
from tests.integration.test_fresh import execute

pytestmark = pytest.mark.anyio

TABLES = """\
op.execute("CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(20), note VARCHAR(20), kept VARCHAR(20))")
op.execute(
    "CREATE TABLE pets (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people ON DELETE CASCADE, "
    "sitter INTEGER REFERENCES people ON DELETE SET NULL)"
)
"""
ROWS = (
    "INSERT INTO people VALUES (1, 'a', 'x', 'k'), (2, 'b', NULL, 'k'), (3, 'c', NULL, NULL)",
    "INSERT INTO pets VALUES (1, 1, 2), (2, 1, NULL)",
)


class Plans:
    """Plans for one database.

    Args:
        url: The database.
        server: Where scratch databases are made.
        directory: Where the history is written.
    """

    def __init__(self, url: str, server: str, directory: Path) -> None:
        self.address = parse_database_url(url)
        self.settings = Settings(
            database_url=SecretStr(url), scratch_database_url=SecretStr(server), backup_directory=directory / "backups"
        )
        self._directory = directory

    def runner(self, *upgrades: str) -> MigrationRunner:
        """Write a history of which the first revision is applied."""
        written = environment(self._directory, TABLES, *upgrades)
        protection = Protection(self.address, written, self.settings)
        return MigrationRunner(self.address, written, protection=protection)

    async def losses(self, *upgrades: str) -> list[Loss]:
        """Return what these take away, once the tables are filled."""
        runner = self.runner(*upgrades)
        await self.fill(runner)
        async with ScratchDatabases(self.settings) as scratch:
            found = await find_losses(runner, await runner.plan_upgrade(), scratch)
        assert not found.unknown
        assert not found.tried_on
        return sorted(found.found, key=lambda one: (one.revision, one.table, one.column or ""))

    async def fill(self, runner: MigrationRunner) -> None:
        """Apply the first revision and put rows into its tables."""
        await runner.upgrade("001")
        for statement in ROWS:
            await execute(str(self.settings.database_url.get_secret_value()), statement)

    async def upgrade(self, *upgrades: str) -> Outcome:
        """Apply these, after a backup of what they take away."""
        runner = self.runner(*upgrades)
        await self.fill(runner)
        return await runner.upgrade()

    @property
    def url(self) -> str:
        """The database."""
        return self.settings.database_url.get_secret_value()


@pytest.fixture
def plans(database_url: str, postgres_admin_url: str, tmp_path: Path) -> Plans:
    """Give an empty database and a place for a history."""
    return Plans(database_url, postgres_admin_url, tmp_path)


async def test_rows_that_are_deleted(plans: Plans) -> None:
    """A DELETE takes rows; on PostgreSQL, where foreign keys hold while it migrates, what they say as well."""
    found = await plans.losses("op.execute(\"DELETE FROM people WHERE name = 'a'\")")
    people, *others = found
    assert people == Loss("people", None, 3, "002", How.DELETED)
    by_keys = [Loss("pets", None, 2, "002", How.DELETED), Loss("pets", "sitter", 1, "002", How.CHANGED)]
    assert others == ([] if plans.address.dialect == "sqlite" else by_keys)


async def test_values_that_are_overwritten(plans: Plans) -> None:
    """An UPDATE takes the values of the columns that it assigns to, and of no other."""
    found = await plans.losses(
        "op.execute(\"UPDATE people SET note = 'kept = 1, really', name = upper(name) WHERE kept IS NULL\")"
    )
    assert found == [
        Loss("people", "name", 3, "002", How.CHANGED),
        Loss("people", "note", 1, "002", How.CHANGED),
    ]


async def test_what_a_plan_makes_is_nobodys_loss(plans: Plans) -> None:
    """Columns and tables of the plan may be filled, changed and dropped by it; other values stay."""
    assert not await plans.losses(
        "op.add_column('people', sa.Column('size', sa.Integer()))\nop.execute('UPDATE people SET size = 1')",
        "op.create_table('drafts', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.execute('DELETE FROM drafts')\nop.drop_table('drafts')",
        "op.execute(\"INSERT INTO people (id, name) VALUES (9, 'z')\")",
    )


async def test_tables_that_are_made_anew(plans: Plans) -> None:
    """A table that is dropped and made again under its name is lost, one that a batch rebuilds is not."""
    found = await plans.losses(
        "with op.batch_alter_table('people', recreate='auto') as batch:\n"
        "    batch.alter_column('kept', existing_type=sa.String(20), nullable=False, server_default='')\n"
        if plans.address.dialect == "sqlite"
        else "op.execute('ALTER TABLE people ALTER kept SET DEFAULT 1')",
        "op.execute('DROP TABLE pets')\nop.execute('CREATE TABLE pets (id INTEGER PRIMARY KEY)')",
    )
    assert found == [Loss("pets", None, 2, "003")]


async def test_types_that_hold_less(plans: Plans) -> None:
    """A column whose type may not hold every value changes its values; a wider type changes none."""
    found = await plans.losses(
        "with op.batch_alter_table('people') as batch:\n"
        "    batch.alter_column('name', type_=sa.String(10), existing_type=sa.String(20))\n"
        "    batch.alter_column('note', type_=sa.Text(), existing_type=sa.String(20))"
    )
    assert found == [Loss("people", "name", 3, "002", How.CHANGED)]


@pytest.mark.postgresql
async def test_what_only_postgresql_tells(postgres_url: str, postgres_admin_url: str, tmp_path: Path) -> None:
    """Statements in functions count, renames do not, and what is dropped later is told by its first name."""
    plans = Plans(postgres_url, postgres_admin_url, tmp_path)
    found = await plans.losses(
        "op.rename_table('people', 'persons')\nop.alter_column('persons', 'note', new_column_name='remark')",
        "op.execute('DO $$ BEGIN TRUNCATE pets; UPDATE persons SET name = NULL; END $$')",
        "op.drop_column('persons', 'remark')",
        "op.drop_column('persons', 'kept')\nop.add_column('persons', sa.Column('kept', sa.String(20)))",
    )
    whole = [Loss("people", one, rows, "003", How.CHANGED) for one, rows in {"id": 3, "kept": 2, "name": 3}.items()]
    assert found[:3] == whole
    assert [one for one in found if one.revision != "003"] == [
        Loss("people", "note", 1, "004"),
        Loss("people", "kept", 2, "005"),
    ]
    assert Loss("pets", None, 2, "003", How.DELETED) in found


@pytest.mark.postgresql
async def test_deleted_and_overwritten_rows_come_back(
    postgres_url: str, postgres_admin_url: str, tmp_path: Path
) -> None:
    """The backup before such a revision holds what it takes, and brings exactly that back."""
    plans = Plans(postgres_url, postgres_admin_url, tmp_path)
    outcome = await plans.upgrade(
        "op.execute(\"DELETE FROM people WHERE name = 'a'\")",
        "op.execute(\"UPDATE people SET kept = 'gone'\")",
    )
    assert await execute(plans.url, "SELECT count(*) FROM pets") == [0]
    (backup,) = list_backups(tmp_path / "backups")
    assert (backup.id, backup.kind) == (outcome.backup, "partial")
    async with ScratchDatabases(plans.settings) as scratch:
        await restore_backup(plans.address, backup, scratch=scratch)
    assert await execute(plans.url, "SELECT concat_ws(' ', id, name, note, kept) FROM people ORDER BY id") == [
        "1 a x k",
        "2 b k",
        "3 c",
    ]
    assert await execute(plans.url, "SELECT concat_ws(' ', id, person, sitter) FROM pets ORDER BY id") == [
        "1 1 2",
        "2 1",
    ]


@pytest.mark.postgresql
async def test_converted_values_want_their_type_back(
    postgres_url: str, postgres_admin_url: str, tmp_path: Path
) -> None:
    """Values of a column that was converted are not forced into the new type: the refusal says where to go first."""
    plans = Plans(postgres_url, postgres_admin_url, tmp_path)
    await plans.upgrade("op.execute('ALTER TABLE people ALTER name TYPE integer USING length(name)')")
    (backup,) = list_backups(tmp_path / "backups")
    async with ScratchDatabases(plans.settings) as scratch:
        with pytest.raises(BackupError, match=r"people do not take its values.*changed; .*downgrade -r 001"):
            await restore_backup(plans.address, backup, scratch=scratch)
        assert await execute(plans.url, "SELECT name FROM people ORDER BY id") == [1, 1, 1]
        await execute(plans.url, "ALTER TABLE people ALTER name TYPE varchar(20)")
        await restore_backup(plans.address, backup, scratch=scratch)
    assert await execute(plans.url, "SELECT name FROM people ORDER BY id") == ["a", "b", "c"]
