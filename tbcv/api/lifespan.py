"""From the server's start to its end: the database is initialized before the first request is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tbcv.api.startup import initialized_database
from tbcv.errors import TbcvError
from tbcv.settings import Settings


def lifespan(settings: Settings | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an app, which keeps its database in ``app.state.database``.

    Args:
        settings: Read from the environment at startup where it is None.
    """

    @asynccontextmanager
    async def serving(app: FastAPI) -> AsyncIterator[None]:
        async with initialized_database(settings) as database:
            app.state.database = database
            yield

    return serving


class OneLineFailure:
    """ASGI middleware that tells the server of a failed startup in one line instead of a traceback.

    Only a `TbcvError` is shortened. Anything else is a defect, whose traceback somebody will need.

    Args:
        app: The application, whose lifespan may fail.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, except the traceback of a failure that speaks for itself."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        failures: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                failures.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, hold_failure)
        except TbcvError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        except BaseException:
            for message in failures:
                await send(message)
            raise
