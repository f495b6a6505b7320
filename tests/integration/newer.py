"""A release that is newer than this one: its revisions and more on top, with the marks that its ledger gives them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tbcv.core.database import Base
from tbcv.engine.url import parse_database_url
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import read_history
from tbcv.migrate.journal import OWN_JOURNAL
from tbcv.migrate.ledger import read_ledger, write_ledger
from tbcv.migrate.location import AlembicEnvironment, own_environment, read_environment
from tbcv.migrate.runner import MigrationRunner
from tests.integration.synthetic import revision

HEAD = read_history(own_environment()).head
OWN = [one.id for one in read_history(own_environment()).ordered()]


def newer_release(directory: Path, *marks: bool | None, upgrade: str = "pass", above: str = HEAD) -> AlembicEnvironment:
    """Make the environment of a release with the revisions n1, n2, … above this one's head.

    Args:
        directory: Where.
        *marks: Of each new revision, what the ledger says.
        upgrade: What each of them does.
        above: What the first of them follows.
    """
    own = own_environment()
    directory.mkdir(exist_ok=True)
    shutil.copytree(own.directory, directory / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(own.config_file, directory / "alembic.ini")
    environment = read_environment(directory / "alembic.ini")
    entries = read_ledger(own)
    made = list(entries.values())
    for number, mark in enumerate(marks, 1):
        name, parent = f"n{number}", f"n{number - 1}" if number > 1 else above
        path = revision(environment.version_directories[0], name, parent, upgrade)
        meaning = checksum(path.read_bytes())
        made.append(replace(entries[HEAD], id=name, parents=(parent,), checksum=meaning, additive=mark))
    write_ledger(environment, made)
    return environment


def runner_of(environment: AlembicEnvironment, url: str) -> MigrationRunner:
    """Return the migrations of a database as a release with that environment has them."""
    return MigrationRunner(
        parse_database_url(url),
        environment,
        managed=frozenset(Base.metadata.tables),
        create_all=Base.metadata.create_all,
        lock_timeout_seconds=30,
        journal=OWN_JOURNAL,
    )
