"""Where in a revision's file stands what a finding is about."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tbcv.findings import Location
from tbcv.gate.observers.observed import Run
from tbcv.gate.rehearsals.rehearsed import StepRehearsal
from tbcv.migrate.syntax import parse_source


def line_about(step: StepRehearsal, name: str, table: str = "") -> Location:
    """Return the line of the first statement that names something; one about the table goes first, if it is given."""
    naming = [one for one in step.of(Run.UP) if one.location and re.search(rf"\b{re.escape(name)}\b", one.sql)]
    bare = re.escape(table.rsplit(".", maxsplit=1)[-1].strip('"'))
    about = re.compile(rf"\bTABLE\s[^(]*\b(?:_alembic_tmp_)?{bare}\b")
    best = next((one for one in naming if about.search(one.sql)), naming[0] if naming else None)
    return (best.location if best else None) or function_at(step.revision.path, "upgrade")


def function_at(path: Path, name: str) -> Location:
    """Return where a function of a revision begins."""
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return Location(path)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return Location(path, node.lineno)
    return Location(path)
