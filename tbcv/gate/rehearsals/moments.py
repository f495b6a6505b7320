"""A scratch database at one moment, and what a revision changed between two."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from tbcv.engine.engines import connected, is_absent, observing_engine
from tbcv.engine.scratch import worked
from tbcv.engine.url import DatabaseURL
from tbcv.gate.observers.observed import Run
from tbcv.gate.observers.watcher import Rows
from tbcv.gate.rehearsals.contents import Contents, find_changes, find_replaced, find_unrestored, read_contents
from tbcv.gate.rehearsals.losses import find_losses, find_moved, is_restored, without_dangling
from tbcv.gate.rehearsals.meaning import find_collided, find_reinterpreted, find_silenced
from tbcv.gate.rehearsals.rehearsed import Repetition, Return, StepRehearsal
from tbcv.gate.rehearsals.upkeep import Privileges, Upkeep, read_upkeep
from tbcv.migrate.integrity import dangling_references
from tbcv.migrate.snapshot import Difference, Fact, Snapshot, compare, take_snapshot

_START = re.compile(r"\bstart -?\d+\b")
_WORD = re.compile(r"\w+|[^\w\s]")
_CONSTRAINT = re.compile(r"constraint ")
_UNNAMED = re.compile(r"constraint [^:]*\.unnamed: ")


@dataclass(frozen=True)
class Moment:
    """A database between two runs.

    Attributes:
        snapshot: Its schema.
        contents: Its rows.
        upkeep: Its indexes, privileges, sequences and partitions.
        dangling: References of SQLite that point at nothing.
    """

    snapshot: Snapshot
    contents: Contents
    upkeep: Upkeep
    dangling: frozenset[str] = frozenset()

    @property
    def rows(self) -> Rows:
        """How many rows each table has."""
        return {name: len(table.rows) for name, table in self.contents.items()}


@asynccontextmanager
async def looking(address: DatabaseURL) -> AsyncIterator[Callable[[], Awaitable[Moment]]]:
    """Give what looks at a database; PostgreSQL always on one connection, where it prepares its questions once."""
    if address.dialect == "sqlite":
        yield partial(_look_at_file, address)
        return
    engine = observing_engine(address)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        connection: AsyncConnection | None = None

        async def look() -> Moment:
            nonlocal connection
            if connection is None:
                connection = await stack.enter_async_context(connected(engine))
            try:
                return await connection.run_sync(_read)
            finally:
                await connection.rollback()

        yield look


def compared(step: StepRehearsal, before: Moment, after: Moment) -> StepRehearsal:
    """Return a step with what its upgrade lost, changed and left behind."""
    schema = compare(before.snapshot, after.snapshot)
    return replace(
        step,
        losses=find_losses(without_dangling(before.contents, schema), after.contents),
        dangling=tuple(sorted(after.dangling - before.dangling)),
        schema=schema,
        types=_changed_types(before.contents, after.contents),
        upkeep=(before.upkeep, after.upkeep),
        reinterpreted=find_reinterpreted(before.contents, after.contents),
        replaced=find_replaced(before.contents, after.contents),
        moved=find_moved(before.contents, after.contents),
        silenced=find_silenced(before.snapshot, schema),
        collided=find_collided(before.contents, after.contents, schema),
    )


def returned(step: StepRehearsal, before: Moment, back: Moment) -> StepRehearsal:
    """Return a step with how a database after the downgrade differs from what it was before the upgrade.

    What the downgrade brought back the upgrade has not lost: it was somewhere, in whatever form.
    """
    sound = without_dangling(before.contents, step.schema)
    back_there = Return(
        None,
        _left(before, back),
        (
            *find_unrestored(before.contents, back.contents, sound, [(table, name) for table, name, *_ in step.types]),
            *(f"the next number of {one} is taken" for one in back.upkeep.behind if one not in before.upkeep.behind),
        ),
        tuple(sorted(_withdrawn(before.upkeep.privileges, back.upkeep.privileges))),
    )
    lost = tuple(one for one in step.losses if not is_restored(one, sound, back.contents))
    return replace(step, way_back=back_there, losses=lost)


def repetition(step: StepRehearsal, first: Moment, second: Moment) -> Repetition:
    """Say how what a second upgrade led to differs from what the first one did."""
    names = first.contents.keys() & second.contents.keys()
    # Only from the same beginning must the same come out; rows that are there twice are wrong in any case.
    restored = bool(step.way_back)
    different = {name for name in names if first.rows[name] != second.rows[name]}
    counts = sorted(name for name in different if restored or first.rows[name] < second.rows[name])
    # Batches may be fewer the second time, and in which order a table lists its constraints means nothing.
    up, again = ({tuple(sorted(_WORD.findall(one.sql))) for one in step.of(run)} for run in (Run.UP, Run.AGAIN))
    return Repetition(
        None,
        _compared(first.snapshot, second.snapshot),
        tuple(counts),
        find_changes(first.contents, second.contents) if restored else (),
        restored and up != again,
    )


async def _look_at_file(address: DatabaseURL) -> Moment:
    if is_absent(address):
        return Moment(Snapshot.of("sqlite", ()), {}, Upkeep(frozenset(), frozenset(), {}))
    return await worked(address, _read)


def _read(connection: Connection) -> Moment:
    dangling: frozenset[str] = frozenset()
    if connection.dialect.name == "sqlite":
        dangling = frozenset(str(one) for one in dangling_references(connection))
    return Moment(take_snapshot(connection), read_contents(connection), read_upkeep(connection), dangling)


def _changed_types(before: Contents, after: Contents) -> tuple[tuple[str, str, str, str], ...]:
    return tuple(
        (name, column.name, column.type, now.type)
        for name, table in sorted(before.items())
        if name in after
        for column in table.columns
        for now in after[name].columns
        if now.name == column.name and now.type != column.type
    )


def _compared(before: Snapshot, after: Snapshot) -> Difference:
    """Compare two schemas, but for the numbers with which sequences began: what they go on with counts."""
    difference = compare(before, after)
    began = [{(one.subject, _START.sub("", one.line)) for one in side} for side in (before.facts, after.facts)]

    def is_told(fact: Fact, others: set[tuple[str, str]]) -> bool:
        return fact.subject.startswith("sequence ") and (fact.subject, _START.sub("", fact.line)) in others

    missing = tuple(one for one in difference.missing if not is_told(one, began[1]))
    return Difference(missing, tuple(one for one in difference.unexpected if not is_told(one, began[0])))


def _left(before: Moment, back: Moment) -> Difference:
    """Compare two schemas; what says the same on SQLite, whether or not it is written, is no difference.

    A key that is a row's number never is NULL, and a constraint without a name does what it does with one.
    """
    difference = _compared(before.snapshot, back.snapshot)
    if before.snapshot.dialect != "sqlite":
        return difference
    numbers = {
        f"column {table.name}.{keys[0].name}: integer"
        for table in before.contents.values()
        if len(keys := [one for one in table.columns if one.is_key]) == 1 and keys[0].type.upper() == "INTEGER"
    }
    unnamed = {(one.subject, _rule(one)) for one in difference.missing if _UNNAMED.match(one.line)}
    named = {(one.subject, _rule(one)) for one in difference.unexpected if _CONSTRAINT.match(one.line)} & unnamed
    sides = (
        tuple(
            fact
            for fact in facts
            if fact.line.removesuffix(" not null") not in numbers
            and not (_CONSTRAINT.match(fact.line) and (fact.subject, _rule(fact)) in named)
        )
        for facts in (difference.missing, difference.unexpected)
    )
    return Difference(*sides)


def _rule(constraint: Fact) -> str:
    return constraint.line.partition(": ")[2]


def _withdrawn(before: Privileges, back: Privileges) -> Iterator[str]:
    """Give what somebody was allowed and is not any more, as ``reader: SELECT on orders``."""
    for table in before.keys() & back.keys():
        yield from (f"{one} on {table}" for one in before[table] - back[table])
