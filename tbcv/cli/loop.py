"""The event loop of a command, which a signal ends in good order: what is in progress is rolled back first."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from typing import TypeVar, TypeVarTuple

import anyio

from tbcv.cli.interrupted import Interrupted

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def await_result(function: Callable[[*Ts], Awaitable[T]], *arguments: *Ts) -> T:
    """Run an asynchronous function to its end.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the function was cancelled and has cleaned up.
    """
    # Standard output is for the result: what a revision prints must not stand in the middle of a document.
    with redirect_stdout(sys.stderr):
        return anyio.run(_interruptible, function, arguments)


async def _interruptible(function: Callable[[*Ts], Awaitable[T]], arguments: tuple[*Ts]) -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def stop(number: int) -> None:
        # Once only: a second signal must not cut the clean-up short.
        if not received:
            task.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    try:
        return await function(*arguments)
    except asyncio.CancelledError:
        if received:
            raise Interrupted(received[0]) from None
        raise
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
