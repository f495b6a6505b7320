"""What the gate says about a change, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbcv.engine.scratch import Dialect
from tbcv.findings import Finding, Severity
from tbcv.gate.change.base import Base
from tbcv.gate.drift import Drift
from tbcv.gate.rehearsals.rehearsal import Rehearsal
from tbcv.gate.releases.compatibility import Compatibility
from tbcv.gate.waivers import Waived
from tbcv.migrate.history import Revision


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
        seconds: How long all of it took; parts run side by side.
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
    seconds: float = 0.0

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that keep the change from being merged."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)

    @property
    def passed(self) -> bool:
        """Whether nothing blocks."""
        return not self.blocking

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
