"""The line of a revision file that is about a table or a column, read from its syntax tree."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tbcv.findings import Location
from tbcv.gate.releases.rows import mentions
from tbcv.migrate.syntax import parse_source

_CHANGES = re.compile(r"^(add|alter|create|drop|rename)_|\b(ALTER|DROP|RENAME|CREATE)\b")


def locate(path: Path, table: str, column: str | None) -> Location:
    """Return where a revision changes a table or a column, as far as its literals tell; else where its way up begins.

    Args:
        path: The revision file.
        table: A table, with or without its schema.
        column: A column of it, if it is known which.
    """
    tree = parse_source(path.read_bytes(), str(path))
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    upgrade = functions.get("upgrade")
    if upgrade is None:
        return Location(path)
    names = dict(_constants(tree))
    best, line = 0.0, upgrade.lineno
    for statement, text in _statements(upgrade.body, names, ""):
        about = 2.0 * (column is not None and mentions(text, column))
        about += mentions(text, table.rpartition(".")[2])
        if about and _CHANGES.search(text):
            about += 0.5
        if about > best:
            best, line = about, statement.lineno
    return Location(path, line)


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, _text(node.value, {})


def _statements(body: list[ast.stmt], names: Mapping[str, str], around: str) -> Iterator[tuple[ast.stmt, str]]:
    """Give the innermost statements, with the words that stand in and around them."""
    for node in body:
        inner = [getattr(node, name) for name in ("body", "orelse", "finalbody") if getattr(node, name, None)]
        if not inner:
            yield node, f"{_text(node, names)} {around}"
            continue
        # `with op.batch_alter_table("t")` and `for table in ("t", "u")` say what their bodies are about.
        heads = [one for one in ast.iter_child_nodes(node) if not isinstance(one, ast.stmt)]
        outer = " ".join([around, *(_text(one, names) for one in heads)])
        for block in inner:
            yield from _statements(block, names, outer)


def _text(node: ast.AST, names: Mapping[str, str]) -> str:
    words = []
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            words.append(one.value)
        elif isinstance(one, ast.Attribute):
            words.append(one.attr)
        elif isinstance(one, ast.Name):
            words.append(names.get(one.id, ""))
    return " ".join(words)
