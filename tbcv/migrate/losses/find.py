"""Finding losses: a plan is run on a scratch database, and what it takes away there is counted in the real one."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, column, func, select, table

from tbcv.engine.engines import reading_engine
from tbcv.engine.failures import database_errors
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import DatabaseUnavailableError, UpgradeFailedError
from tbcv.migrate.losses.columns import read_columns
from tbcv.migrate.losses.model import How, Loss, Losses, Taken
from tbcv.migrate.losses.postgresql import PostgresqlWatch
from tbcv.migrate.losses.sqlite import SqliteWatch
from tbcv.migrate.plan import Direction, Plan
from tbcv.migrate.runner import MigrationRunner


async def find_losses(runner: MigrationRunner, plan: Plan, scratch: ScratchDatabases) -> Losses:
    """Find out what a plan drops, deletes and overwrites, and how much of it there is.

    What it is tried on is empty. A revision that wants rows, or tables which no revision has made, fails there; that
    says nothing about the database. Nor does it show what a revision does only to rows that it has read.

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
    tried_on = "" if dialect == runner.address.dialect else dialect
    gone: list[tuple[Taken, str]] = []
    unknown = ""
    async with scratch.database(dialect) as address:
        try:
            with database_errors(address):
                await _rehearse(address, runner, plan, gone)
        except (UpgradeFailedError, DatabaseUnavailableError) as error:
            unknown = f"on an empty {dialect} database {error.message}"
    if not gone:
        return Losses((), unknown, tried_on)
    with database_errors(runner.address):
        engine = reading_engine(runner.address)
        try:
            async with engine.connect() as connection:
                return Losses(await connection.run_sync(_count, gone), unknown, tried_on)
        finally:
            await engine.dispose()


async def _rehearse(address: DatabaseURL, runner: MigrationRunner, plan: Plan, gone: list[tuple[Taken, str]]) -> None:
    """Take the plan's steps one by one, and note what each takes away."""
    for revision in plan.current:
        await MigrationRunner(address, runner.environment).upgrade(revision)
    watch = SqliteWatch(address) if address.dialect == "sqlite" else PostgresqlWatch(address)
    trial = MigrationRunner(address, runner.environment, engine=watch.engine())
    for step in plan.steps:
        await watch.begin()
        if plan.direction is Direction.UPGRADE:
            await trial.upgrade(step.id)
        else:
            await trial.downgrade(step.parents[0] if step.parents else "base")
        taken = sorted(await watch.taken(), key=lambda one: (one.table, one.column or ""))
        gone += [(one, step.id) for one in taken]


def _count(connection: Connection, gone: Sequence[tuple[Taken, str]]) -> tuple[Loss, ...]:
    """Count what there is; what a plan makes and drops again is no loss."""
    present = read_columns(connection)
    counted: list[Loss] = []
    for taken, revision in gone:
        if taken.table not in present or (taken.column is not None and taken.column not in present[taken.table]):
            continue
        what = func.count() if taken.column is None else func.count(column(taken.column))
        rows = connection.scalar(select(what).select_from(table(taken.table))) or 0
        # Where there is nothing, nothing can be deleted or overwritten.
        if rows or taken.how is How.DROPPED:
            counted.append(Loss(taken.table, taken.column, rows, revision, taken.how))
    return tuple(counted)
