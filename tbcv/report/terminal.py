"""Values as rich renderables, for a terminal and for a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from tbcv.findings import Finding, Severity
from tbcv.migrate.adoption import Adoption
from tbcv.migrate.backup import Backup, Restored
from tbcv.migrate.create import Creation
from tbcv.migrate.history import History, Revision
from tbcv.migrate.journal import Entry
from tbcv.migrate.losses import How, Loss, Losses
from tbcv.migrate.plan import AppliedStep, Direction, Outcome, Plan
from tbcv.migrate.snapshot import Difference
from tbcv.migrate.status import State, Status

_STYLES = {
    State.AT_HEAD: "green",
    State.EMPTY: "cyan",
    State.BEHIND: "yellow",
    State.UNVERSIONED: "magenta",
    State.AHEAD: "red",
    State.DIVERGED: "red",
}
_SEVERITIES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def status(value: Status, history: History, database: str, *, verbose: bool = False) -> RenderableType:
    """Say where a database stands."""
    facts = _facts()
    facts.add_row("database", database)
    facts.add_row("state", Text(value.description, style="yellow" if value.tolerable else _STYLES[value.state]))
    facts.add_row("current", _named(value.current, history) or "none")
    facts.add_row("head", _named(value.heads, history) or "none")
    if value.tables:
        facts.add_row("tables", ", ".join(value.tables))
    if not value.pending:
        return facts
    if not verbose:
        facts.add_row("pending", ", ".join(value.pending))
        return facts
    return Group(facts, Text(), revisions([history.revisions[one] for one in value.pending], None))


def revisions(values: Sequence[Revision], place: Status | None, *, verbose: bool = False) -> RenderableType:
    """List revisions, with the place of a database among them where it is known."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("", "revision", "follows"):
        table.add_column(title, no_wrap=True)
    if place is not None:
        table.add_column("state", no_wrap=True)
    table.add_column("what it does", overflow="fold")
    for one in values:
        here = place is not None and one.id in place.current
        marks = [Text("→" if here else "", style="bold green"), Text(one.id, style="bold" if here else "")]
        place_of = [] if place is None else [_applied(one, place)]
        words = Text((one.doc or one.message) + f"\n{one.path.name}\n" if verbose else one.message)
        table.add_row(*marks, ", ".join(one.parents) or "base", *place_of, words)
    return table


def journal(entries: Sequence[Entry]) -> RenderableType:
    """List who migrated the database."""
    if not entries:
        return Text("no run is recorded in this database")
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("when (UTC)", "what", "from", "to", "seconds", "ended", "backup", "who", "release"):
        table.add_column(title, no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in entries:
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            one.direction,
            ", ".join(one.before) or "base",
            ", ".join(one.after) or "base",
            f"{sum(step.seconds for step in one.steps):.2f}",
            Text(one.ended, style="green" if one.ended == "done" else "red"),
            one.backup or "none",
            f"{one.who}@{one.host}",
            one.version,
            one.reason,
        )
    return table


def outcome(value: Outcome) -> RenderableType:
    """Say what a run did."""
    after = ", ".join(value.after) or "base"
    if value.direction is Direction.CREATE:
        return Text(f"created at {after} from the models, which equal the migrations", style="green")
    if value.direction in (Direction.STAMP, Direction.ADOPT):
        return Text(f"recorded {after}", style="green")
    if not value.applied:
        return Text(f"nothing to do: the database is at {after}", style="green")
    seconds = sum(step.seconds for step in value.applied)
    verb = "upgraded" if value.direction is Direction.UPGRADE else "downgraded"
    before = ", ".join(value.before) or "base"
    number = len(value.applied)
    return Text(
        f"{verb} {before} → {after}: {number} revision{'s' if number > 1 else ''} in {seconds:.2f} s",
        style="green",
    )


def step(value: AppliedStep) -> RenderableType:
    """Say that one step is done."""
    return Text.assemble(
        ("  ✓ ", "green"), (value.id, "bold"), f"  {value.message}  ", (f"{value.seconds:.2f} s", "dim")
    )


def losses(values: Losses, steps: Sequence[Revision], target: str) -> RenderableType:
    """Say what a downgrade reverts and takes away."""
    heading = Text(f"Downgrade to {target} reverts {', '.join(one.id for one in steps)}.", style="bold")
    return Group(heading, *_losses(values))


def _losses(values: Losses) -> Iterator[RenderableType]:
    dropped = [one for one in values.found if one.how is How.DROPPED]
    if dropped:
        yield _dropped(dropped)
    if values.unknown:
        more = "what else it takes away" if values.found else "what it takes away"
        yield Text(f"It could not be found out {more}: {values.unknown}", style="red")
    elif not dropped:
        yield Text("It drops no table and no column.", style="green")
    # Some condition decides which, and whether what is overwritten was what a former step put there.
    for how, verb in ((How.DELETED, "delete rows of"), (How.CHANGED, "overwrite values in")):
        if tables := dict.fromkeys(one.table for one in values.found if one.how is how):
            yield Text(f"It may {verb} {', '.join(tables)}.")
    if values.tried_on:
        yield Text(f"It was tried on {values.tried_on} only: there is no PostgreSQL to try it on.", style="red")


def _dropped(values: Sequence[Loss]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("lost for good", "name", "by"):
        table.add_column(title, no_wrap=True)
    table.add_column("rows", justify="right")
    for one in values:
        what = "table" if one.column is None else "column"
        name = one.table if one.column is None else f"{one.table}.{one.column}"
        table.add_row(Text(what, style="red"), name, one.revision, str(one.rows))
    return table


def plan(value: Plan, lost: Losses, sql: str) -> RenderableType:
    """Say what a run would do, what it would take away, and with which SQL."""
    if not value.steps:
        return Text(f"nothing to do: the database is at {', '.join(value.current) or 'base'}", style="green")
    lines: list[RenderableType] = [revisions(value.steps, None), Text()]
    lines += _losses(lost)
    return Group(*lines, Text(), Syntax(sql, "sql", theme="ansi_dark", background_color="default", word_wrap=True))


def adoption(value: Adoption) -> RenderableType:
    """Say which revision an unversioned database equals, or how it comes to equal one."""
    if len(value.equals) > 1:
        first, *others = value.equals
        return Text(
            f"The schema equals that of revision {', '.join(value.equals)}. Recorded at {first}, the next upgrade runs "
            f"{', '.join(others)} on these rows. Where that was done, `tbcv migrate stamp` the right one.",
            style="bold",
        )
    if value.equals:
        return Text(f"The schema equals that of revision {', '.join(value.equals)}.", style="bold")
    lines: list[RenderableType] = [
        Text(f"The schema comes nearest to revision {value.revision}, from which it differs in:", style="bold"),
        difference(value.difference, (), value.revision),
    ]
    if value.statements:
        lines.append(Text("These statements make them equal and keep every row:", style="bold"))
        lines += [Text(f"  {statement};") for statement in value.statements]
    lines += [Text(f"refused: {one}", style="red") for one in value.refusals]
    return Group(*lines)


def backups(values: Sequence[Backup]) -> RenderableType:
    """List backups."""
    if not values:
        return Text("no backups")
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for title in ("backup", "taken (UTC)", "of", "at", "kind"):
        table.add_column(title, no_wrap=True)
    for title in ("rows", "bytes"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for one in values:
        at = ", ".join(one.revisions) or "base"
        taken = f"{one.created_at:%Y-%m-%d %H:%M:%S}"
        rows, size = f"{sum(one.rows.values()):,}", f"{one.size_bytes:,}"
        table.add_row(one.id, taken, one.database, at, one.kind, rows, size, one.reason)
    return table


def restored(value: Restored, command: str) -> RenderableType:
    """Say what was restored, and how to undo that: by the command that brings a backup back, without its id."""
    text = Text(f"restored {value.backup.id}: {sum(value.rows.values()):,} rows", style="green")
    if value.undo is not None:
        text.append(f"\nwhat was there before: {command} {value.undo.id}")
    if value.aside is not None:
        text.append(f"\nthe damaged file is now {value.aside}")
    return text


def creation(value: Creation) -> RenderableType:
    """Say what was created."""
    if value.revision is None:
        return Text("no changes: the models agree with the head; nothing was written", style="green")
    tried = " and ".join(value.tried_on)
    lines: list[RenderableType] = [
        Text(f"created {value.path}\nrevision {value.revision}, run up, down and up on {tried}", style="green")
    ]
    for one in value.findings:
        place = f"{one.location.path.name}:{one.location.line or 1}" if one.location else ""
        lines += finding(one, place)
    return Group(*lines)


def changes(values: Iterable[tuple[str, Sequence[str]]]) -> RenderableType:
    """Say per engine how the models differ from the migrations."""
    lines: list[RenderableType] = []
    for dialect, found in values:
        if not found:
            lines.append(Text(f"{dialect}: the models agree with the migrations", style="green"))
        lines += [Text(f"{dialect}: {one}", style="red") for one in found]
    return Group(*lines)


def difference(value: Difference, unmanaged: Sequence[str], against: str) -> RenderableType:
    """Say how a schema differs from what it should be, as a diff does."""
    signed = [(fact.line, fact.subject, "-") for fact in value.missing]
    signed += [(fact.line, fact.subject, "+") for fact in value.unexpected]
    lines: list[Text] = []
    last = ""
    # Sorted by what comes before the colon, so that the two sides of a change stand together.
    for line, subject, sign in sorted(signed, key=lambda one: (one[1], one[0].partition(":")[0], one[2] == "+")):
        if subject != last:
            lines.append(Text(subject, style="bold"))
            last = subject
        lines.append(Text(f"  {sign} {line}", style="red" if sign == "-" else "green"))
    if not lines:
        lines.append(Text(f"no difference from {against}", style="green"))
    if unmanaged:
        lines.append(Text(f"unmanaged, left alone: {', '.join(unmanaged)}", style="dim"))
    return Group(*lines)


def finding(value: Finding, place: str) -> Iterator[RenderableType]:
    """Say what was found, what did it, and what to do.

    Args:
        value: The finding.
        place: Its file and line, as they are to be shown.
    """
    yield Text.assemble((f"{value.severity} ", _SEVERITIES[value.severity]), (value.code, "bold"), f"  {place}")
    yield Text(f"    {value.message}")
    if value.evidence and value.evidence.statement:
        statement = " ".join(value.evidence.statement.split())
        shown = Syntax(statement, "sql", theme="ansi_dark", background_color="default", word_wrap=True)
        yield Padding(shown, (0, 0, 0, 4), expand=False)
    if value.depends_on:
        yield Text(f"    depends on {value.depends_on}", style="dim")
    if value.hint:
        yield Text(f"    {value.hint}", style="dim")


def findings(values: Sequence[Finding], none: str) -> RenderableType:
    """List findings, or say that there are none."""
    if not values:
        return Text(none, style="green")
    lines: list[Text] = []
    for one in values:
        place = f"{one.location.path.name}: " if one.location else ""
        lines.append(Text.assemble((f"{one.severity} ", "red"), (one.code, "bold"), f"  {place}{one.message}"))
        if one.hint:
            lines.append(Text(f"    {one.hint}", style="dim"))
    return Group(*lines)


def _facts() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _named(ids: Sequence[str], history: History) -> str:
    known = history.revisions
    return "\n".join(f"{one}  {known[one].message}" if one in known else f"{one}  (unknown)" for one in ids)


def _applied(revision: Revision, place: Status) -> Text:
    match place.has(revision.id):
        case None:
            return Text("unknown", style="dim")
        case True:
            return Text("applied", style="green")
        case False:
            return Text("pending", style="yellow")
