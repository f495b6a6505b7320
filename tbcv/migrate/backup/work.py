"""Work in a thread that its task waits for to the end.

A task that is cancelled would otherwise leave its thread behind, which goes on writing into a directory that is
being removed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from tbcv.engine.waiting import settled

T = TypeVar("T")


class StoppedError(Exception):
    """Raised in the thread, and nowhere else, when its task was cancelled."""


class Stop:
    """The flag by which a task tells its thread to end."""

    def __init__(self) -> None:
        self._flag = threading.Event()

    def set(self) -> None:
        """Ask the thread to end."""
        self._flag.set()

    def check(self) -> None:
        """End the thread if that was asked for; called between pieces of work.

        Raises:
            StoppedError: The task was cancelled.
        """
        if self._flag.is_set():
            raise StoppedError


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Do work in a thread; a cancelled task first asks the thread to end, and waits until it has.

    Args:
        work: Given the flag that it checks from time to time.
    """
    stop = Stop()
    future = asyncio.get_running_loop().run_in_executor(None, work, stop)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await settled(future)
        raise
