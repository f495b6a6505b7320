"""How a run is told that ended before anything about it could be written into the database."""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, NoReturn

import pytest

from tbcv.errors import UpgradeFailedError
from tbcv.migrate.executor import StepClock
from tbcv.migrate.journal import OWN_JOURNAL
from tbcv.migrate.plan import Direction
from tbcv.migrate.recorder import Recorder

pytestmark = pytest.mark.anyio


def never(*_: object) -> NoReturn:
    """Fail: the database is touched."""
    raise AssertionError("the database is written to")


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)


async def fail(before: tuple[str, ...] | None) -> None:
    """Fail in a run because of a damaged file."""
    damaged = sqlite3.DatabaseError("database disk image is malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    async with Recorder(OWN_JOURNAL, never, never, never).run(Direction.UPGRADE, StepClock()) as trace:
        trace.before, trace.known = before, True
        raise UpgradeFailedError("it failed", applied=[], failed="a1", remaining=[]) from damaged


@pytest.mark.parametrize(("before", "place"), [(None, ""), ((), " from base"), (("011",), " from 011")])
async def test_a_damaged_file(before: tuple[str, ...] | None, place: str) -> None:
    """A damaged file is not written to; the log says what is known of the run, and claims no place that is not."""
    lines, log = Lines(), logging.getLogger("tbcv.migrate.recorder")
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    try:
        with pytest.raises(UpgradeFailedError):
            await fail(before)
    finally:
        log.removeHandler(lines)
        log.setLevel(logging.NOTSET)
    (record,) = lines.records
    assert record.getMessage() == f"upgrade{place}: failed"
    assert (record.event, record.before, record.reason) == ("run", before, "it failed")
