"""What a plan takes away: found by running it on a scratch database, counted in the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, column, func, inspect, select, table

from tbcv.engine.engines import is_absent, migration_engine, reading_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import DatabaseUnavailableError, UpgradeFailedError
from tbcv.migrate.bookkeeping import BOOKKEEPING
from tbcv.migrate.plan import Direction, Plan
from tbcv.migrate.runner import MigrationRunner

Columns = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Loss:
    """A table or a column that will be gone.

    Attributes:
        table: The table.
        column: The column; None where the whole table goes.
        rows: How many rows the table has now, or how many of them hold a value in the column.
        revision: The step that takes it away.
    """

    table: str
    column: str | None
    rows: int
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Losses:
    """What a plan takes away, as far as that can be found out.

    Attributes:
        found: The tables and columns.
        unknown: Why there may be more; empty where the whole plan could be tried.
    """

    found: tuple[Loss, ...] = ()
    unknown: str = ""


async def find_losses(runner: MigrationRunner, plan: Plan, scratch: ScratchDatabases) -> Losses:
    """Find out what a plan drops and how much of it there is.

    What it is tried on is empty. A revision that wants rows, or tables which no revision has made, fails there; that
    says nothing about the database.

    Args:
        runner: The database that the plan is for.
        plan: Up or down.
        scratch: Where to try it out; on the database's own engine where that can be had, else on SQLite.

    Raises:
        MigrationError: The plan cannot be carried out anywhere, or the ``env.py`` led to a scratch database.
        DatabaseUnavailableError: The database cannot be read.
    """
    if not plan.steps:
        return Losses()
    dialect = runner.address.dialect if runner.address.dialect in scratch.dialects else "sqlite"
    gone: list[Loss] = []
    unknown = ""
    async with scratch.database(dialect) as address:
        try:
            await _rehearse(MigrationRunner(address, runner.environment), plan, gone)
        except (UpgradeFailedError, DatabaseUnavailableError) as error:
            unknown = f"on an empty {dialect} database {error.message}"
    if not gone:
        return Losses(unknown=unknown)
    with database_errors(runner.address):
        engine = reading_engine(runner.address)
        try:
            async with engine.connect() as connection:
                return Losses(await connection.run_sync(_count, gone), unknown)
        finally:
            await engine.dispose()


async def _rehearse(trial: MigrationRunner, plan: Plan, gone: list[Loss]) -> None:
    """Take the plan's steps one by one, and note what each takes away."""
    for revision in plan.current:
        await trial.upgrade(revision)
    before = await _columns(trial.address)
    for step in plan.steps:
        if plan.direction is Direction.UPGRADE:
            await trial.upgrade(step.id)
        else:
            await trial.downgrade(step.parents[0] if step.parents else "base")
        after = await _columns(trial.address)
        for name in sorted(before):
            lost = [None] if name not in after else sorted(before[name] - after[name])
            gone += [Loss(name, column, 0, step.id) for column in lost]
        before = after


async def _columns(address: DatabaseURL) -> Columns:
    if is_absent(address):
        return {}
    engine = migration_engine(address)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_read_columns)
    finally:
        await engine.dispose()


def _read_columns(connection: Connection) -> Columns:
    inspector = inspect(connection)
    names = set(inspector.get_table_names()) - BOOKKEEPING
    return {name: frozenset(one["name"] for one in inspector.get_columns(name)) for name in names}


def _count(connection: Connection, gone: Sequence[Loss]) -> tuple[Loss, ...]:
    """Count what there is; what a plan makes and drops again is no loss."""
    present = _read_columns(connection)
    counted: list[Loss] = []
    for loss in gone:
        if loss.table not in present or (loss.column is not None and loss.column not in present[loss.table]):
            continue
        what = func.count() if loss.column is None else func.count(column(loss.column))
        rows = connection.scalar(select(what).select_from(table(loss.table)))
        counted.append(replace(loss, rows=rows or 0))
    return tuple(counted)
