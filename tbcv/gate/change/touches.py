"""What a revision file touches, read from its operations without running it: tables, columns, indexes, constraints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tbcv.migrate.syntax import parse_source, without_downgrade

# Which positional argument of an operation names the table, and which one the object of it.
_ON_TABLE = {
    "add_column": (0, 1),
    "drop_column": (0, 1),
    "alter_column": (0, 1),
    "create_index": (1, 0),
    "drop_index": (1, 0),
    "create_unique_constraint": (1, 0),
    "create_check_constraint": (1, 0),
    "create_foreign_key": (1, 0),
    "create_primary_key": (1, 0),
    "create_exclude_constraint": (1, 0),
    "drop_constraint": (1, 0),
}
_WHOLE_TABLE = {"create_table", "drop_table", "rename_table", "create_table_comment", "drop_table_comment"}
_TABLE_WORDS = ("table_name", "source_table", "tablename")
_OBJECT_WORDS = ("column_name", "column", "index_name", "constraint_name", "name")
_SQL = re.compile(
    r"\b(?:(?P<whole>CREATE\s+TABLE|DROP\s+TABLE)|TABLE|INTO|UPDATE|FROM|JOIN|ON)\s+"
    r"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?(?P<name>[\w.\"]+)",
    re.IGNORECASE,
)
_NO_TABLES = {"select", "conflict", "delete", "update", "set", "true", "false", "only", "public"}


@dataclass(frozen=True, slots=True, order=True)
class Touch:
    """One thing that a revision changes.

    Attributes:
        table: The table.
        what: The column, index or constraint of it; empty where the table itself is made, dropped or renamed.
        line: Where, in its file.
        rows: Whether only rows are touched, or the statement is not understood in more detail.
    """

    table: str
    what: str
    line: int
    rows: bool = False


def touches(path: Path) -> tuple[Touch, ...]:
    """Return what the upgrade of a revision file touches, as far as it is written literally."""
    tree = parse_source(path.read_bytes())
    constants = dict(_constants(tree))
    found: set[Touch] = set()
    for node in without_downgrade(tree):
        found.update(_touches(node, constants))
    return tuple(sorted(found))


def _touches(tree: ast.AST, constants: dict[str, str]) -> Iterator[Touch]:
    batches: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            for item in node.items:
                if isinstance(item.context_expr, ast.Call) and _name(item.context_expr) == "batch_alter_table":
                    table = _argument(item.context_expr, 0, _TABLE_WORDS, constants)
                    if isinstance(item.optional_vars, ast.Name) and table:
                        batches[item.optional_vars.id] = table
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from _of_call(node, batches, constants)


def _of_call(call: ast.Call, batches: dict[str, str], constants: dict[str, str]) -> Iterator[Touch]:
    name = _name(call)
    owner = call.func.value if isinstance(call.func, ast.Attribute) else None
    batch = batches.get(owner.id) if isinstance(owner, ast.Name) else None
    if name in _WHOLE_TABLE:
        table = _argument(call, 0, _TABLE_WORDS, constants)
        if table:
            yield Touch(table, "", call.lineno)
    elif name in _ON_TABLE:
        where, which = _ON_TABLE[name]
        table = batch or _argument(call, where, _TABLE_WORDS, constants)
        what = _argument(call, 0 if batch else which, _OBJECT_WORDS, constants)
        if table:
            yield Touch(table, what or "", call.lineno, rows=not what)
    elif name == "execute":
        for node in ast.walk(call):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from _of_sql(node.value, call.lineno)


def _of_sql(sql: str, line: int) -> Iterator[Touch]:
    for match in _SQL.finditer(sql):
        name = match["name"].replace('"', "").rpartition(".")[2]
        if name and name.lower() not in _NO_TABLES:
            yield Touch(name, "", line, rows=not match["whole"])


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _argument(call: ast.Call, position: int, words: tuple[str, ...], constants: dict[str, str]) -> str | None:
    given = call.args[position] if position < len(call.args) else None
    for keyword in call.keywords:
        if given is None and keyword.arg in words:
            given = keyword.value
    return _text(given, constants)


def _text(node: ast.AST | None, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    # The first argument of Column(...) and of op.f(...) is a name too.
    return _text(node.args[0], constants) if isinstance(node, ast.Call) and node.args else None


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((one.id, node.value.value) for one in node.targets if isinstance(one, ast.Name))
