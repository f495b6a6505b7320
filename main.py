"""Run TBCV from a checkout: ``python main.py --mode api`` is ``tbcv serve``."""

from __future__ import annotations

import sys

import click

from tbcv.cli.main import run
from tbcv.cli.serve import serve

MODE = click.Option(
    ["--mode"], type=click.Choice(["api"]), default="api", show_default=True, expose_value=False, help="What to run."
)

main = click.Command("main.py", params=[MODE, *serve.params], callback=serve.callback, help=serve.help)

if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:], name="main.py"))
