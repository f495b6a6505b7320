"""Logs for programs: a JSON object a line, with everything that a message says as a field of its own."""

from __future__ import annotations

from pythonjsonlogger.json import JsonFormatter


class JsonLines(JsonFormatter):
    """Writes a record as one line: ``timestamp``, ``level``, ``logger``, ``message``, and what it was given besides."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp=True,
        )
