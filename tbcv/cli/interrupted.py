"""What a signal turns a command into; in a room of its own, since the event loop takes long to import."""

from __future__ import annotations

import signal


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked for it
    """A signal ended the command.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number
