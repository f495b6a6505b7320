"""What the chain makes of an empty database, found out by running it on scratch databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import Connection, inspect, text

from tbcv.engine.engines import is_absent
from tbcv.engine.scratch import Dialect, ScratchDatabases, worked
from tbcv.engine.url import DatabaseURL
from tbcv.migrate.bookkeeping import BOOKKEEPING
from tbcv.migrate.checksum import checksum
from tbcv.migrate.history import History, read_history
from tbcv.migrate.ledger import Entry, read_ledger, short, write_ledger
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.reconcile import Schema
from tbcv.migrate.runner import MigrationRunner
from tbcv.migrate.schema import write_schemas
from tbcv.migrate.snapshot import Snapshot, take_snapshot


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the chain makes of an empty database.

    Attributes:
        entries: Per revision, for the ledger.
        schemas: The schema at the heads, per engine at hand.
    """

    entries: tuple[Entry, ...]
    schemas: Mapping[Dialect, Snapshot] = field(hash=False)

    def marked(self, marks: Mapping[str, bool]) -> Measurement:
        """Return the same with what was found out about revisions: whether they are additive."""
        return replace(self, entries=tuple(one.marked(marks) for one in self.entries))

    def write(self, environment: AlembicEnvironment) -> tuple[Path, ...]:
        """Write ledger and committed schemas of an environment, and return their files."""
        return (write_ledger(environment, self.entries), *write_schemas(environment, self.schemas))


async def measure(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    *,
    anew: Collection[str] | None = None,
    below: Mapping[Dialect, DatabaseURL] = MappingProxyType({}),
) -> Measurement:
    """Run the chain on scratch databases and note what each revision makes of the schema.

    What is known about an engine that is not at hand is kept from the present ledger, as are the marks
    ``additive``, as long as the revision's file means the same.

    Args:
        environment: The chain.
        scratch: Where it runs.
        anew: The revisions to look at, with all that follow them: what the ledger says of the ones before is taken
            over where their files mean the same. None looks at all.
        below: Scratch databases that have every revision but these; copies of them are gone on from.

    Raises:
        UpgradeFailedError: The chain does not run.
    """
    history = read_history(environment)
    before = read_ledger(environment)
    fingerprints: dict[str, dict[str, str]] = {}
    schemas: dict[Dialect, Snapshot] = {}
    rows: set[str] = set()
    for dialect in scratch.dialects:
        schemas[dialect] = Snapshot.of(dialect, ())
        held = {} if anew is None else _known(history, before, dialect, anew)
        for name, entry in held.items():
            fingerprints.setdefault(name, {})[dialect] = entry.fingerprints[dialect]
            if entry.leaves_rows:
                rows.add(name)
        rest = set(history.revisions) - held.keys()
        ground = below.get(dialect) if anew is not None and rest == set(anew) else None
        given = scratch.database(dialect) if ground is None else scratch.copy(ground)
        for name, snapshot, leaves_rows in await _run_chain(environment, history, given, rest):
            schemas[dialect] = snapshot
            fingerprints.setdefault(name, {})[dialect] = short(snapshot.fingerprint)
            if leaves_rows:
                rows.add(name)
    entries = []
    for revision in history.ordered():
        made = Entry(revision.id, revision.parents, checksum(revision.path.read_bytes()), {}, revision.id in rows)
        known = before.get(revision.id)
        same = known is not None and known.checksum == made.checksum
        kept = dict(known.fingerprints) if known is not None and same else {}
        additive = known.additive if known is not None and same else None
        entries.append(replace(made, fingerprints=kept | fingerprints[revision.id], additive=additive))
    return Measurement(tuple(entries), schemas)


def _known(history: History, ledger: Mapping[str, Entry], dialect: Dialect, anew: Collection[str]) -> dict[str, Entry]:
    """Return the entries from the base upwards that still hold, up to the first revision that is to be looked at."""
    found: dict[str, Entry] = {}
    for revision in history.ordered():
        entry = ledger.get(revision.id)
        if entry is None or revision.id in anew or dialect not in entry.fingerprints:
            break
        if entry.parents != revision.parents or entry.checksum != checksum(revision.path.read_bytes()):
            break
        found[revision.id] = entry
    return found


async def chain_schemas(
    environment: AlembicEnvironment, scratch: ScratchDatabases, dialect: Dialect
) -> tuple[Schema, ...]:
    """Return the schema at every revision, in order, built by the chain in a scratch database.

    Raises:
        UpgradeFailedError: The chain does not run.
    """
    found = []
    async with scratch.database(dialect) as address:
        runner = MigrationRunner(address, environment)
        for revision in read_history(environment).ordered():
            await runner.upgrade(revision.id)
            found.append(await worked(address, partial(_schema, revision.id)))
    return tuple(found)


async def snapshot_at(
    environment: AlembicEnvironment, scratch: ScratchDatabases, dialect: Dialect, revision: str
) -> Snapshot:
    """Return the schema at a revision, built by the chain in a scratch database.

    Raises:
        UpgradeFailedError: The chain does not run.
    """
    async with scratch.database(dialect) as address:
        if revision != "base":
            await MigrationRunner(address, environment).upgrade(revision)
        return await snapshot_of(address)


async def snapshot_of(address: DatabaseURL) -> Snapshot:
    """Return the schema of a scratch database."""
    snapshot, _ = await _look(address)
    return snapshot


async def snapshot_of_models(
    create_all: Callable[[Connection], None], scratch: ScratchDatabases, dialect: Dialect
) -> Snapshot:
    """Return the schema that the models build in a scratch database."""
    async with scratch.database(dialect) as address:

        def build(connection: Connection) -> Snapshot:
            create_all(connection)
            return take_snapshot(connection)

        return await worked(address, build)


@asynccontextmanager
async def at_head(
    environment: AlembicEnvironment, scratch: ScratchDatabases, dialect: Dialect
) -> AsyncIterator[DatabaseURL]:
    """Give a scratch database that the chain has brought to its heads."""
    async with scratch.database(dialect) as address:
        await MigrationRunner(address, environment).upgrade("heads")
        yield address


async def _run_chain(
    environment: AlembicEnvironment,
    history: History,
    given: AbstractAsyncContextManager[DatabaseURL],
    wanted: Collection[str],
) -> list[tuple[str, Snapshot, bool]]:
    found = []
    async with given as address:
        runner = MigrationRunner(address, environment)
        for revision in history.ordered():
            if revision.id not in wanted:
                continue
            await runner.upgrade(revision.id)
            snapshot, leaves_rows = await _look(address)
            found.append((revision.id, snapshot, leaves_rows))
    return found


async def _look(address: DatabaseURL) -> tuple[Snapshot, bool]:
    if is_absent(address):
        return Snapshot.of("sqlite", ()), False
    return await worked(address, lambda connection: (take_snapshot(connection), _has_rows(connection)))


def _schema(revision: str, connection: Connection) -> Schema:
    return Schema(revision, take_snapshot(connection), _columns(connection))


def _columns(connection: Connection) -> Mapping[str, tuple[str, ...]]:
    inspector = inspect(connection)
    return {
        name: tuple(column["name"] for column in inspector.get_columns(name)) for name in inspector.get_table_names()
    }


def _has_rows(connection: Connection) -> bool:
    quote = connection.dialect.identifier_preparer.quote
    tables = set(inspect(connection).get_table_names()) - BOOKKEEPING
    return any(connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {quote(table)})")) for table in sorted(tables))
