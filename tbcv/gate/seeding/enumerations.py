"""The labels of enumerations that only Python knows: their columns hold texts, and no CHECK names them.

``sa.Enum("new", "paid")`` makes a VARCHAR on SQLite, and elsewhere with ``native_enum=False``. The application writes
nothing else into it. As with all that is read from a file, what is not understood is left to be guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tbcv.migrate.syntax import parse_source, without_downgrade

Labels = Mapping[tuple[str, str], tuple[str, ...]]
"""Labels by table and column, both in lower case; the table is empty where a file does not tell it."""

_NAMES = {"Enum", "ENUM"}
_COLUMNS = {"Column", "mapped_column"}
_ON_TABLES = {"create_table", "add_column", "alter_column", "batch_alter_table", "table"}


def labels_written(paths: Iterable[Path]) -> Labels:
    """Return the labels that revisions give to columns; later revisions count more.

    Args:
        paths: The files of the revisions that a database has, parents before children.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for path in paths:
        try:
            source = path.read_bytes()
            tree = parse_source(source) if b"num(" in source or b"NUM(" in source else None
        except (SyntaxError, ValueError, OSError):
            continue
        if tree is not None:
            found.update(_File(tree).labels())
    return found


class _File:
    """One revision's file.

    Args:
        tree: What it says.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._top = without_downgrade(tree)
        nodes = [node for top in self._top for node in ast.walk(top)]
        self._assigned = {
            target.id: node.value
            for node in nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._classes = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}

    def labels(self) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
        """Give the labels of each column, in the order of the file."""
        for node in self._top:
            yield from self._inside(node, "")

    def _inside(self, node: ast.AST, table: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
        if isinstance(node, ast.ClassDef):
            table = next((_text(one) for name, one in _members(node) if name == "__tablename__"), table)
            for name, value in _members(node):
                # A column with a name of its own is met further down.
                if isinstance(value, ast.Call) and not (value.args and _text(value.args[0])):
                    yield from self._of_column(table, name, value)
        elif isinstance(node, ast.With):
            calls = [one.context_expr for one in node.items if isinstance(one.context_expr, ast.Call)]
            table = next((_table(call) for call in calls if _table(call)), table)
        elif isinstance(node, ast.Call):
            table = _table(node) or table
            texts = [_text(one) for one in node.args[:2]]
            if _called(node) in _COLUMNS and texts and texts[0]:
                yield from self._of_column(table, texts[0], node)
            elif _called(node) == "alter_column":
                yield from self._of_column(table, next((one for one in texts[::-1] if one), ""), node)
        for child in ast.iter_child_nodes(node):
            yield from self._inside(child, table)

    def _of_column(self, table: str, column: str, node: ast.Call) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
        types = [*node.args, *(one.value for one in node.keywords if one.arg == "type_")]
        labels = next((found for one in types if (found := self._labels(one))), ())
        if labels:
            yield (table.lower(), column.lower()), labels

    def _labels(self, node: ast.expr) -> tuple[str, ...]:
        """Return the labels of a type, if it is an enumeration."""
        if isinstance(node, ast.Name):
            assigned = self._assigned.get(node.id)
            return self._labels(assigned) if isinstance(assigned, ast.Call) else ()
        if not isinstance(node, ast.Call) or _called(node) not in _NAMES:
            return ()
        given = [one.value if isinstance(one, ast.Starred) else one for one in node.args]
        if len(given) == 1 and isinstance(given[0], ast.Name) and given[0].id in self._classes:
            members = [(name, value) for name, value in _members(self._classes[given[0].id]) if name[:1] != "_"]
            by_value = any(one.arg == "values_callable" for one in node.keywords)
            return tuple(_text(value) if by_value else name for name, value in members)
        resolved = [self._assigned.get(one.id, one) if isinstance(one, ast.Name) else one for one in given]
        listed = [one.elts if isinstance(one, ast.List | ast.Tuple) else [one] for one in resolved]
        return tuple(filter(None, (_text(one) for part in listed for one in part)))


def _members(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    """Give what is assigned in the body of a class."""
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            yield one.targets[0].id, one.value
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and one.value is not None:
            yield one.target.id, one.value


def _table(node: ast.Call) -> str:
    """Return the table that a call of an operation names; empty where it names a column, or nothing."""
    if _called(node) not in _ON_TABLES or not node.args or isinstance(node.func, ast.Name):
        return ""
    # What is called on a batch names no table.
    batched = _called(node) == "alter_column" and len(node.args) < 2
    return "" if batched else _text(node.args[0])


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
