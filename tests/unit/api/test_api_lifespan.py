"""What a server is told when a startup fails."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tbcv.api.lifespan import OneLineFailure
from tbcv.errors import DatabaseAheadError

pytestmark = pytest.mark.anyio

STARTED: Message = {"type": "lifespan.startup.complete"}


def failing(error: Exception, *before: Message) -> ASGIApp:
    """Return an app that fails as Starlette's do: first it sends the traceback, then it raises."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in before:
            await send(message)
        await send({"type": "lifespan.startup.failed", "message": "Traceback (most recent call last): ..."})
        raise error

    return app


async def answer(app: ASGIApp, kind: str = "lifespan") -> list[Message]:
    """Call the middleware around an app, and return what the server is sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{kind}.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await OneLineFailure(app)({"type": kind}, receive, send)
    return sent


async def test_a_refusal_is_one_line() -> None:
    """The server gets message and hint instead of a traceback, and no exception to report besides."""
    refusal = DatabaseAheadError("the database is ahead", hint="deploy\nthe newer release")
    (message,) = await answer(failing(refusal))
    assert message == {
        "type": "lifespan.startup.failed",
        "message": "the database is ahead; deploy the newer release",
    }


async def test_a_defect_keeps_its_traceback() -> None:
    """What is not an error of tbcv reaches the server as it would without the middleware."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await OneLineFailure(failing(ZeroDivisionError()))({"type": "lifespan"}, _silent, send)
    assert [message["message"].split(" ")[0] for message in sent] == ["Traceback"]


async def test_a_startup_that_succeeds_passes() -> None:
    """A server is told of a startup that succeeded."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(STARTED)

    assert await answer(app) == [STARTED]


async def test_requests_pass_untouched() -> None:
    """A request reaches the app with the server's own callables."""
    seen: list[Any] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((receive, send))

    async def send(_message: Message) -> None:
        raise AssertionError

    await OneLineFailure(app)({"type": "http"}, _silent, send)
    assert seen == [_silent, send]


async def _silent() -> Message:
    raise AssertionError
