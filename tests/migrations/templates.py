"""Databases that the chain has brought to a revision once, to be copied by every test that begins there."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from uuid import uuid4

import asyncpg
from sqlalchemy import URL, make_url

from tbcv.engine.url import parse_database_url
from tbcv.migrate.location import own_environment
from tbcv.migrate.runner import MigrationRunner
from tests.conftest import STRATEGY

_made: dict[tuple[str, str], str] = {}


async def copy_at(url: URL, revision: str) -> None:
    """Replace an empty database by a copy of one that is at a revision.

    Args:
        url: The database; nobody is connected to it.
        revision: Of tbcv's own chain.
    """
    if url.get_backend_name() == "sqlite":
        assert url.database is not None
        assert not Path(url.database).exists()
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(await _file(revision), url.database)
        return
    template = await _database(url, revision)
    await _administer(
        url, f"DROP DATABASE {url.database}", f"CREATE DATABASE {url.database} TEMPLATE {template}{STRATEGY}"
    )


async def _file(revision: str) -> Path:
    path = _directory() / f"{revision}.db"
    if not path.exists():
        await _upgrade(f"sqlite:///{path}", revision)
    return path


async def _database(url: URL, revision: str) -> str:
    server = url.set(database="postgres").render_as_string(hide_password=False)
    if (server, revision) not in _made:
        name = f"tbcv_template_{uuid4().hex}"
        await _administer(url, f"CREATE DATABASE {name}{STRATEGY}")
        if not _made:
            atexit.register(_drop)
        _made[server, revision] = name
        await _upgrade(url.set(database=name).render_as_string(hide_password=False), revision)
    return _made[server, revision]


async def _upgrade(url: str, revision: str) -> None:
    await MigrationRunner(parse_database_url(url), own_environment()).upgrade(revision)


async def _administer(url: URL, *statements: str) -> None:
    place = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    connection = await asyncpg.connect(place)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@cache
def _directory() -> Path:
    directory = tempfile.mkdtemp(prefix="tbcv-templates-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


def _drop() -> None:
    """Leave nothing on a server that is not ours; our own has ended by then."""
    for (server, _), name in _made.items():
        try:
            asyncio.run(_administer(make_url(server), f"DROP DATABASE IF EXISTS {name}"))
        except OSError:
            continue
