"""What a signal does to a command; in a room of its own, since the event loop takes long to import."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

SIGNALLED = 128
INTERRUPTED = SIGNALLED + signal.SIGINT


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked for it
    """A signal ended the command.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def ended_at_once() -> Iterator[None]:
    """End the process at Ctrl-C instead of raising KeyboardInterrupt: for imports, where there is nothing to undo.

    Python drops an exception that a signal raises while the import system cleans up after a module, and the command
    would go on as if nobody had asked it to end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(_number: int, _frame: object) -> NoReturn:
    os.write(2, b"tbcv: interrupted\n")
    os._exit(INTERRUPTED)
