"""`tbcv migrate`: each command opens its target, asks it one thing and shows the answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from tbcv.cli import backups, gate
from tbcv.cli.loop import await_result
from tbcv.cli.options import (
    Target,
    announce,
    confirm,
    journal_option,
    json_option,
    log_to_stderr,
    logs_json,
    progress,
    show,
    show_document,
    sql_option,
    target_options,
    unlogged,
)
from tbcv.engine.scratch import ScratchDatabases
from tbcv.engine.url import parse_database_url
from tbcv.errors import AdoptionError, DatabaseUnavailableError, MigrationError
from tbcv.findings import Finding
from tbcv.gate.releases.compatibility import additive_marks
from tbcv.gate.trial import findings_of
from tbcv.migrate.adoption import Adoption, adoption_script, plan_adoption
from tbcv.migrate.create import Creation, Grounds, Review, create_revision, merge_heads
from tbcv.migrate.drift import find_difference
from tbcv.migrate.history import read_history
from tbcv.migrate.ledger import check_ledger, ledger_path
from tbcv.migrate.location import AlembicEnvironment
from tbcv.migrate.losses import Losses, find_losses
from tbcv.migrate.measure import chain_schemas, measure
from tbcv.migrate.plan import Direction, Outcome, Plan
from tbcv.migrate.runner import MigrationRunner
from tbcv.migrate.snapshot import Difference
from tbcv.migrate.status import State, Status
from tbcv.report import document, terminal

FINDINGS = 1


@click.group()
@click.option("--database-url", metavar="URL", help="The database; DATABASE_URL otherwise.")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="Another alembic.ini.")
@click.pass_context
def migrate(context: click.Context, database_url: str | None, config: Path | None) -> None:
    """Look at and change the schema of the database."""
    context.obj = Target(database_url, config)
    log_to_stderr()


@migrate.command()
@target_options
@json_option
@click.option("-v", "--verbose", is_flag=True, help="List what is pending.")
@click.option("--check", is_flag=True, help="Exit 1 unless the database is at head.")
def current(target: Target, verbose: bool, as_json: bool, check: bool) -> int:
    """Say where the database stands."""
    runner = target.runner()
    status = await_result(runner.status)
    if as_json:
        show_document("current", document.status(status, runner.address.redacted))
    else:
        show(terminal.status(status, runner.history(), runner.address.redacted, verbose=verbose))
    return FINDINGS if check and status.state is not State.AT_HEAD else 0


@migrate.command()
@target_options
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Show whole descriptions and file names.")
@click.option("-r", "--range", "limits", metavar="FROM:TO", help="As in base:head; either end may be left out.")
@click.option("--applied", is_flag=True, help="Show who migrated the database instead, and how it ended.")
def history(target: Target, verbose: bool, limits: str | None, applied: bool, as_json: bool) -> None:
    """List the revisions, newest first, and mark where the database is."""
    if applied:
        _show_journal(target, as_json=as_json)
        return
    place = _place(target)
    revisions = read_history(target.environment).between(limits or ":", place.current if place else ())
    if as_json:
        show_document("history", document.history(revisions, place))
    else:
        show(terminal.revisions(revisions, place, verbose=verbose))


@migrate.command()
@target_options
@json_option
def heads(target: Target, as_json: bool) -> int:
    """List the revisions that no other follows; exit 1 when there are several."""
    history = read_history(target.environment)
    revisions = [history.revisions[one] for one in history.heads]
    if as_json:
        show_document("heads", document.history(revisions, None))
    else:
        show(terminal.revisions(revisions, None))
    return FINDINGS if len(revisions) > 1 else 0


@migrate.command("plan")
@target_options
@json_option
@click.option("-r", "--revision", default="head", show_default=True, help="Where to: head, an id, or +1.")
def show_plan(target: Target, revision: str, as_json: bool) -> None:
    """Show what an upgrade would do: its revisions, what they take away, their SQL."""
    _show_plan(target, revision, as_json=as_json)


@migrate.command()
@target_options
@json_option
@sql_option
@click.option("-r", "--revision", default="head", show_default=True, help="Where to: head, an id, or +1.")
@click.option("--plan", "planned", is_flag=True, help="Show what it would do and change nothing.")
@journal_option
def upgrade(target: Target, revision: str, sql: bool, planned: bool, as_json: bool) -> None:
    """Apply pending revisions."""
    if planned:
        _show_plan(target, revision, as_json=as_json)
        return
    runner = target.runner(announce)
    if sql:
        _show_script(runner, Direction.UPGRADE, revision, as_json=as_json)
        return
    _show_outcome("upgrade", await_result(runner.upgrade, revision), target, as_json=as_json)


@migrate.command()
@target_options
@json_option
@sql_option
@click.option("-r", "--revision", required=True, help="Where to: base, an id, or -1.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@journal_option
def downgrade(target: Target, revision: str, yes: bool, sql: bool, as_json: bool) -> None:
    """Revert revisions, after saying what will be lost."""
    runner = target.runner(announce)
    if sql:
        _show_script(runner, Direction.DOWNGRADE, revision, as_json=as_json)
        return
    plan = await_result(runner.plan_downgrade, revision)
    losses = await_result(_losses, target, runner, plan)
    if plan.steps:
        progress(terminal.losses(losses, plan.steps, revision))
        confirm(f"the downgrade to {plan.target}", yes=yes)
    outcome = await_result(runner.downgrade, plan.destination)
    _show_outcome("downgrade", outcome, target, as_json=as_json, losses=document.losses(losses.found))


@migrate.command()
@target_options
@json_option
@sql_option
@click.argument("message")
@click.option("--autogenerate/--no-autogenerate", default=True, show_default=True, help="Fill it from the models.")
def create(target: Target, message: str, autogenerate: bool, sql: bool, as_json: bool) -> None:
    """Create a revision, generated and tried on scratch databases."""
    creation = await_result(_create, target, message, autogenerate, not sql)
    if as_json:
        show_document("create", document.creation(creation))
    elif sql and creation.revision:
        click.echo(_both_ways(creation), nl=False)
    else:
        show(terminal.creation(creation))


@migrate.command()
@target_options
@json_option
@sql_option
@click.argument("revision")
@journal_option
def stamp(target: Target, revision: str, sql: bool, as_json: bool) -> None:
    """Record a revision without running anything."""
    runner = target.runner(announce)
    if sql:
        _show_script(runner, Direction.STAMP, revision, as_json=as_json)
        return
    _show_outcome("stamp", await_result(runner.stamp, revision), target, as_json=as_json)


@migrate.command()
@target_options
@json_option
@sql_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@journal_option
def adopt(target: Target, yes: bool, sql: bool, as_json: bool) -> None:
    """Find the revision of a database that records none, and record it."""
    runner = target.runner(announce)
    adoption = await_result(_plan_adoption, target, runner)
    if sql:
        click.echo(adoption_script(adoption, runner.address.dialect), nl=False)
        return
    progress(terminal.adoption(adoption))
    if (adoption.statements or len(adoption.equals) > 1) and not adoption.refusals:
        confirm(f"adopting the database at {adoption.revision}", yes=yes)
    outcome = await_result(runner.adopt, adoption)
    _show_outcome("adopt", outcome, target, as_json=as_json, statements=list(adoption.statements))


@migrate.command()
@target_options
@json_option
@click.argument("revisions", nargs=-1)
@click.option("-m", "--message", default="", help="What the joint is called.")
def merge(target: Target, revisions: tuple[str, ...], message: str, as_json: bool) -> None:
    """Join heads with a new revision; all of them when none is named."""
    path = await_result(merge_heads, target.environment, revisions, message)
    if ledger_path(target.environment).exists():
        await_result(_write_ledger, target)
    if as_json:
        show_document("merge", {"path": str(path)})
    else:
        show(f"created {path}")


@migrate.command()
@target_options
@json_option
@click.option("--fingerprint", is_flag=True, help="Print the fingerprint alone.")
def snapshot(target: Target, fingerprint: bool, as_json: bool) -> None:
    """Print the schema of the database, a line for every fact."""
    runner = target.runner()
    found = await_result(runner.snapshot)
    if as_json:
        show_document("snapshot", document.snapshot(found, runner.address.redacted))
    else:
        click.echo(found.fingerprint if fingerprint else found.text, nl=fingerprint)


@migrate.command()
@target_options
@json_option
@click.option("--against", default="head", show_default=True, metavar="models|head|REV|URL", help="What to expect.")
def diff(target: Target, against: str, as_json: bool) -> int:
    """Compare the schema of the database with what it should be; exit 1 when they differ."""
    difference, unmanaged = await_result(_diff, target, against)
    against = parse_database_url(against).redacted if "://" in against else against
    if as_json:
        show_document("diff", document.difference(difference, unmanaged, against))
    else:
        show(terminal.difference(difference, unmanaged, against))
    return FINDINGS if difference else 0


@migrate.command()
@target_options
@json_option
@click.option("--write", is_flag=True, help="Write it anew from what the revisions do on scratch databases.")
def ledger(target: Target, write: bool, as_json: bool) -> int:
    """Compare the ledger with the revision files; exit 1 when they differ."""
    if write:
        await_result(_write_ledger, target)
    findings = check_ledger(target.environment, read_history(target.environment))
    if as_json:
        show_document("ledger", {"findings": [document.finding(one) for one in findings]})
    else:
        show(terminal.findings(findings, "the ledger agrees with the revision files"))
    return FINDINGS if findings else 0


for command in (*backups.COMMANDS, *gate.COMMANDS):
    migrate.add_command(command)


async def _diff(target: Target, against: str) -> tuple[Difference, tuple[str, ...]]:
    runner = target.runner()
    async with ScratchDatabases(target.settings) as scratch:
        return await find_difference(runner, scratch, against, target.create_all)


async def _write_ledger(target: Target) -> None:
    async with ScratchDatabases(target.settings) as scratch:
        measured = await measure(target.environment, scratch)
        unknown = [one.id for one in measured.entries if one.additive is None]
        marks = await _mark(target.environment, scratch, unknown)
        measured.marked(marks).write(target.environment)


def _show_script(runner: MigrationRunner, direction: Direction, revision: str, *, as_json: bool) -> None:
    plan, sql = await_result(_script, runner, direction, revision)
    if as_json:
        show_document("script", document.script(plan, sql, runner.address.redacted))
    else:
        click.echo(sql, nl=False)


async def _script(runner: MigrationRunner, direction: Direction, revision: str) -> tuple[Plan, str]:
    plans = {
        Direction.UPGRADE: runner.plan_upgrade,
        Direction.DOWNGRADE: runner.plan_downgrade,
        Direction.STAMP: runner.plan_stamp,
    }
    plan = await plans[direction](revision)
    return plan, await runner.script(plan)


async def _losses(target: Target, runner: MigrationRunner, plan: Plan) -> Losses:
    async with ScratchDatabases(target.settings) as scratch:
        return await find_losses(runner, plan, scratch)


async def _plan_adoption(target: Target, runner: MigrationRunner) -> Adoption:
    status = await runner.status()
    if status.state is not State.UNVERSIONED:
        raise AdoptionError(f"the database is {status.description}: there is nothing to adopt")
    async with ScratchDatabases(target.settings) as scratch:
        schemas = await chain_schemas(target.environment, scratch, runner.address.dialect)
    return plan_adoption(await runner.snapshot(), runner.managed(), schemas)


async def _create(target: Target, message: str, autogenerate: bool, write: bool) -> Creation:
    async with ScratchDatabases(target.settings) as scratch:
        return await create_revision(
            target.environment,
            scratch,
            message,
            create_all=target.create_all,
            autogenerate=autogenerate,
            write=write,
            review=Review(_mark, _rehearse),
        )


async def _rehearse(
    draft: AlembicEnvironment, scratch: ScratchDatabases, revision: str, grounds: Grounds
) -> tuple[Finding, ...]:
    with unlogged():
        return await findings_of(draft, scratch, revision, grounds, lambda line: progress(Text(line, style="yellow")))


async def _mark(draft: AlembicEnvironment, scratch: ScratchDatabases, revisions: Collection[str]) -> Mapping[str, bool]:
    with unlogged():
        return await additive_marks(draft, scratch, revisions)


def _show_plan(target: Target, revision: str, *, as_json: bool) -> None:
    runner = target.runner()
    plan = await_result(runner.plan_upgrade, revision)
    losses = await_result(_losses, target, runner, plan)
    try:
        sql = await_result(runner.script, plan)
    except MigrationError as error:
        # A revision that reads what is in the database has no script; the rest of the plan can be shown.
        sql = f"-- {error.message}\n"
    if as_json:
        show_document("plan", document.plan(plan, losses, sql, runner.address.redacted))
    else:
        show(terminal.plan(plan, losses, sql))


def _show_journal(target: Target, *, as_json: bool) -> None:
    entries = await_result(target.runner().entries)
    if as_json:
        show_document("journal", document.journal(entries))
    else:
        show(terminal.journal(entries))


def _place(target: Target) -> Status | None:
    """Look where the database is; a history can be shown without."""
    try:
        return await_result(target.runner().status)
    except DatabaseUnavailableError as error:
        progress(f"shown without the place of the database: {error}")
        return None


def _show_outcome(
    kind: str,
    outcome: Outcome,
    target: Target,
    *,
    as_json: bool,
    **more: Any,  # noqa: ANN401
) -> None:
    if outcome.backup and not logs_json():
        progress(f"  backup {outcome.backup}; `{target.restore} {outcome.backup}` brings it back")
    if as_json:
        show_document(kind, document.outcome(outcome, target.address.redacted) | more)
    else:
        show(terminal.outcome(outcome))


def _both_ways(creation: Creation) -> str:
    ways = (("upgrade", creation.upgrade_sql), ("downgrade", creation.downgrade_sql))
    return "\n".join(f"-- {way} on {dialect}\n{sql}" for way, scripts in ways for dialect, sql in scripts)
