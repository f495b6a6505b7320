"""Check 7: what a revision file says in a comment about its own hazards, and until when that holds.

A waiver is ``# tbcv: allow CODE because REASON until YYYY-MM-DD``. One that has expired, gives no reason or allows
what was not found is a finding itself, so that none outlives what it was for.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from tbcv.findings import Finding, Severity
from tbcv.gate.change.codes import found
from tbcv.gate.judgement.hazards import HAZARDS
from tbcv.migrate.history import Revision

_BOTH = frozenset({"sqlite", "postgresql"})
_ON_BOTH = {"breaks-previous-release", "narrows-accepted-values", "models-drift", "schema-drift", "chain-fails"}
_MARK = re.compile(r"#\s*tbcv\s*:\s*(?P<rest>.*)$", re.IGNORECASE)
_FORM = re.compile(
    r"allow\s+(?P<code>[a-z0-9][a-z0-9-]*)(?:\s+because\b(?P<reason>.*?))?\s+until\s+(?P<until>\S+)\s*$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Waiver:
    """One thing that somebody takes responsibility for.

    Attributes:
        code: What is allowed.
        reason: Why.
        until: The last day on which it holds.
        revision: The revision in whose file it stands.
        path: The file.
        line: Where, in the file.
    """

    code: str
    reason: str
    until: date
    revision: str
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class Waived:
    """A finding that blocks nothing, since somebody answers for it."""

    finding: Finding
    waiver: Waiver


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is left of the findings once the waivers are read.

    Attributes:
        findings: What nobody answers for, and what is wrong with waivers.
        waived: What somebody answers for.
    """

    findings: tuple[Finding, ...]
    waived: tuple[Waived, ...]


def apply_waivers(
    findings: Sequence[Finding],
    revisions: Iterable[Revision],
    *,
    today: date,
    tried: frozenset[str],
) -> Judgement:
    """Sort findings into those that are waived and the others.

    Args:
        findings: What was found.
        revisions: The new revisions, whose files are read for waivers.
        today: The day on which that is asked.
        tried: The engines on which all of them were tried; a waiver may be for what is seen on another one only.
    """
    wrong: list[Finding] = []
    valid: list[Waiver] = []
    for revision in revisions:
        for one in read_waivers(revision, today):
            (valid if isinstance(one, Waiver) else wrong).append(one)  # type: ignore[arg-type]
    left: list[Finding] = []
    waived: list[Waived] = []
    for finding in findings:
        waiver = next((one for one in valid if (one.code, one.revision) == (finding.code, finding.revision)), None)
        if waiver is None:
            left.append(finding)
        else:
            waived.append(Waived(finding, waiver))
    used = {id(one.waiver) for one in waived}
    wrong += [_unused(one, tried) for one in valid if id(one) not in used]
    return Judgement((*left, *wrong), tuple(waived))


def read_waivers(revision: Revision, today: date) -> Iterator[Waiver | Finding]:
    """Read the waivers of a revision file; those that do not hold are findings."""
    for line, text in _comments(revision.path):
        mark = _MARK.match(text)
        if mark is None:
            continue
        form = _FORM.match(mark["rest"].strip())
        until = _date(form["until"]) if form else None
        if form is None or until is None:
            message = f"this is no waiver: {text.strip()}"
            yield found("waiver-malformed", message, revision.path, line, revision=revision.id)
        elif not (form["reason"] or "").strip():
            message = f"the waiver of {form['code']} gives no reason"
            yield found("waiver-without-reason", message, revision.path, line, revision=revision.id)
        elif until < today:
            message = f"the waiver of {form['code']} expired on {until}"
            yield found("waiver-expired", message, revision.path, line, revision=revision.id)
        else:
            reason = form["reason"].strip()
            yield Waiver(form["code"].lower(), reason, until, revision.id, revision.path, line)


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    try:
        for token in tokenize.tokenize(io.BytesIO(path.read_bytes()).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        return


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _unused(waiver: Waiver, tried: frozenset[str]) -> Finding:
    message = f"the waiver of {waiver.code} allows what was not found"
    finding = found("waiver-unused", message, waiver.path, waiver.line, revision=waiver.revision)
    return finding if _engines(waiver.code) <= tried else replace(finding, severity=Severity.WARNING)


def _engines(code: str) -> frozenset[str]:
    """Return the engines on which a code can be found; none for one that does not exist, or has to do with none."""
    seen = [frozenset(one.dialects) for one in HAZARDS if one.code == code]
    if code in _ON_BOTH:
        return _BOTH
    return seen[0] if seen else frozenset()
