"""The gate's verdict as rich renderables, for a terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tbcv.findings import Finding, Severity
from tbcv.gate.check import Part, Verdict

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def verdict(value: Verdict) -> RenderableType:
    """Say what was looked at, what was found where, and whether that blocks."""
    lines: list[RenderableType] = [_facts(value), Text()]
    for one in value.findings:
        lines += _finding(one, value)
    lines += [_waived(one, value) for one in _waived_lines(value)]
    for drift in value.drifts:
        if drift.schema is not None and not drift.changes:
            lines.append(Text(f"{drift.dialect}: the models agree with the migrations", style="green"))
    lines += [_part(one) for one in value.parts if one.skipped]
    return Group(*lines, _conclusion(value))


def _facts(value: Verdict) -> Table:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("base", value.base.description)
    new = "\n".join(f"{one.id}  {one.message}" for one in value.new) or "no revision"
    facts.add_row("new", new)
    facts.add_row("tried on", ", ".join(value.dialects))
    return facts


def _finding(finding: Finding, value: Verdict) -> Iterator[RenderableType]:
    yield Text.assemble(
        (f"{finding.severity} ", _STYLES[finding.severity]), (finding.code, "bold"), f"  {_place(finding, value)}"
    )
    yield Text(f"    {finding.message}")
    if finding.depends_on:
        yield Text(f"    depends on {finding.depends_on}", style="dim")
    if finding.hint:
        yield Text(f"    {finding.hint}", style="dim")


def _place(finding: Finding, value: Verdict) -> str:
    if finding.location is None:
        return ""
    line = f":{finding.location.line}" if finding.location.line else ""
    return f"{value.place(finding.location.path)}{line}"


def _waived_lines(value: Verdict) -> Iterator[tuple[Finding, str]]:
    for one in value.waived:
        yield one.finding, f"until {one.waiver.until}: {one.waiver.reason}"


def _waived(one: tuple[Finding, str], value: Verdict) -> Text:
    finding, words = one
    return Text.assemble(
        ("waived ", "dim"), (finding.code, "bold dim"), (f"  {_place(finding, value)}  {words}", "dim")
    )


def _part(value: Part) -> Text:
    return Text(f"{value.name}: skipped: {value.skipped}", style="dim")


def _conclusion(value: Verdict) -> Text:
    number = len(value.blocking)
    if number:
        return Text(
            f"blocked by {number} finding{'s' if number > 1 else ''} in {value.seconds:.2f} s", style="bold red"
        )
    return Text(f"passed in {value.seconds:.2f} s", style="green")
