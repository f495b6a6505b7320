"""What has to happen before anything is served. Knows no web framework: the parent of workers runs it too."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tbcv.core.database import DatabaseManager
from tbcv.migrate.plan import Direction
from tbcv.settings import Settings

_log = logging.getLogger(__name__)


@asynccontextmanager
async def initialized_database(settings: Settings | None = None) -> AsyncIterator[DatabaseManager]:
    """Open the database, initialize it as the settings say, and close it in the end.

    Args:
        settings: Read from the environment where it is None.

    Raises:
        ConfigurationError: The settings name no database that tbcv can use.
        TbcvError: As `DatabaseManager.initialize_database`.
    """
    async with DatabaseManager(settings) as database:
        done = await database.initialize_database()
        if done.outcome.direction is Direction.CREATE:
            _log.info("the empty database was created at revision %s", ", ".join(done.outcome.after))
        if done.status.tolerable:
            _log.warning("the database is %s", done.status.description)
        yield database


async def initialize(settings: Settings) -> None:
    """Initialize the database once, for the processes that will serve it; raises as `initialized_database`."""
    async with initialized_database(settings):
        pass
