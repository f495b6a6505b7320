"""Small Alembic environments with histories of their own."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from tbcv.engine.scratch import ScratchDatabases
from tbcv.migrate.location import AlembicEnvironment, read_environment
from tbcv.migrate.measure import measure
from tbcv.settings import Settings

ENV = """\
from sqlalchemy import MetaData

from tbcv.migrate.environment import run

run(MetaData(), rendered_types={})
"""
FIRST = """\
op.create_table("orders", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(10)))
"""
SECOND = """\
op.create_index("ix_orders_name", "orders", ["name"])
"""


def environment(directory: Path, *upgrades: str) -> AlembicEnvironment:
    """Make an environment whose revisions 001, 002, … do what is given, and nothing on the way back."""
    versions = directory / "environment" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (versions.parent / "env.py").write_text(ENV, encoding="utf-8")
    ini = directory / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = environment\n", encoding="utf-8")
    for number, upgrade in enumerate(upgrades, 1):
        revision(versions, f"{number:03}", f"{number - 1:03}" if number > 1 else None, upgrade)
    return read_environment(ini)


def revision(versions: Path, name: str, parent: str | None, upgrade: str) -> Path:
    """Write one revision file."""
    path = versions / f"{name}_revision.py"
    body = "".join(f"    {line}\n" for line in upgrade.splitlines())
    path.write_text(
        f'"""Revision {name}."""\n\nimport sqlalchemy as sa\nfrom alembic import op\n\n'
        f"revision = {name!r}\ndown_revision = {parent!r}\nbranch_labels = None\ndepends_on = None\n\n\n"
        f"def upgrade() -> None:\n{body}\n\ndef downgrade() -> None:\n    pass\n",
        encoding="utf-8",
    )
    return path


async def write(directory: AlembicEnvironment, server: str) -> None:
    """Measure the chain of an environment and write its ledger.

    Args:
        directory: The environment.
        server: The URL of a PostgreSQL server for the scratch databases.
    """
    async with ScratchDatabases(Settings(scratch_database_url=SecretStr(server))) as scratch:
        (await measure(directory, scratch)).write(directory)
