"""The rehearsal: new revisions are run up, down and up again on filled scratch databases, and watched.

Old revisions are run once, to the parent of the first new one. From there on a database without rows of ours goes
forward from revision to revision; for each, a copy of it is filled, and a copy of that is what the revision is
tried on, so that before and after can be compared row by row.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Self

from tbcv.engine.scratch import Dialect, ScratchDatabases, worked
from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConfigurationError
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.observers.origin import Origin
from tbcv.gate.observers.postgresql import PostgresEye, PostgresState
from tbcv.gate.observers.sqlite import SqliteEye, SqliteState
from tbcv.gate.observers.watcher import Rows, Watcher
from tbcv.gate.rehearsals.collisions import with_rows_in_place
from tbcv.gate.rehearsals.contents import find_changes, read_contents
from tbcv.gate.rehearsals.interruption import try_again
from tbcv.gate.rehearsals.moments import Moment, compared, looking, repetition, returned
from tbcv.gate.rehearsals.orphans import with_orphans
from tbcv.gate.rehearsals.rehearsed import Failure, Rehearsal, Repetition, Return, Setback, StepRehearsal, failure_of
from tbcv.gate.rehearsals.retrial import failure_again, setback_of
from tbcv.gate.rehearsals.strays import (
    Change,
    great_numbers,
    loose_values,
    missing_defaults,
    refused_documents,
    strays,
)
from tbcv.gate.releases.passage import on
from tbcv.gate.seeding.documents import Documents, documents_read
from tbcv.gate.seeding.enumerations import labels_written
from tbcv.gate.seeding.named import Named, values_named
from tbcv.gate.seeding.seed import Manner, Seeded, seed
from tbcv.gate.staging.stage import Stage
from tbcv.gate.staging.templates import Place, advance
from tbcv.migrate.history import Revision, read_history
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.snapshot import compare

# What some rows violate and others do not; NULL in a new column is there whatever the rows are.
_ABOUT_SOME_ROWS = {"23503", "23505", "23514", "23P01"}
_DELETES = re.compile(r"\s*(?:WITH\b.*)?DELETE\s+FROM\s+(?:ONLY\s+)?(?P<table>[\w.\"]+)", re.IGNORECASE | re.DOTALL)
# Enough to tell a scan of all rows from a look at one.
_TAME_ROWS = 150

__all__ = ["Failure", "Rehearsal", "Repetition", "Return", "StepRehearsal", "rehearse"]


_Filled = tuple[DatabaseURL, Seeded, Moment]


async def rehearse(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    dialect: Dialect,
    revisions: tuple[Revision, ...],
    *,
    rows: int = 2000,
    start: Place | None = None,
) -> Rehearsal:
    """Run new revisions on filled scratch databases and observe what they do.

    Args:
        environment: Any Alembic environment; its own ``env.py`` is used.
        scratch: Where the databases come from.
        dialect: The engine.
        revisions: The new ones, parents before children.
        rows: How many rows each table gets.
        start: A database that has old revisions already, which then need not run again.

    Raises:
        UpgradeFailedError: The revisions before the new ones do not run on this engine.
        ConfigurationError: The environment does not connect to such an engine.
    """
    if not revisions:
        return Rehearsal(dialect, ())
    history = read_history(environment)
    order = history.ordered()
    steps: list[StepRehearsal] = []
    given = scratch.copy(start.address) if start else scratch.database(dialect)
    done = start.done if start else frozenset[str]()
    async with given as line, _Rehearser(Stage(environment), scratch, rows, line, done) as rehearser:
        for number, revision in enumerate(revisions):
            below = history.ancestors((revision.id,)) - {revision.id}
            failed = {one.revision.id for one in steps if one.failure is not None and not one.failure.needs_rows}
            if below & failed:
                return Rehearsal(dialect, tuple(steps), revisions[number:])
            await rehearser.advance([one for one in order if one.id in below])
            steps.append(await rehearser.step(revision))
    return Rehearsal(dialect, tuple(steps))


class _Rehearser:
    """Keeps a database that goes forward along the chain, and a filled copy of it for as long as it stands still."""

    def __init__(
        self, stage: Stage, scratch: ScratchDatabases, rows: int, line: DatabaseURL, done: frozenset[str]
    ) -> None:
        self._stage = stage
        self._scratch = scratch
        self._rows = rows
        self._line = line
        self._done: set[str] = set(done)
        self._stack = AsyncExitStack()
        self._filled: dict[tuple[Manner, str], _Filled] = {}
        self._labels: dict[tuple[str, str], tuple[str, ...]] = {}
        self._read: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def advance(self, below: Sequence[Revision]) -> None:
        """Bring the line to the parents of a revision."""
        self._labels.update(labels_written(one.path for one in below if one.id not in self._read))
        self._read.update(one.id for one in below)
        missing = [one for one in below if one.id not in self._done]
        if missing:
            await self._stack.aclose()
            self._filled.clear()
            await advance(self._stage, self._line, missing)
            self._done.update(one.id for one in missing)

    async def step(self, revision: Revision) -> StepRehearsal:
        """Rehearse one revision on the line as it is."""
        step = await self._tried(revision, await self._template(revision))
        if step.failure is None or step.again is not None:
            # What came to its end on rows of all kinds has shown on these what it does, whatever others it fails on.
            return step
        return await self._with_childless(await self._on_others(step, step.failure))

    async def _on_others(self, step: StepRehearsal, failure: Failure) -> StepRehearsal:
        """Run a revision that failed on rows of other kinds, down to none."""
        revision = step.revision
        # What fails on some rows does to others what it would do to them once the rest are as it wants them.
        tame = await self._of_manner(revision, Manner.TAME)
        if tame.failure is None:
            return await self._with_even(_told_with(step, failure, tame))
        bare = await self._without_rows(step, failure)
        if bare.failure is None or not bare.failure.needs_rows:
            return bare
        parent = _deleted_from(step)
        for manner in (*([Manner.CHILDLESS] if parent else []), Manner.EVEN, Manner.PLAIN, Manner.SPARSE):
            other = await self._of_manner(revision, manner, parent if manner is Manner.CHILDLESS else "")
            if other.failure is None:
                return _told_with(step, failure, other)
        return bare

    async def _of_manner(self, revision: Revision, manner: Manner, parent: str = "") -> StepRehearsal:
        return await self._tried(revision, await self._template(revision, manner, parent), tame=True)

    async def _with_even(self, step: StepRehearsal) -> StepRehearsal:
        """Add what is lost of rows like those in production, where a few odd ones are in the way."""
        if step.losses and not step.way_back:
            return step
        return await self._with_losses(step, await self._of_manner(step.revision, Manner.EVEN))

    async def _with_childless(self, step: StepRehearsal) -> StepRehearsal:
        """Add what is lost of rows that nothing refers to, where others are kept by what refers to them."""
        parent = _deleted_from(step)
        if step.losses or not parent:
            return step
        return await self._with_losses(step, await self._of_manner(step.revision, Manner.CHILDLESS, parent))

    async def _with_losses(self, step: StepRehearsal, other: StepRehearsal) -> StepRehearsal:
        if other.failure is not None:
            return step
        restored = step.way_back is None or bool(step.way_back)
        return replace(step, losses=step.losses or other.losses, way_back=other.way_back if restored else step.way_back)

    async def _tried(self, revision: Revision, filled: _Filled, *, tame: bool = False) -> StepRehearsal:
        template, seeded, before = filled
        async with self._scratch.copy(template) as trial, looking(trial) as look:
            step = StepRehearsal(revision, seeded)
            statements, failure = await self._watched(trial, revision, Run.UP, before.rows)
            step = replace(step, statements=statements, failure=failure)
            if failure is None:
                after = await look()
                step = await self._down_and_up(trial, look, compared(step, before, after), before, after)
                step = replace(step, cut_short=await self._cut_short(step, template, after))
                if tame:
                    return step
                found = before.contents, after.contents
                step = await with_rows_in_place(self._stage, self._scratch, template, step, found)
                return await self._on_strays(step, template, trial)
            return replace(step, cut_short=await setback_of(self._stage, trial, step, failure))

    async def _cut_short(self, step: StepRehearsal, template: DatabaseURL, after: Moment) -> Setback | None:
        async def differs(trial: DatabaseURL) -> tuple[str, ...]:
            found = await worked(trial, read_contents)
            changed = find_changes(after.contents, found)
            if not changed:
                return ()
            async with self._scratch.copy(template) as control:
                await self._stage.upgrade(control, (step.revision.id,))
                # Of rows that differ from run to run anyway, the number tells.
                other = await worked(control, read_contents)
            unsteady = set(find_changes(after.contents, other))
            return tuple(
                name
                for name in changed
                if name not in unsteady
                or len(found[name].rows) > max(len(one[name].rows) for one in (after.contents, other))
            )

        return await try_again(self._stage, self._scratch, template, step, differs)

    async def _on_strays(self, step: StepRehearsal, template: DatabaseURL, trial: DatabaseURL) -> StepRehearsal:
        if step.again is None or step.again.failure is not None:
            return step
        step = await with_orphans(self._stage, self._scratch, template, step)
        finders: tuple[Callable[[StepRehearsal], Awaitable[Change | None]], ...] = (
            partial(strays, template, trial),
            partial(loose_values, template),
            partial(refused_documents, template),
            partial(great_numbers, template),
            partial(missing_defaults, template),
        )
        for find in finders:
            if change := await find(step):
                async with self._scratch.copy(template) as other:
                    await on(other, change)
                    if stray := await failure_again(self._stage, other, step.revision):
                        cut_short = step.cut_short or await setback_of(self._stage, other, step, stray)
                        return replace(step, failure=replace(stray, needs_rows=True), cut_short=cut_short)
        return step

    async def _template(self, revision: Revision, manner: Manner = Manner.WILD, parent: str = "") -> _Filled:
        """Return a filled copy of the line; revisions that name no values share one."""
        named, documents = values_named(revision.path), documents_read(revision.path)
        key = (manner, repr((sorted(named.items()), documents, parent)))
        if key not in self._filled:
            self._filled[key] = await self._fill(manner, named, documents, parent)
        return self._filled[key]

    async def _fill(self, manner: Manner, named: Named, documents: Documents, parent: str) -> _Filled:
        rows = self._rows if manner is Manner.WILD else min(self._rows, _TAME_ROWS)
        template = await self._stack.enter_async_context(self._scratch.copy(self._line))
        seeded = await seed(
            template, rows, manner=manner, named=named, labels=self._labels, documents=documents, parent=parent
        )
        async with looking(template) as look:
            return template, seeded, await look()

    async def _down_and_up(
        self,
        trial: DatabaseURL,
        look: Callable[[], Awaitable[Moment]],
        step: StepRehearsal,
        before: Moment,
        after: Moment,
    ) -> StepRehearsal:
        statements, failure = await self._watched(trial, step.revision, Run.DOWN, after.rows)
        step = replace(step, statements=(*step.statements, *statements))
        if failure is not None:
            return replace(step, way_back=Return(failure))
        back = await look()
        statements, failure = await self._watched(trial, step.revision, Run.AGAIN, back.rows)
        step = returned(replace(step, statements=(*step.statements, *statements)), before, back)
        if failure is not None:
            return replace(step, again=Repetition(failure))
        return replace(step, again=repetition(step, after, await look()))

    async def _without_rows(self, step: StepRehearsal, failure: Failure) -> StepRehearsal:
        """Find out whether a revision that failed would do so in an empty database too, and come back from it."""
        async with self._scratch.copy(self._line) as bare, looking(bare) as look:
            before = await look()
            upwards, failed = await self._watched(bare, step.revision, Run.UP, before.rows)
            if failed:
                return step
            step = replace(step, failure=replace(failure, needs_rows=True))
            if failure.code in _ABOUT_SOME_ROWS:
                # What it reads of no rows it would read of those that are as it wants them.
                empty = {name: "no rows that it accepts were found" for name, count in before.rows.items() if not count}
                step = replace(step, statements=upwards, seeded=replace(step.seeded, unfilled=empty))
            statements, failed = await self._watched(bare, step.revision, Run.DOWN, {})
            step = replace(step, statements=(*step.statements, *statements))
            back = Return(failed) if failed else Return(None, compare(before.snapshot, (await look()).snapshot))
            return replace(step, way_back=back)

    async def _watched(
        self, address: DatabaseURL, revision: Revision, run: Run, rows: Rows
    ) -> tuple[tuple[Statement, ...], Failure | None]:
        origin = Origin(revision.path)
        watcher = _watcher(address.dialect, run, origin, rows)
        failure = None
        try:
            if run is Run.DOWN:
                await self._stage.downgrade(address, revision.id, watcher)
            else:
                await self._stage.upgrade(address, (revision.id,), watcher)
        except ConfigurationError:
            raise
        except Exception as error:  # a revision may raise anything
            refused = next((one for one in reversed(watcher.statements) if one.error), None)
            failure = failure_of(error, origin, refused)
        return tuple(watcher.statements), failure


def _deleted_from(step: StepRehearsal) -> str:
    """Return the table, without its schema, out of which an upgrade deletes rows first; empty where it does not."""
    statements = [one.sql for one in step.of(Run.UP)] + ([step.failure.statement] if step.failure else [])
    found = next(filter(None, map(_DELETES.match, statements)), None)
    return found["table"].replace('"', "").rpartition(".")[2] if found else ""


def _told_with(step: StepRehearsal, failure: Failure, other: StepRehearsal) -> StepRehearsal:
    """Return what came of a revision on rows that it accepts, with its failure on others."""
    failure = replace(failure, needs_rows=True)
    return replace(other, seeded=step.seeded, failure=failure, cut_short=step.cut_short)


def _watcher(dialect: str, run: Run, origin: Origin, rows: Rows) -> Watcher[SqliteState] | Watcher[PostgresState]:
    if dialect == "sqlite":
        return Watcher(run, origin, SqliteEye(rows))
    return Watcher(run, origin, PostgresEye(rows))
