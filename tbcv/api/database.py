"""The database of the running app, as its routes see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import text

from tbcv.core.database import DatabaseManager
from tbcv.engine.failures import database_errors
from tbcv.errors import DatabaseBehindError
from tbcv.migrate.status import State, Status, require_known_place


def running_database(request: Request) -> DatabaseManager:
    """Return the database that the lifespan opened."""
    database: DatabaseManager = request.app.state.database
    return database


Database = Annotated[DatabaseManager, Depends(running_database)]
"""A route's parameter of this type is the database of the app."""


async def look(database: DatabaseManager) -> Status:
    """Look where the schema stands, and that the application's own route to the database is open.

    Raises:
        DatabaseUnavailableError: The database cannot be reached or read.
        BrokenHistoryError: The revisions on disk form no history.
    """
    status = await database.migrations.status()
    if database.migrations.address != database.address:
        with database_errors(database.address):
            async with database.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
    return status


def require_usable(status: Status) -> None:
    """Refuse to call a database ready before its schema is at head, or above it by what this release may run on.

    Raises:
        DatabaseBehindError: Revisions are pending.
        UnversionedDatabaseError, DatabaseAheadError, HistoryDivergedError: As the state says.
    """
    if status.tolerable:
        return
    require_known_place(status)
    if status.state is not State.AT_HEAD:
        raise DatabaseBehindError(
            f"the database is {status.description}: {', '.join(status.pending)} not applied",
            hint="run `tbcv migrate upgrade`",
        )
