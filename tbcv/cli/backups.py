"""`tbcv migrate backup`, `backups` and `restore`."""

from __future__ import annotations

import click

from tbcv.cli.loop import await_result
from tbcv.cli.options import (
    Target,
    announce,
    confirm,
    json_option,
    logs_json,
    progress,
    show,
    show_document,
    target_options,
)
from tbcv.engine.scratch import ScratchDatabases
from tbcv.errors import BackupError
from tbcv.migrate.backup import ASKED_FOR, Backup, Restored, list_backups, restore_backup, take_backup
from tbcv.migrate.plan import Direction
from tbcv.migrate.protection import backup_directory
from tbcv.report import document, terminal


@click.command()
@target_options
@json_option
def backup(target: Target, as_json: bool) -> None:
    """Take a backup of the whole database, and prove that it can be restored."""
    taken = await_result(_take, target)
    if as_json:
        show_document("backup", document.backup(taken))
    else:
        show(terminal.backups([taken]))


@click.command()
@target_options
@json_option
def backups(target: Target, as_json: bool) -> None:
    """List the backups there are, newest first."""
    found = list_backups(backup_directory(target.address, target.settings))
    if as_json:
        show_document("backups", {"backups": [document.backup(one) for one in found]})
    else:
        show(terminal.backups(found))


@click.command()
@target_options
@json_option
@click.argument("name", metavar="BACKUP")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def restore(target: Target, name: str, yes: bool, as_json: bool) -> None:
    """Bring a backup back, after taking one of what it replaces."""
    chosen = _find(target, name)
    way = await_result(_way_to, target, chosen)
    first = f" after the {way} to {chosen.revisions[0]}" if way else ""
    confirm(f"restoring {chosen.id} over {target.address.redacted}{first}", yes=yes)
    done = await_result(_restore, target, chosen, way)
    if as_json:
        undo = document.backup(done.undo) if done.undo else None
        show_document("restore", {"backup": document.backup(chosen), "undo": undo, "rows": dict(done.rows)})
    else:
        show(terminal.restored(done, target.restore))


COMMANDS = (backup, backups, restore)


async def _take(target: Target) -> Backup:
    settings = target.settings
    async with ScratchDatabases(settings) as scratch:
        directory = backup_directory(target.address, settings)
        taken = await take_backup(
            target.address, directory, reason=ASKED_FOR, scratch=scratch, keep=settings.backup_keep
        )
    if taken is None:
        raise BackupError(f"{target.address.redacted} is empty: there is nothing to back up")
    return taken


async def _way_to(target: Target, chosen: Backup) -> Direction | None:
    """Return which way leads to the revision that a backup was taken at, if its tables are to be had only there."""
    if chosen.kind == "full" or len(chosen.revisions) != 1:
        return None
    runner = target.runner()
    current, history = (await runner.status()).current, runner.history()
    if current == chosen.revisions or not {*current, *chosen.revisions} <= history.revisions.keys():
        return None
    return Direction.DOWNGRADE if chosen.revisions[0] in history.ancestors(current) else Direction.UPGRADE


async def _restore(target: Target, chosen: Backup, way: Direction | None) -> Restored:
    settings = target.settings
    if way is not None:
        runner = target.runner(announce)
        go = runner.downgrade if way is Direction.DOWNGRADE else runner.upgrade
        outcome = await go(chosen.revisions[0])
        if outcome.backup and not logs_json():
            progress(f"  backup {outcome.backup}, taken before the {way}")
    async with ScratchDatabases(settings) as scratch:
        return await restore_backup(
            target.address, chosen, scratch=scratch, lock_timeout_seconds=settings.lock_timeout_seconds
        )


def _find(target: Target, name: str) -> Backup:
    found = list_backups(backup_directory(target.address, target.settings))
    for one in found:
        if one.id == name:
            return one
    raise BackupError(f"there is no backup {name}", hint=f"`{target.command('backups')}` lists them")
