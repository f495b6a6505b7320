"""The gate: every check, in order, composed into one verdict about a change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import anyio

from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.errors import ConfigurationError, UpgradeFailedError
from tbcv.findings import Finding, Severity
from tbcv.gate.base import Base, opened_base
from tbcv.gate.compatibility import Compatibility, Models, check_compatibility, combined_order
from tbcv.gate.drift import Drift, ModelSource, check_drift
from tbcv.gate.files import RevisionFiles, in_order, read_files
from tbcv.gate.hazards import judge
from tbcv.gate.history import check_history, check_lines, check_released
from tbcv.gate.rehearsal import Rehearsal, rehearse
from tbcv.gate.templates import Place, Templates
from tbcv.gate.waivers import Waived, apply_waivers
from tbcv.migrate.history import History, Revision
from tbcv.migrate.ledger import ledger_path
from tbcv.migrate.location import AlembicEnvironment

FAILURES = ("fails", "fails-on-existing-data")
_BROKEN = {"revision-unreadable", "revision-twice", "parent-missing", "history-circular"}


@dataclass(frozen=True, slots=True)
class Part:
    """One check of a run.

    Attributes:
        name: What it looks at.
        seconds: How long it took.
        findings: How many it found, waived ones included.
        skipped: Why it did not run; empty where it did.
        proves: Whether findings may be missing where it did not run.
    """

    name: str
    seconds: float = 0.0
    findings: int = 0
    skipped: str = ""
    proves: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says about a change.

    Attributes:
        base: What the change is compared with.
        revisions: All revisions, parents before children where that order exists.
        new: Those that the base has not.
        dialects: The engines on which was tried what has to be tried.
        findings: What is wrong and nobody answers for.
        waived: What is wrong and somebody answers for.
        parts: The checks, in order.
        drifts: How models, chain and committed schema agree, per engine.
        rehearsals: What the new revisions do, per engine.
        compatibilities: What they mean for the releases before and after, per engine.
        deploy_order: What to do in which order, in a sentence; empty where nothing is new.
        notes: What else a reader should know.
    """

    base: Base
    revisions: tuple[Revision, ...]
    new: tuple[Revision, ...]
    dialects: tuple[Dialect, ...]
    findings: tuple[Finding, ...]
    waived: tuple[Waived, ...]
    parts: tuple[Part, ...]
    drifts: tuple[Drift, ...] = ()
    rehearsals: tuple[Rehearsal, ...] = ()
    compatibilities: tuple[Compatibility, ...] = ()
    deploy_order: str = ""
    notes: tuple[str, ...] = ()

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that keep the change from being merged."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)

    @property
    def passed(self) -> bool:
        """Whether nothing blocks."""
        return not self.blocking

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return sum(one.seconds for one in self.parts)

    @property
    def conclusion(self) -> str:
        """The verdict in a line."""
        number = len(self.blocking)
        plural = "s" if number > 1 else ""
        return f"{f'blocked by {number} finding{plural}' if number else 'passed'} in {self.seconds:.2f} s"

    def place(self, path: Path) -> str:
        """Name a file relative to the root, as a forge does; a file elsewhere keeps its whole path."""
        for root in (self.base.root, self.base.root.resolve()):
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.as_posix()


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
        required: Whether each of the engines was asked for; otherwise one on which the released revisions do not run
            is passed over, as long as there is another.
    """

    environment: AlembicEnvironment
    scratch: ScratchDatabases
    dialects: tuple[Dialect, ...]
    models: ModelSource | None = None
    rows: int = 2000
    today: date = field(default_factory=lambda: datetime.now(tz=UTC).date())

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
    with opened_base(change.environment, files, base, whole=change.models is not None) as found:
        async with Templates(change.environment, change.scratch, files.revisions) as templates:
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

    async def verdict(self) -> Verdict:
        new = self._base.new(self._files)
        history = self._look_at_files()
        drifts = await self._look_for_drift(history) if history else ()
        rehearsals = [one for dialect in self._tried(history, new) if (one := await self._rehearse(dialect, new))]
        compatibilities = [await self._compare(one.dialect, new) for one in rehearsals]
        self._forget_repeated_failures()
        complete = history is not None and not any(one.skipped for one in self._parts if one.proves)
        with self._part("waivers") as wrong:
            judged = apply_waivers(self._findings, new, today=self._change.today, complete=complete)
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
            tuple(rehearsals),
            tuple(compatibilities),
            combined_order(compatibilities) if new else "",
            tuple(self._notes),
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

    def _tried(self, history: History | None, new: tuple[Revision, ...]) -> tuple[Dialect, ...]:
        """Return the engines on which new revisions are to be tried."""
        if history is None:
            self._skip("rehearsal", "the history is broken")
        elif not new:
            self._skip("rehearsal", "there is no new revision", proves=False)
        return self._change.dialects if history is not None and new else ()

    async def _rehearse(self, dialect: Dialect, new: tuple[Revision, ...]) -> Rehearsal | None:
        """Run the new revisions; returns nothing where those before them do not run."""
        with self._part(f"rehearsal on {dialect}") as found:
            try:
                start = await self._released(dialect)
                rehearsal = await rehearse(
                    self._change.environment, self._change.scratch, dialect, new, rows=self._change.rows, start=start
                )
            except (UpgradeFailedError, ConfigurationError) as error:
                if self._change.required:
                    raise
                why = error.message
            else:
                found.extend(judge(rehearsal))
                return rehearsal
        self._parts[-1] = replace(self._parts[-1], skipped=why)
        return None

    async def _compare(self, dialect: Dialect, new: tuple[Revision, ...]) -> Compatibility:
        """Find out whether the releases before and after can run on each other's schemas."""
        models = self._models
        with self._part(f"compatibility on {dialect}") as found:
            change, start = self._change, await self._released(dialect)
            try:
                result = await check_compatibility(
                    change.environment, change.scratch, dialect, new, models=models, start=start
                )
            except ConfigurationError as error:
                if models is None:
                    raise
                # A base whose models cannot be imported here is judged by its schema.
                self._notes.append(f"compatibility on {dialect} is judged by the schema: {error.message}")
                result = await check_compatibility(
                    change.environment, change.scratch, dialect, new, models=None, start=start
                )
            found.extend(result.findings)
        return result

    async def _released(self, dialect: Dialect) -> Place:
        released = [one for one in self._files.revisions if one in self._base.released]
        return await self._templates.template(dialect, *released)

    @property
    def _models(self) -> Models | None:
        known, before = self._change.models, self._base.checkout
        return Models(known.base, before, known.directory) if known and before else None

    def _forget_repeated_failures(self) -> None:
        """A revision that fails has failed in the chain, too: what the rehearsal says of it says more."""
        failing = {(one.revision, one.dialect) for one in self._findings if one.code in FAILURES}
        self._findings = [
            one for one in self._findings if one.code != "chain-fails" or (one.revision, one.dialect) not in failing
        ]

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
