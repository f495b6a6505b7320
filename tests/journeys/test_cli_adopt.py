"""`tbcv migrate adopt`: what 2.0 left behind without a revision gets one, and can be had back as it was."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.journeys.command_line import CommandLine
from tests.migrations.chain import Chain
from tests.migrations.dumps import UNVERSIONED, load


def everything(url: str) -> list[str]:
    """Return a SQLite file as the statements that make it."""
    with closing(sqlite3.connect(Chain(url).path)) as database:
        return list(database.iterdump())


def test_an_adoption_can_be_taken_back(on_sqlite: CommandLine) -> None:
    """A backup is taken before the schema is changed, named, and brings every row and definition back."""
    url = str(on_sqlite.url)
    load(UNVERSIONED, Chain(url).path)
    before = everything(url)
    adopted = on_sqlite.document("adopt", "--yes")
    assert adopted["after"] == ["001"]
    assert everything(url) != before
    on_sqlite("restore", "--yes", adopted["backup"])
    assert everything(url) == before


def test_an_adoption_without_a_backup(on_sqlite: CommandLine) -> None:
    """Backups that are turned off are turned off here too."""
    load(UNVERSIONED, Chain(str(on_sqlite.url)).path)
    tbcv = on_sqlite.having(TBCV_BACKUP="false")
    assert not tbcv.document("adopt", "--yes")["backup"]
    assert tbcv.document("backups")["backups"] == []
