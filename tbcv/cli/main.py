"""The `tbcv` command, and the one place where an error becomes a line on stderr and an exit code."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from tbcv import __version__
from tbcv.cli.interrupted import INTERRUPTED, SIGNALLED, Interrupted, ended_at_once
from tbcv.errors import TbcvError

DEFECT = 70
# Objects between two looks for garbage; a server looks often enough still.
_GARBAGE = (50_000, 20, 20)

# Imported on demand: what a command needs takes half a second to import, and --help needs none of it.
_COMMANDS = {
    "migrate": ("tbcv.cli.migrate", "migrate", "Look at and change the schema of the database."),
    "serve": ("tbcv.cli.serve", "serve", "Serve the API; its startup migrates."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        with ended_at_once():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in _COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tbcv")
@click.option("--debug", is_flag=True, help="Show where an error arose.")
def tbcv(debug: bool) -> None:  # read by `run`
    """The data layer and schema migrations of Truth-Based Content Validation."""


def main() -> NoReturn:
    """Run the command line of this process."""
    # A sixth of the start went into looking for garbage among modules that stay.
    gc.set_threshold(*_GARBAGE)
    for stream in (sys.stdout, sys.stderr):
        # A stream that cannot take an arrow, as a pipe on Windows, gets a question mark instead of a failure.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.exit(run(tbcv, sys.argv[1:]))


def run(command: click.Command, arguments: Sequence[str], name: str = "tbcv") -> int:
    """Run a command and return its exit code; errors become one line on stderr.

    Args:
        command: Any command of this room.
        arguments: Without the program's name.
        name: The program's name.

    Returns:
        0 clean, 1 findings, 2 usage or configuration, 3 refused or failed, 70 a defect of tbcv, 130 interrupted,
        143 terminated.
    """
    try:
        result = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # the boundary: a defect is one line too
        if "--debug" in arguments:
            traceback.print_exc()
        return _report(error, as_json="--json" in arguments)
    return result if isinstance(result, int) else 0


def _report(error: BaseException, *, as_json: bool) -> int:
    """Say what ended a command, and return its exit code."""
    match error:
        case TbcvError():
            click.echo(f"tbcv: {error}", err=True)
            if as_json:
                from tbcv.report import document  # noqa: PLC0415  # half a second that --help must not pay

                click.echo(document.dump("error", document.error(error)))
            code = error.exit_code
        case click.ClickException():
            context = error.ctx if isinstance(error, click.UsageError) else None
            where = context.command_path if context else "tbcv"
            line = " ".join(error.format_message().split()).rstrip(".")
            click.echo(f"tbcv: {line}; `{where} --help` lists what can be given", err=True)
            code = error.exit_code
        case Interrupted():
            click.echo(f"tbcv: ended by {error}", err=True)
            code = SIGNALLED + error.number
        case click.Abort() | KeyboardInterrupt():
            click.echo("tbcv: interrupted", err=True)
            code = INTERRUPTED
        case BrokenPipeError():
            # Whoever read our output has seen enough. Python would complain once more when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        case _:
            line = " ".join(str(error).split()) or "no message"
            click.echo(f"tbcv: defect: {type(error).__name__}: {line}; run again with --debug and report it", err=True)
            code = DEFECT
    return code
