#!/usr/bin/env python3
"""Write the generated parts of docs/ anew: `make docs`."""

from __future__ import annotations

from pathlib import Path

import click

from tbcv.cli.main import tbcv
from tbcv.core.database import Base
from tbcv.engine.url import parameters, schemes
from tbcv.gate.change.codes import CODES
from tbcv.gate.judgement.hazards import HAZARDS
from tbcv.report import markdown
from tbcv.settings import Settings

DOCS = Path(__file__).resolve().parent


def main() -> None:
    """Write every page."""
    parts = {
        "settings": markdown.settings(Settings),
        "schemes": markdown.schemes(schemes()),
        "parameters of PostgreSQL": markdown.parameters(parameters("postgresql")),
        "parameters of SQLite": markdown.parameters(parameters("sqlite")),
        "codes": markdown.codes(CODES),
        "modules": markdown.modules(DOCS.parent / "tbcv"),
        **commands(tbcv, "tbcv"),
    }
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(markdown.filled(page.read_text(encoding="utf-8"), parts), encoding="utf-8")
    (DOCS / "hazards.md").write_text(markdown.hazards(HAZARDS), encoding="utf-8")
    (DOCS / "database-schema.md").write_text(markdown.schema(Base), encoding="utf-8")


def commands(command: click.Command, name: str) -> dict[str, str]:
    """Describe a command and all below it, by their full names."""
    found = {name: markdown.command(command)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            if below is not None:
                found |= commands(below, f"{name} {word}")
    return found


if __name__ == "__main__":
    main()
