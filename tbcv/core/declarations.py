"""Where in the source a table or a column of the models is declared, for findings about them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from sqlalchemy.orm import DeclarativeBase

from tbcv.findings import Location
from tbcv.migrate.syntax import parse_source


def declared_at(base: type[DeclarativeBase], table: str, column: str | None = None) -> Location | None:
    """Return the line of a model, or of one of its columns; None where no model has the table."""
    for mapper in base.registry.mappers:
        if getattr(mapper.local_table, "name", None) == table:
            path = inspect.getsourcefile(mapper.class_)
            if path is None:
                return None
            names = {one.key for one in mapper.column_attrs if column in {each.name for each in one.columns}}
            return Location(Path(path), _line(Path(path), mapper.class_.__name__, names))
    return None


def _line(path: Path, name: str, attributes: set[str]) -> int | None:
    for node in parse_source(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for inner in node.body:
                if isinstance(inner, ast.AnnAssign) and getattr(inner.target, "id", "") in attributes:
                    return inner.lineno
            return node.lineno
    return None
