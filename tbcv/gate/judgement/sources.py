"""What the source of a revision tells without being run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tbcv.findings import Location
from tbcv.gate.judgement.sightings import Sighting
from tbcv.migrate.syntax import parse_source

_MODELS = re.compile(r"__tablename__|DeclarativeBase|declarative_base\(|registry\(\)")


def sightings_of_source(path: Path) -> Iterator[Sighting]:
    """Give what a revision imports and reads that may be something else when it runs."""
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and node.level == 0
            else []
        )
        for module in modules:
            if _has_models(path, module):
                line = getattr(node, "lineno", None)
                yield Sighting(
                    "imports-models",
                    f"it imports {module}, whose models will not be what they are today",
                    Location(path, line),
                )
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"} and _is_named(node.value, "os"):
            yield Sighting(
                "environment-dependent",
                "what it does depends on the environment of the process that runs it",
                Location(path, node.lineno),
            )


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _has_models(path: Path, module: str) -> bool:
    """Tell whether a module of the same project defines models."""
    parts = module.split(".")
    for parent in path.resolve().parents:
        for file in (parent.joinpath(*parts).with_suffix(".py"), parent.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return _MODELS.search(file.read_text(encoding="utf-8", errors="replace")) is not None
        if (parent / "alembic.ini").exists() or (parent / "pyproject.toml").exists():
            break
    return False
