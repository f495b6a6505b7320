"""The checksum of what a revision file means: not of its comments, its docstrings, its spaces or its line ends.

Taken from the syntax tree in a spelling of our own, since `ast.dump` and `ast.unparse` change between versions of
Python, and a ledger written on one must hold on all.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

from tbcv.migrate.syntax import parse_source

_LENGTH = 32
# Attributes that some versions of Python have and others have not, or that say nothing about meaning.
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}


def checksum(source: str | bytes) -> str:
    """Return the checksum of a Python file.

    Raises:
        SyntaxError: The source does not parse.
    """
    return hashlib.sha256("".join(_spell(parse_source(source))).encode()).hexdigest()[:_LENGTH]


def _spell(node: object) -> Iterator[str]:
    if isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for name, value in sorted(ast.iter_fields(node)):
            if name in _IGNORED or value is None or value == []:
                continue
            yield f" {name}="
            yield from _spell(_normal(node, name, value))
        yield ")"
    elif isinstance(node, list):
        yield "["
        for one in node:
            yield from _spell(one)
        yield "]"
    else:
        # What `repr` escapes in a string depends on the version's Unicode tables.
        yield ascii(node)


def _normal(node: ast.AST, name: str, value: object) -> object:
    if not isinstance(value, list):
        return value
    if name == "values" and isinstance(node, ast.JoinedStr):
        return _joined(value)
    if name == "body" and isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return value if ast.get_docstring(node, clean=False) is None else value[1:]
    return value


def _joined(parts: list[ast.expr]) -> list[object]:
    """Join the texts of an f-string, which versions of Python cut differently."""
    joined: list[object] = []
    for part in parts:
        if not (isinstance(part, ast.Constant) and isinstance(part.value, str)):
            joined.append(part)
        elif joined and isinstance(joined[-1], str):
            joined[-1] += part.value
        elif part.value:
            joined.append(part.value)
    return joined
