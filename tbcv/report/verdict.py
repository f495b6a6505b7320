"""The gate's verdict, and what a rebase did, as rich renderables, for a terminal and for a pipe."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tbcv.findings import Finding
from tbcv.gate.observers.observed import Run
from tbcv.gate.rebase import Rebased
from tbcv.gate.rehearsals.rehearsal import StepRehearsal
from tbcv.gate.verdict import Verdict
from tbcv.gate.waivers import Waived
from tbcv.report.terminal import finding


def verdict(value: Verdict) -> RenderableType:
    """Say what was looked at, what was found where, and whether that blocks."""
    lines: list[RenderableType] = [_facts(value), Text()]
    for one in value.findings:
        lines += finding(one, _place(one, value))
    lines += [_waived(one, value) for one in value.waived]
    for drift in value.drifts:
        if drift.schema is not None and not drift.changes:
            lines.append(Text(f"{drift.dialect}: the models agree with the migrations", style="green"))
    for rehearsal in value.rehearsals:
        lines += [_step(one, rehearsal.dialect) for one in rehearsal.steps]
    if value.deploy_order:
        lines.append(Text(value.deploy_order))
    lines += [Text(one, style="dim") for one in value.notes]
    skipped = [one for one in value.parts if one.skipped and one.proves]
    lines += [Text(f"{one.name}: skipped: {one.skipped}", style="yellow") for one in skipped]
    return Group(*lines, Text(value.conclusion, style="green" if value.passed else "bold red"))


def rebased(value: Rebased) -> RenderableType:
    """Say what a rebase moved."""
    if not value.moves:
        return Text(f"nothing to do: your revisions follow {value.onto} already", style="green")
    lines = [
        Text(f"{one.revision} follows {', '.join(one.after)} instead of {', '.join(one.before) or 'nothing'}")
        for one in value.moves
    ]
    return Group(*lines, Text(f"written: {', '.join(one.name for one in value.written)}", style="green"))


def _facts(value: Verdict) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("base", value.base.description)
    new = "\n".join(f"{one.id}  {one.message}" for one in value.new) or "no revision"
    facts.add_row("new", new)
    facts.add_row("tried on", ", ".join(value.dialects))
    return facts


def _place(finding: Finding, value: Verdict) -> str:
    if finding.location is None:
        return ""
    line = f":{finding.location.line}" if finding.location.line else ""
    return f"{value.place(finding.location.path)}{line}"


def _waived(one: Waived, value: Verdict) -> Text:
    words = f"  {_place(one.finding, value)}  until {one.waiver.until}: {one.waiver.reason}"
    return Text.assemble(("waived ", "dim"), (one.finding.code, "bold dim"), (words, "dim"))


def _step(step: StepRehearsal, dialect: str) -> Text:
    statements = step.of(Run.UP)
    back = {True: "the way back restores everything", False: "the way back does not restore everything", None: ""}
    plural = "" if len(statements) == 1 else "s"
    words = [f"{len(statements)} statement{plural} in {sum(one.milliseconds for one in statements):.0f} ms"]
    words += [f"{lock.words} on {lock.table}" for one in statements for lock in one.taken if lock.blocks_writes]
    words.append("it fails" if step.failure else back[step.reversible])
    return Text(f"{dialect}: {step.revision.id}: {'; '.join(dict.fromkeys(filter(None, words)))}", style="dim")
