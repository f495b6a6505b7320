"""`tbcv migrate check` and `rebase`: what a change of the schema does, and where it belongs, before it is merged."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
from rich.text import Text

from tbcv.cli.loop import await_result
from tbcv.cli.options import Target, json_option, progress, show, show_document, target_options
from tbcv.engine.scratch import Dialect, ScratchDatabases
from tbcv.errors import ConfigurationError
from tbcv.gate.check import Change
from tbcv.gate.check import check as find_verdict
from tbcv.gate.rebase import Rebased
from tbcv.gate.rebase import rebase as move_revisions
from tbcv.gate.verdict import Verdict
from tbcv.report import document, github, sarif, summary
from tbcv.report import verdict as terminal

FINDINGS = 1

_FORMATS: dict[str, Callable[[Verdict], str]] = {
    "json": lambda verdict: document.dump("check", document.verdict(verdict)) + "\n",
    "github": github.commands,
    "sarif": lambda verdict: sarif.sarif(verdict) + "\n",
    "markdown": summary.summary,
}
_ENDINGS = {".json": "json", ".sarif": "sarif", ".md": "markdown"}


@click.command()
@target_options
@json_option
@click.option("--base", metavar="REF|LEDGER|REVISION", help="What was released; where the branch left main otherwise.")
@click.option(
    "--dialect",
    "dialects",
    type=click.Choice(["sqlite", "postgresql"]),
    multiple=True,
    help="Try it on this engine only; may be given twice.",
)
@click.option("--rows", type=click.IntRange(1), default=2000, show_default=True, help="Rows per table in a rehearsal.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", *_FORMATS]),
    default="terminal",
    show_default=True,
    help="How to say it.",
)
@click.option(
    "--output",
    "outputs",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="A file to write as well, in the format of its ending: .json, .sarif, .md; may be given several times.",
)
def check(
    *,
    target: Target,
    base: str | None,
    dialects: tuple[Dialect, ...],
    rows: int,
    form: str,
    outputs: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Say what a change of the schema does, on scratch databases; exit 1 when something blocks it."""
    form = "json" if as_json else form
    files = {path: _format_of(path, form) for path in outputs}
    if not sys.warnoptions:
        # Whatever libraries, env.py and revisions warn of in whichever thread is no finding; `python -W` shows it.
        warnings.simplefilter("ignore")
    verdict = await_result(_check, target, base, dialects, rows)
    for path, name in files.items():
        _write(path, _FORMATS[name](verdict))
    if form == "github" and target.settings.step_summary is not None:
        _write(target.settings.step_summary, summary.summary(verdict), append=True)
    if form == "terminal" or form in files.values():
        show(terminal.verdict(verdict))
    else:
        click.echo(_FORMATS[form](verdict), nl=False)
    return 0 if verdict.passed else FINDINGS


@click.command()
@target_options
@json_option
@click.option("--base", metavar="REF|LEDGER|REVISION", help="What was released; where the branch left main otherwise.")
def rebase(target: Target, base: str | None, as_json: bool) -> None:
    """Put your own revisions on top of what was released meanwhile; files, ledger and schemas, or nothing."""
    done = await_result(_rebase, target, base)
    if as_json:
        show_document("rebase", document.rebased(done))
    else:
        show(terminal.rebased(done))


COMMANDS = (check, rebase)


async def _rebase(target: Target, base: str | None) -> Rebased:
    async with ScratchDatabases(target.settings) as scratch:
        return await move_revisions(target.environment, scratch, base)


async def _check(target: Target, base: str | None, dialects: tuple[Dialect, ...], rows: int) -> Verdict:
    async with ScratchDatabases(target.settings) as scratch:
        engines = dialects or target.dialects or scratch.dialects
        required = bool(dialects) or target.config is None
        kept = target.settings.cache_directory.expanduser() / "gate"
        change = Change(target.environment, scratch, engines, target.models, rows, kept=kept, required=required)
        return await find_verdict(change, base=base, progress=_announce)


def _announce(name: str) -> None:
    if sys.stderr.isatty():
        progress(Text(f"  … {name}", style="dim"))


def _format_of(path: Path, form: str) -> str:
    """Return the format of a file: that of its ending, unless the one that was asked for is written so, too."""
    ending = _ENDINGS.get(path.suffix)
    if form in _FORMATS and (ending is None or (form, ending) == ("sarif", "json")):
        return form
    if ending is None:
        raise ConfigurationError(
            f"nothing says in which format {path} is to be written",
            hint="let it end in .json, .sarif or .md, or give --format",
        )
    return ending


def _write(path: Path, text: str, *, append: bool = False) -> None:
    try:
        with path.open("a" if append else "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
