"""The application: `uvicorn --factory tbcv.api.app:create_app` serves it, and `tbcv.api.server` does."""

from __future__ import annotations

from fastapi import FastAPI

from tbcv import __version__
from tbcv.api import health, page, schema
from tbcv.api.lifespan import OneLineFailure, lifespan
from tbcv.errors import TbcvError
from tbcv.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """Create the application; the database is opened and initialized when it starts.

    Args:
        settings: Read from the environment at startup where it is None, so that a malformed variable is
            reported like any other failure of a startup.
    """
    app = FastAPI(
        title="TBCV",
        version=__version__,
        summary="The database of Truth-Based Content Validation: its health and its schema.",
        lifespan=lifespan(settings),
    )
    app.add_middleware(OneLineFailure)
    app.add_exception_handler(TbcvError, schema.answer_problem)
    for room in (health, schema, page):
        app.include_router(room.router)
    return app
