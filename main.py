"""Run TBCV from a checkout: ``python main.py --mode api`` is ``tbcv serve``."""

from __future__ import annotations

import sys
from typing import Any

import click

from tbcv.cli.interrupted import ended_at_once
from tbcv.cli.main import run

MODE = click.Option(
    ["--mode"], type=click.Choice(["api"]), default="api", show_default=True, expose_value=False, help="What to run."
)


class Main(click.Command):
    """``tbcv serve`` with an option that names the mode."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:  # noqa: ANN401  # click's own
        """Take over the options of ``tbcv serve``."""
        # Not at the top: it takes a second, which `ended_at_once` covers.
        with ended_at_once():
            from tbcv.cli.serve import serve  # noqa: PLC0415

        self.params, self.callback, self.help = [MODE, *serve.params], serve.callback, serve.help
        return super().make_context(*arguments, **more)


if __name__ == "__main__":
    sys.exit(run(Main("main.py"), sys.argv[1:], name="main.py"))
