"""New revisions tried on an engine: what they do there, and what they mean for the releases around them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.engine.url import DatabaseURL
from tbcv.errors import ConfigurationError, TbcvError
from tbcv.findings import Finding
from tbcv.gate.judgement.hazards import judge
from tbcv.gate.rehearsals.rehearsal import Rehearsal, rehearse
from tbcv.gate.releases.compatibility import Compatibility, check_compatibility
from tbcv.gate.releases.mapped import MappedClasses
from tbcv.gate.staging.templates import Place, Templates
from tbcv.gate.verdict import Part
from tbcv.migrate.history import Revision, read_history
from tbcv.migrate.location import AlembicEnvironment

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a check of one engine came to.

    Attributes:
        dialect: The engine.
        part: The check.
        result: What was seen; None where it did not run.
        findings: What is wrong.
        error: Why it did not run.
        notes: What else a reader should know.
    """

    dialect: Dialect
    part: Part
    result: T | None = None
    findings: tuple[Finding, ...] = ()
    error: TbcvError | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """New revisions, to be tried on any engine.

    Attributes:
        templates: Databases at what was released.
        released: These revisions.
        new: The revisions to try, parents before children.
        classes: For each engine, the models of both releases; where there are none, the schemas stand for them.
        rows: How many rows each table has in a rehearsal.
    """

    templates: Templates
    released: tuple[str, ...]
    new: tuple[Revision, ...]
    classes: Mapping[Dialect, MappedClasses]
    rows: int

    async def rehearsal(self, dialect: Dialect) -> Outcome[Rehearsal]:
        """Run the revisions up, down and up under observation."""
        name, since = f"rehearsal on {dialect}", time.monotonic()
        environment, scratch = self.templates.environment, self.templates.scratch
        try:
            start = await self._start(dialect)
            result = await rehearse(environment, scratch, dialect, self.new, rows=self.rows, start=start)
        except TbcvError as error:
            return Outcome(dialect, Part(name, time.monotonic() - since, skipped=error.message), error=error)
        findings = judge(result)
        names = ", ".join(one.id for one in result.untried)
        notes = (f"not tried on {dialect}, since a revision before them fails: {names}",) if names else ()
        return Outcome(dialect, Part(name, time.monotonic() - since, len(findings)), result, findings, notes=notes)

    async def compatibility(self, dialect: Dialect) -> Outcome[Compatibility]:
        """Find out whether the releases before and after can run on each other's schemas."""
        name, since = f"compatibility on {dialect}", time.monotonic()
        notes: tuple[str, ...] = ()
        classes = self.classes.get(dialect)
        try:
            start = await self._start(dialect)
            try:
                result = await self._compare(dialect, start, classes)
            except ConfigurationError as error:
                if classes is None:
                    raise
                # A base whose models cannot be imported here is judged by its schema.
                notes = (f"{name} is judged by the schemas: {error.message}",)
                result = await self._compare(dialect, start, None)
        except TbcvError as error:
            return Outcome(dialect, Part(name, time.monotonic() - since, skipped=error.message), error=error)
        part = Part(name, time.monotonic() - since, len(result.findings))
        return Outcome(dialect, part, result, result.findings, notes=notes)

    async def _start(self, dialect: Dialect) -> Place:
        return await self.templates.template(dialect, *self.released)

    async def _compare(self, dialect: Dialect, start: Place, classes: MappedClasses | None) -> Compatibility:
        environment, scratch = self.templates.environment, self.templates.scratch
        return await check_compatibility(environment, scratch, dialect, self.new, classes=classes, start=start)


async def findings_of(
    environment: AlembicEnvironment,
    scratch: ScratchDatabases,
    revision: str,
    grounds: Mapping[Dialect, DatabaseURL],
    skipped: Callable[[str], None],
) -> tuple[Finding, ...]:
    """Return what the rehearsal of one revision finds.

    Args:
        environment: The chain.
        scratch: Where to try it.
        revision: Its id.
        grounds: A database for each engine that has all revisions below it, and is not changed.
        skipped: Called with a line for each engine on which the environment cannot be rehearsed.
    """
    history = read_history(environment)
    below = frozenset(history.ancestors((revision,)) - {revision})
    found: list[Finding] = []
    for dialect, address in grounds.items():
        start = Place(address, below)
        try:
            result = await rehearse(environment, scratch, dialect, (history.revisions[revision],), start=start)
        except TbcvError as error:
            skipped(f"not rehearsed on {dialect}: {error.message}")
        else:
            found += judge(result)
    return tuple(found)


async def together(
    first: Callable[[Dialect], Awaitable[T]], second: Callable[[Dialect], Awaitable[U]], dialects: Sequence[Dialect]
) -> tuple[list[T], list[U]]:
    """Do two things on several engines, all at once: most of it is waiting for other processes and threads."""
    ones: dict[Dialect, T] = {}
    others: dict[Dialect, U] = {}

    async def do(dialect: Dialect) -> None:
        ones[dialect] = await first(dialect)

    async def do_other(dialect: Dialect) -> None:
        others[dialect] = await second(dialect)

    try:
        async with anyio.create_task_group() as group:
            for dialect in dialects:
                group.start_soon(do, dialect)
                group.start_soon(do_other, dialect)
    except BaseExceptionGroup as failures:
        # One of them is told; that others failed, too, or were cancelled, adds nothing.
        raise failures.exceptions[0] from None
    return [ones[one] for one in dialects], [others[one] for one in dialects]
