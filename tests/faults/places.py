"""Databases at every revision of the chain, with rows in them, as an undisturbed run leaves them."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import make_url

from tbcv.engine.engines import reading_engine
from tbcv.migrate.history import read_history
from tbcv.migrate.ledger import read_ledger, short
from tbcv.migrate.location import own_environment
from tbcv.migrate.managed import Managed
from tbcv.migrate.snapshot import Snapshot, take_snapshot
from tbcv.migrate.status import read_revisions
from tests.conftest import STRATEGY
from tests.faults.commands import Forge, ask
from tests.journeys.command_line import load_legacy
from tests.migrations.chain import TABLES, Chain, exact

CHAIN = ("base", *(f"{number:03}" for number in range(1, 12)))
BEGAN = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)[.\d]*(?:\+00(?::00)?|Z)?")
_LEDGER = read_ledger(own_environment())
_HISTORY = read_history(own_environment())
_MANAGED = Managed(_HISTORY, frozenset(TABLES))


@dataclass(frozen=True)
class Place:
    """A database at a revision.

    Attributes:
        url: The database; never migrated, only copied.
        revision: Where it is.
        rows: What is in it.
    """

    url: str
    revision: str
    rows: object


@dataclass
class Places:
    """Databases of one engine, made from one directory or one server.

    Attributes:
        forge: Runs the migrations.
        directory: Where SQLite files go.
        admin_url: A PostgreSQL database from which others are made; empty for SQLite.
    """

    forge: Forge
    directory: Path
    admin_url: str
    made: list[str] = field(default_factory=list)

    @property
    def dialect(self) -> str:
        """The engine."""
        return "postgresql" if self.admin_url else "sqlite"

    def empty(self) -> str:
        """Make an empty database."""
        return self._make("")

    def copy(self, url: str) -> str:
        """Copy a database in which nobody is."""
        return self._make(url)

    def drop(self, url: str) -> None:
        """Drop a database, whoever is in it."""
        if self.admin_url:
            ask(self.admin_url, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")
        else:
            Chain(url).path.unlink(missing_ok=True)

    def legacy(self) -> str:
        """Make a database as TBCV 2.0 left it, with some rows that do not fit the schema of today."""
        url = self.empty()
        load_legacy(url, self._directory())
        asyncio.run(_spoil(Chain(url)))
        return url

    def upwards(self) -> list[Place]:
        """Make a database at every revision from 001, by single upgrades."""
        places = [place(self.legacy())]
        for revision in CHAIN[2:]:
            url = self.copy(places[-1].url)
            self.forge.run("migrate", "--database-url", url, "upgrade", "-r", revision)
            places.append(place(url))
        return places

    def downwards(self, head: Place) -> list[Place]:
        """Make a database at every revision below head, by single downgrades."""
        places = [head]
        for revision in reversed(CHAIN[:-1]):
            url = self.copy(places[-1].url)
            self.forge.run("revert", url, revision)
            places.append(place(url))
        return places

    def clear(self) -> None:
        """Drop everything."""
        for url in self.made:
            if self.admin_url:
                ask(self.admin_url, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")

    def _make(self, template: str) -> str:
        name = f"tbcv_fault_{uuid4().hex}"
        if self.admin_url:
            source = f"TEMPLATE {make_url(template).database}" if template else ""
            ask(self.admin_url, f"CREATE DATABASE {name} {source}{STRATEGY}")
            url = make_url(self.admin_url).set(database=name).render_as_string(hide_password=False)
        else:
            url = f"sqlite:///{self.directory}/{name}.db"
            if template and Chain(template).path.exists():
                shutil.copyfile(Chain(template).path, Chain(url).path)
        self.made.append(url)
        return url

    def _directory(self) -> Path:
        directory = self.directory / uuid4().hex
        directory.mkdir()
        return directory


def place(url: str) -> Place:
    """Look at a database: the revision that it records, proven by its schema, and its rows.

    Raises:
        AssertionError: It records one revision and has the schema of another, or of none.
    """
    chain = Chain(url)
    if chain.sqlite and not chain.path.exists():
        return Place(url, "base", {})
    recorded, found = asyncio.run(_look(chain))
    assert len(recorded) < 2
    if not recorded:
        assert found.fingerprint == Snapshot.of(found.dialect, ()).fingerprint, found.text
        return Place(url, "base", {})
    known = _LEDGER[recorded[0]].fingerprints[found.dialect]
    assert short(found.fingerprint) == known, f"recorded {recorded[0]}, and the schema is another:\n{found.text}"
    return Place(url, recorded[0], asyncio.run(_rows(chain)))


def count(rows: object) -> int:
    """Count the rows of a place."""
    return sum(len(table) for table in rows.values()) if isinstance(rows, dict) else 0


async def _look(chain: Chain) -> tuple[tuple[str, ...], Snapshot]:
    # TBCV 2.0 leaves a table of its own behind, which no revision knows.
    engine = reading_engine(chain.address)
    try:
        async with engine.connect() as connection:
            recorded = await connection.run_sync(read_revisions)
            return recorded, (await connection.run_sync(take_snapshot)).only(_MANAGED)
    finally:
        await engine.dispose()


async def _rows(chain: Chain) -> object:
    found: dict[str, Any] = {}
    for table in TABLES:
        rows = await chain.rows(table)
        # The journal of the runs themselves, of which a disturbed one has more.
        found[table] = {key: row for key, row in rows.items() if row.get("actor_type") != "migrator"}
    return _timeless(exact(found))


def _timeless(value: object) -> object:
    """Replace every moment since the tests began: in it alone two runs may differ."""
    if isinstance(value, dict):
        return {key: _timeless(one) for key, one in value.items()}
    return _MOMENT.sub(lambda moment: "now" if f"{moment[1]} {moment[2]}" >= BEGAN else moment[0], str(value))


async def _spoil(chain: Chain) -> None:
    await chain.insert(
        "workflows",
        {"id": "w1", "type": "t", "state": "Weird", "metadata": "{no json", "progress_percent": 300},
        {"id": "w2", "type": "t", "state": "pending", "metadata": "[1, 2", "total_steps": -1},
    )
    await chain.insert("metrics", {"id": "m1", "name": None, "value": 1.5, "metadata": "NaN"})
    if chain.sqlite:
        await chain.insert("checkpoints", {"id": "c1", "workflow_id": "gone", "name": "n", "step_number": 1})
        await chain.insert(
            "recommendations", {"id": "r1", "validation_id": "gone", "type": "t", "title": "t", "status": "PENDING"}
        )
