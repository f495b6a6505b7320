"""Whether a revision that was cut short between two of its transactions can begin again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from sqlalchemy import Connection, text

from tbcv.engine.scratch import ScratchDatabases, worked
from tbcv.engine.url import DatabaseURL
from tbcv.findings import Location
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.observers.origin import Origin
from tbcv.gate.rehearsals.rehearsed import Setback, StepRehearsal
from tbcv.gate.rehearsals.retrial import failure_again
from tbcv.gate.staging.stage import Stage
from tbcv.migrate.history import Revision

# Of a loop in batches, the first of its turns tells as much as all of them.
_MOST = 6
_LONG = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
_BUILDS = re.compile(r"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b", re.IGNORECASE)
_NEWEST_INDEX = text("SELECT max(indexrelid::bigint) FROM pg_index")
_MAY_SPOIL = text("SELECT has_table_privilege('pg_index', 'UPDATE')")
_SPOIL = text("UPDATE pg_index SET indisvalid = false WHERE indexrelid::bigint > :newest RETURNING indexrelid::bigint")
_SPOILT = text(
    "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid AND "
    "indexrelid::bigint = ANY(CAST(:spoilt AS bigint[]))"
)
_COMMITS = re.compile(r"\s*(?:COMMIT|END)\b", re.IGNORECASE)
_BEGINS = re.compile(r"\s*BEGIN\b", re.IGNORECASE)


async def try_again(
    stage: Stage,
    scratch: ScratchDatabases,
    template: DatabaseURL,
    step: StepRehearsal,
    differs: Callable[[DatabaseURL], Awaitable[tuple[str, ...]]],
) -> Setback | None:
    """Cut an upgrade short wherever something was committed and more was to come, and run it again.

    Args:
        stage: Runs the revision.
        scratch: Where copies are made.
        template: A database at the revision's parents.
        step: The revision, and what its upgrade executed when nothing happened to it.
        differs: Gives the tables whose rows are not those that an upgrade leaves which is not cut short.

    Returns:
        What becomes of it then; None where it leads to the same.
    """
    revision = step.revision
    telling = _telling(step.of(Run.UP))
    last = telling[-1].number if telling else 0
    for number in _seams(telling):
        async with scratch.copy(template) as trial:
            try:
                await stage.upgrade(trial, (revision.id,), _Cut(revision, number, at_end=number > last))
            except _CutError:
                if failure := await failure_again(stage, trial, revision):
                    return Setback.of(failure)
                if tables := await differs(trial):
                    words = f"leads to other rows in {', '.join(tables)}: what was done already is done again"
                    return Setback(words, _before(step, number))
    # What an earlier attempt at an index left, tbcv clears or keeps when it migrates itself.
    builds = [] if stage.is_led else [one for one in telling if _BUILDS.match(one.sql)][:_MOST]
    for build in builds:
        async with scratch.copy(template) as trial:
            if found := await _build_again(stage, trial, step, build, at_end=build.number == last):
                return found
    return None


async def _build_again(
    stage: Stage, trial: DatabaseURL, step: StepRehearsal, build: Statement, *, at_end: bool
) -> Setback | None:
    """Cut an upgrade short while it builds an index, and run it again.

    Such a build leaves its index behind, which no query uses: a build that is over, and an index that is marked as
    PostgreSQL marks those, are the same to whoever comes next. Where this role may not mark it, the index is whole.
    """
    revision = step.revision
    newest = await worked(trial, lambda one: one.scalar(_NEWEST_INDEX))
    try:
        await stage.upgrade(trial, (revision.id,), _Cut(revision, build.number + 1, at_end=at_end))
    except _CutError:
        spoilt = await worked(trial, partial(_spoil, newest=newest))
        if failure := await failure_again(stage, trial, revision):
            return replace(Setback.of(failure), only_index=True)
        left = await worked(trial, lambda one: one.execute(_SPOILT, {"spoilt": spoilt}).scalars().all())
        if left:
            words = f"keeps {', '.join(left)}, an index that was not built to its end: no query uses it"
            return Setback(words, build.location or Location(revision.path), only_index=True)
    return None


def _spoil(connection: Connection, newest: int) -> list[int]:
    """Mark the indexes that are newer than one as unfinished, and return them; none where this role may not."""
    if not connection.scalar(_MAY_SPOIL):
        return []
    return list(connection.execute(_SPOIL, {"newest": newest}).scalars())


def _before(step: StepRehearsal, number: int) -> Location:
    """Return the line of the last statement before a seam."""
    earlier = [one.location for one in step.of(Run.UP) if one.number < number and one.location]
    return earlier[-1] if earlier else Location(step.revision.path)


def _telling(statements: Sequence[Statement]) -> list[Statement]:
    """Leave out the transactions that go on after an autocommit block on SQLite, which changes nothing."""
    return [one for one in statements if not _BEGINS.match(one.sql)]


def _seams(telling: Sequence[Statement]) -> Iterator[int]:
    """Give the numbers of statements before which something had been committed, one for each pair of lines.

    What takes long and is committed by itself, or commits, may also be the last: nobody knows yet that the revision was
    applied.
    """
    seen: set[object] = set()
    if telling and (_COMMITS.match(telling[-1].sql) or (telling[-1].alone and _LONG.match(telling[-1].sql))):
        yield telling[-1].number + 1
    for before, after in pairwise(telling):
        lines = (before.location, after.location)
        if (before.alone or before.transaction != after.transaction) and lines not in seen and len(seen) < _MOST:
            seen.add(lines)
            yield after.number


class _CutError(Exception):
    """The end of a process, for a revision."""


class _Cut:
    """An audience that lets a revision end before one of its statements.

    Args:
        revision: The revision.
        number: Of the statement, counted from 0.
        at_end: Whether there is no such statement: the one before it is the last.
    """

    def __init__(self, revision: Revision, number: int, *, at_end: bool) -> None:
        self._origin = Origin(revision.path)
        self._left = number
        self._at_end = at_end

    def before(self, _connection: Connection, _statement: str) -> None:
        """Count the revision's statements."""
        if self._origin.here() is None:
            return
        if self._left == 0:
            raise _CutError
        self._left -= 1

    def after(self, _connection: Connection, _statement: str, _rows: int) -> None:
        """End after the last statement."""
        if self._at_end and self._left == 0:
            raise _CutError

    def failed(self, connection: Connection, error: BaseException) -> None:
        """Do nothing."""

    def ended(self, connection: Connection) -> None:
        """Do nothing."""
