"""The gate: every check, in order, composed into one verdict about a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import anyio

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.findings import Effect, Finding
from tbcv.gate.change.base import Base, opened_base
from tbcv.gate.change.files import RevisionFiles, in_order, read_files
from tbcv.gate.change.history import check_history, check_lines, check_released
from tbcv.gate.drift import Drift, ModelSource, check_drift
from tbcv.gate.judgement.corroboration import corroborated
from tbcv.gate.rehearsals.rehearsal import Rehearsal
from tbcv.gate.releases.compatibility import Compatibility, combined_order
from tbcv.gate.releases.mapped import MappedClasses, Models
from tbcv.gate.staging.templates import Templates
from tbcv.gate.trial import Attempt, Outcome, together
from tbcv.gate.verdict import Part, Verdict
from tbcv.gate.waivers import apply_waivers
from tbcv.migrate.history import History, Revision
from tbcv.migrate.ledger import ledger_path
from tbcv.migrate.location import AlembicEnvironment

_BROKEN = {"revision-unreadable", "revision-twice", "parent-missing", "history-circular"}


@dataclass(frozen=True, slots=True)
class Change:
    """What the gate is asked about, and what it may use to find out.

    Attributes:
        environment: The branch.
        scratch: Where things are tried.
        dialects: The engines to try them on.
        models: The application's models; None for a project whose models are not known.
        rows: How many rows each table has in a rehearsal.
        today: The day by which waivers expire.
        kept: Where databases at released revisions are kept from run to run; None keeps none.
        required: Whether each of the engines was asked for; otherwise one on which the released revisions do not run
            is passed over, as long as there is another.
    """

    environment: AlembicEnvironment
    scratch: ScratchDatabases
    dialects: tuple[Dialect, ...]
    models: ModelSource | None = None
    rows: int = 2000
    today: date = field(default_factory=lambda: datetime.now(tz=UTC).date())

    kept: Path | None = None
    required: bool = True


async def check(
    change: Change, *, base: str | None = None, progress: Callable[[str], None] = lambda _name: None
) -> Verdict:
    """Look at a change from every side.

    Args:
        change: The change.
        base: What was there before: a git ref, a ledger file or a revision; None finds it.
        progress: Called with the name of each check as it begins.

    Raises:
        ConfigurationError: The base cannot be found.
        ScratchUnavailableError: There is no database of an engine that was asked for.
    """
    files = await anyio.to_thread.run_sync(read_files, change.environment)
    with opened_base(
        change.environment, files, base, whole=change.models is not None and bool(change.models.base)
    ) as found:
        templates = Templates(
            change.environment, change.scratch, files.revisions, released=found.released, kept=change.kept
        )
        async with templates:
            return await _Gate(change, files, found, templates, progress).verdict()


class _Gate:
    """One run over all checks."""

    def __init__(
        self,
        change: Change,
        files: RevisionFiles,
        base: Base,
        templates: Templates,
        progress: Callable[[str], None],
    ) -> None:
        self._change = change
        self._files = files
        self._base = base
        self._templates = templates
        self._progress = progress
        self._findings: list[Finding] = []
        self._parts: list[Part] = []
        self._notes: list[str] = []
        self._since = time.monotonic()

    async def verdict(self) -> Verdict:
        new = self._base.new(self._files)
        history = self._look_at_files()
        async with AsyncExitStack() as stack:
            # What takes a second to import does so while the files and the schema are looked at.
            classes = await self._begin_import(stack) if history and new else {}
            drifts = await self._look_for_drift(history) if history else ()
            rehearsals, compatibilities = await self._try(history, new, drifts, classes)
        tried = frozenset(one.dialect for one in rehearsals if not one.untried)
        with self._part("waivers") as wrong:
            judged = apply_waivers(self._findings, new, today=self._change.today, tried=tried)
            wrong += [one for one in judged.findings if one not in self._findings]
        return Verdict(
            self._base,
            in_order(self._files.revisions),
            new,
            self._change.dialects,
            judged.findings,
            judged.waived,
            tuple(self._parts),
            drifts,
            rehearsals,
            compatibilities,
            _order(compatibilities),
            tuple(self._notes),
            time.monotonic() - self._since,
        )

    def _look_at_files(self) -> History | None:
        """Check what takes no database; returns the history if it can be run."""
        with self._part("history") as found:
            found += [
                *check_history(self._files, self._base),
                *check_released(self._change.environment, self._files, self._base),
            ]
        if _BROKEN & {one.code for one in found}:
            self._skip("ledger", "the history is broken")
            self._skip("drift", "the history is broken")
            return None
        if self._keeps_ledger:
            with self._part("ledger") as found:
                found.extend(check_lines(self._change.environment, self._files))
        else:
            self._skip("ledger", "the project keeps none", proves=False)
        return History(dict(self._files.revisions))

    async def _look_for_drift(self, history: History) -> tuple[Drift, ...]:
        models = self._change.models
        if not self._keeps_ledger:
            self._skip("drift", "there are neither models nor a ledger to compare with", proves=False)
            return ()
        drifts = []
        for dialect in self._change.dialects:
            with self._part(f"drift on {dialect}") as found:
                drifts.append(await check_drift(self._templates, dialect, history, models))
                found.extend(drifts[-1].findings)
        return tuple(drifts)

    async def _begin_import(self, stack: AsyncExitStack) -> dict[Dialect, MappedClasses]:
        """Start the processes that import the models of the releases, where they are known."""
        known, before = self._change.models, self._base.checkout
        if not (known and known.base and before):
            return {}
        models = Models(known.base, before, known.directory)
        return {one: await stack.enter_async_context(MappedClasses(models)) for one in self._change.dialects}

    async def _try(
        self,
        history: History | None,
        new: tuple[Revision, ...],
        drifts: tuple[Drift, ...],
        classes: dict[Dialect, MappedClasses],
    ) -> tuple[tuple[Rehearsal, ...], tuple[Compatibility, ...]]:
        """Try the new revisions on every engine, as far as those before them run there."""
        if history is None or not new:
            why = "there is no new revision" if history else "the history is broken"
            self._skip("rehearsal", why, proves=history is None)
            return (), ()
        released = tuple(one for one in self._files.revisions if one in self._base.released)
        attempt = Attempt(self._templates, released, new, classes, self._change.rows)
        self._progress("rehearsal and compatibility")
        rehearsed, compared = await together(attempt.rehearsal, attempt.compatibility, self._change.dialects)
        outcomes: list[Outcome[Any]] = [*rehearsed, *compared]
        for outcome in outcomes:
            self._parts.append(outcome.part)
            self._findings += outcome.findings
            self._notes += outcome.notes
        self._require_some(outcomes, {one.dialect for one in drifts if one.schema is None})
        self._forget_repeated_failures()
        self._findings = list(corroborated(self._findings))
        return (
            tuple(one.result for one in rehearsed if one.result is not None),
            tuple(one.result for one in compared if one.result is not None),
        )

    def _require_some(self, outcomes: Sequence[Outcome[Any]], failing: set[Dialect]) -> None:
        """Raise what kept the revisions from being tried, unless it is a finding already or another engine did."""
        errors = [(one.dialect, one.error) for one in outcomes if one.error is not None]
        tried = len(errors) < len(outcomes)
        for dialect, error in errors:
            if dialect not in failing and (self._change.required or not tried):
                raise error

    def _forget_repeated_failures(self) -> None:
        """A revision that fails has failed in the chain, too: what the rehearsal says of it says more."""
        said = [one for one in self._findings if one.code != "chain-fails"]
        failing = {(one.revision, one.dialect) for one in said if Effect.FAILS in one.effects}
        self._findings = [one for one in self._findings if one in said or (one.revision, one.dialect) not in failing]

    @property
    def _keeps_ledger(self) -> bool:
        """Whether the project keeps a ledger; one that the base has cannot be left out."""
        own = self._change.models is not None or ledger_path(self._change.environment).exists()
        return own or self._base.has_ledger

    @contextmanager
    def _part(self, name: str) -> Iterator[list[Finding]]:
        self._progress(name)
        since = time.monotonic()
        findings: list[Finding] = []
        yield findings
        self._findings += findings
        self._parts.append(Part(name, time.monotonic() - since, len(findings)))

    def _skip(self, name: str, why: str, *, proves: bool = True) -> None:
        self._parts.append(Part(name, skipped=why, proves=proves))


def _order(compatibilities: tuple[Compatibility, ...]) -> str:
    """Return in which order to deploy; nothing where there is nothing new, or a revision does not run."""
    known = compatibilities and not any(one.failure for one in compatibilities)
    return combined_order(compatibilities) if known else ""
