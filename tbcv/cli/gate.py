"""`tbcv migrate check` and `rebase`: what a change does, before it is merged."""

from __future__ import annotations

import sys

import click
from rich.text import Text

from tbcv.cli.loop import await_result
from tbcv.cli.options import Target, json_option, progress, show, show_document, target_options
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.gate.check import Change, Verdict
from tbcv.gate.check import check as find_verdict
from tbcv.report import document
from tbcv.report import verdict as terminal

FINDINGS = 1


@click.command()
@target_options
@json_option
@click.option("--base", metavar="REF|LEDGER|REVISION", help="What was released; where the branch left main otherwise.")
@click.option(
    "--dialect",
    "dialects",
    type=click.Choice(["sqlite", "postgresql"]),
    multiple=True,
    help="Try on this engine only; may be given twice.",
)
@click.option("--rows", type=click.IntRange(1), default=2000, show_default=True, help="Rows per table in a rehearsal.")
def check(target: Target, base: str | None, dialects: tuple[Dialect, ...], rows: int, as_json: bool) -> int:
    """Say what a change of the schema does, on scratch databases; exit 1 when something blocks it."""
    verdict = await_result(_check, target, base, dialects, rows)
    if as_json:
        show_document("check", document.verdict(verdict))
    else:
        show(terminal.verdict(verdict))
    return 0 if verdict.passed else FINDINGS


COMMANDS = (check,)


async def _check(target: Target, base: str | None, dialects: tuple[Dialect, ...], rows: int) -> Verdict:
    async with ScratchDatabases(target.settings) as scratch:
        engines = dialects or target.dialects or scratch.dialects
        required = bool(dialects) or target.config is None
        change = Change(target.environment, scratch, engines, target.models, rows, required=required)
        return await find_verdict(change, base=base, progress=_announce)


def _announce(name: str) -> None:
    if sys.stderr.isatty():
        progress(Text(f"  … {name}", style="dim"))
