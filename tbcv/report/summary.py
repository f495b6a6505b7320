"""The gate's verdict as Markdown: the summary of a job, and a comment on a pull request.

Whatever comes from the change itself is escaped: it may have been written by anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from tbcv.findings import Finding, Location
from tbcv.gate.observers.observed import Run, Statement
from tbcv.gate.rehearsals.rehearsal import Rehearsal, StepRehearsal
from tbcv.gate.verdict import Verdict
from tbcv.migrate.history import Revision
from tbcv.migrate.snapshot import Difference

MARK = "<!-- tbcv schema gate -->"
"""By this line a comment is found again, to be replaced."""

# A comment of GitHub's holds 65,536 characters; what is folded is shortened first.
_FOLDED_CHARACTERS = 12_000
_SHOWN_REVISIONS = 30
_SHOWN_FINDINGS = 60
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def summary(value: Verdict) -> str:
    """Return the verdict for a reviewer: what the change does, and what blocks it."""
    parts = [
        MARK,
        f"## Schema gate: {'passed' if value.passed else 'blocked'}",
        f"{_text(_capital(value.conclusion))}. Base: {_text(value.base.description)}.",
        _table(("check", "result", "seconds"), _checks(value)),
        *_findings(value),
        *_what_it_does(value),
        *(f"{_text(one)}" for one in value.notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _checks(value: Verdict) -> Iterator[Sequence[str]]:
    for one in value.parts:
        result = f"skipped: {one.skipped}" if one.skipped else f"{one.findings} found" if one.findings else "clean"
        yield one.name, _text(result), "" if one.skipped else f"{one.seconds:.2f}"


def _findings(value: Verdict) -> Iterator[str]:
    if value.findings:
        rows = (
            (str(one.severity), f"`{one.code}`", _place(one.location, value), _text(_words(one)))
            for one in value.findings
        )
        yield "### Findings"
        yield _table(("", "code", "where", "what"), islice(rows, _SHOWN_FINDINGS))
        if len(value.findings) > _SHOWN_FINDINGS:
            yield f"… and {len(value.findings) - _SHOWN_FINDINGS} more."
    if value.waived:
        waived = (
            (
                f"`{one.finding.code}`",
                _place(one.finding.location, value),
                _text(one.finding.message),
                _text(one.waiver.reason),
                one.waiver.until.isoformat(),
            )
            for one in value.waived
        )
        yield "### Waived"
        yield _table(("code", "where", "what", "because", "until"), waived)


def _words(finding: Finding) -> str:
    depends = f"depends on {finding.depends_on}" if finding.depends_on else ""
    return "; ".join(one for one in (finding.message, depends, finding.hint) if one)


def _what_it_does(value: Verdict) -> Iterator[str]:
    if not value.new:
        return
    yield "### Deploy order"
    yield _text(value.deploy_order or "Not known.")
    verdicts = list(_verdicts(value))
    if verdicts:
        yield _table(("revision", "engine", "for running releases", "downgrade restores all"), verdicts)
    for rehearsal in value.rehearsals:
        yield from _of_engine(rehearsal)
    yield "### History"
    yield _graph(value)


def _verdicts(value: Verdict) -> Iterator[Sequence[str]]:
    said = {
        (one.dialect, verdict.revision): str(verdict.verdict)
        for one in value.compatibilities
        for verdict in one.verdicts
    }
    words = {True: "yes", False: "**no**", None: "not tried"}
    for rehearsal in value.rehearsals:
        for step in rehearsal.steps:
            name = step.revision.id
            verdict = said.get((rehearsal.dialect, name), "not known")
            yield f"`{name}`", _NAMES[rehearsal.dialect], verdict, words[step.reversible]


def _of_engine(rehearsal: Rehearsal) -> Iterator[str]:
    name = _NAMES[rehearsal.dialect]
    yield f"### On {name}"
    changed = [line for step in rehearsal.steps for line in _changes(step.schema)]
    if changed:
        yield _fenced("diff", "\n".join(changed))
    locks = list(_locks(rehearsal))
    if locks:
        yield _table(("revision", "line", "observed", "on", "ms"), locks)
    yield _folded(f"SQL on {name}, upward", _sql(rehearsal, Run.UP))
    yield _folded(f"SQL on {name}, downward", _sql(rehearsal, Run.DOWN))


def _changes(difference: Difference) -> Iterator[str]:
    signed = [(fact.subject, fact.line, "-") for fact in difference.missing]
    signed += [(fact.subject, fact.line, "+") for fact in difference.unexpected]
    ordered = sorted(signed, key=lambda one: (one[0], one[1].partition(":")[0], one[2] == "+"))
    for subject, group in groupby(ordered, key=lambda one: one[0]):
        yield f"  {subject}"
        yield from (f"{sign} {line}" for _, line, sign in group)


def _locks(rehearsal: Rehearsal) -> Iterator[Sequence[str]]:
    """Give what the statements of the way up did to tables that were there before."""
    for step in rehearsal.steps:
        for one in step.of(Run.UP):
            for what, on in _observed(one):
                yield _cell(step, one, what, on)


def _observed(statement: Statement) -> Iterator[tuple[str, str]]:
    yield from ((f"{lock.words} lock", lock.table) for lock in statement.taken if lock.blocks_writes)
    yield from (("written anew", table) for table in statement.rewritten)
    yield from (("index built", table) for table in statement.indexed)
    yield from (("rows checked", name) for name in statement.validated)
    yield from ((f"{work.changed} of {work.rows} rows changed", work.table) for work in statement.work if work.changed)


def _cell(step: StepRehearsal, statement: Statement, what: str, on: str) -> Sequence[str]:
    line = str(statement.location.line or "") if statement.location else ""
    return f"`{step.revision.id}`", line, what, _code(on), f"{statement.milliseconds:.1f}"


def _sql(rehearsal: Rehearsal, run: Run) -> str:
    lines = []
    for step in rehearsal.steps:
        statements = step.of(run)
        if statements:
            lines.append(f"-- {step.revision.id}: {' '.join(step.revision.message.split())}")
            lines += [f"{one.sql.strip().rstrip(';')};" for one in statements]
    return "\n".join(lines)


def _graph(value: Verdict) -> str:
    """Draw the last revisions as Mermaid, the new ones marked."""
    shown = value.revisions[-_SHOWN_REVISIONS:]
    numbers = {one.id: number for number, one in enumerate(shown)}
    lines = ["graph LR"]
    if len(shown) < len(value.revisions):
        lines.append(f'    before["{len(value.revisions) - len(shown)} older"]')
        lines += [f"    before --> r{numbers[one.id]}" for one in shown if not numbers.keys() & {*one.parents}][:1]
    new = {one.id for one in value.new}
    for one in shown:
        style = ":::new" if one.id in new else ""
        lines.append(f'    r{numbers[one.id]}["{_label(one)}"]{style}')
        lines += [f"    r{numbers[parent]} --> r{numbers[one.id]}" for parent in one.parents if parent in numbers]
    for number, other in enumerate(value.base.theirs):
        lines.append(f'    t{number}["{_label(other)}"]:::theirs')
        lines += [f"    r{numbers[parent]} --> t{number}" for parent in other.parents if parent in numbers]
    lines.append("    classDef new stroke:#1a7f37,stroke-width:3px")
    lines.append("    classDef theirs stroke-dasharray:4")
    return _fenced("mermaid", "\n".join(lines))


def _label(revision: Revision) -> str:
    words = f"{revision.id} {revision.message}"
    plain = re.sub(r"[^\w .,:/+-]", "", words.replace("_", "-"))
    return plain if len(plain) <= 50 else f"{plain[:49]}…"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _folded(title: str, text: str) -> str:
    if not text:
        return ""
    if len(text) > _FOLDED_CHARACTERS:
        kept = text[:_FOLDED_CHARACTERS].rpartition("\n")[0]
        text = f"{kept}\n-- and {text.count(chr(10)) - kept.count(chr(10))} more lines"
    return f"<details><summary>{title}</summary>\n\n{_fenced('sql', text)}\n\n</details>"


def _fenced(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _place(location: Location | None, value: Verdict) -> str:
    if location is None:
        return ""
    line = f":{location.line}" if location.line else ""
    return _code(f"{value.place(location.path)}{line}")


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', chr(39)).split())}`".replace("|", "\\|")


def _text(words: str) -> str:
    """Escape what Markdown or HTML would read as something else; a mention would notify somebody."""
    plain = " ".join(words.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#~])", r"\\\1", plain).replace("@", "&#64;")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
