"""What a downgrade takes away: found by running it on a scratch database, counted in the real one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, column, func, inspect, select, table

from tbcv.engine.engines import migration_engine, reading_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.migrate.plan import Plan
from tbcv.migrate.runner import MigrationRunner

Columns = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Loss:
    """A table or a column that will be gone.

    Attributes:
        table: The table.
        column: The column; None where the whole table goes.
        rows: How many rows the table has, or how many of them hold a value in the column.
    """

    table: str
    column: str | None
    rows: int


async def find_losses(runner: MigrationRunner, plan: Plan, scratch: ScratchDatabases) -> tuple[Loss, ...]:
    """Find out what a downgrade drops and how much of it there is.

    Args:
        runner: The database that is to be downgraded.
        plan: The downgrade.
        scratch: Where to try it out; the database's own engine where that can be had, else SQLite.

    Raises:
        UpgradeFailedError: The chain does not run on the scratch database.
        DatabaseUnavailableError: The database cannot be read.
    """
    if not plan.steps:
        return ()
    dialect = runner.address.dialect if runner.address.dialect in scratch.dialects else "sqlite"
    async with scratch.database(dialect) as address:
        trial = MigrationRunner(address, runner.environment)
        for revision in plan.current:
            await trial.upgrade(revision)
        before = await _columns(address)
        await trial.downgrade(plan.destination)
        after = await _columns(address)
    with database_errors(runner.address):
        engine = reading_engine(runner.address)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(_count, before, after)
        finally:
            await engine.dispose()


async def _columns(address: DatabaseURL) -> Columns:
    engine = migration_engine(address)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_read_columns)
    finally:
        await engine.dispose()


def _read_columns(connection: Connection) -> Columns:
    inspector = inspect(connection)
    return {name: frozenset(one["name"] for one in inspector.get_columns(name)) for name in inspector.get_table_names()}


def _count(connection: Connection, before: Columns, after: Columns) -> tuple[Loss, ...]:
    present = _read_columns(connection)
    losses: list[Loss] = []
    for name in sorted(before.keys() & present.keys()):
        source = table(name)
        if name not in after:
            rows = connection.scalar(select(func.count()).select_from(source))
            losses.append(Loss(name, None, rows or 0))
            continue
        for gone in sorted((before[name] - after[name]) & present[name]):
            held = connection.scalar(select(func.count(column(gone))).select_from(source))
            losses.append(Loss(name, gone, held or 0))
    return tuple(losses)
