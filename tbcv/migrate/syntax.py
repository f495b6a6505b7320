"""Python source as a syntax tree, for one thread at a time.

CPython 3.11 counts the depth of trees for all threads in one place, and raises a SystemError when two of them build
one at once. Filters of warnings are shared by all threads, too.
"""

from __future__ import annotations

import ast
import threading
import warnings

ONE_THREAD = threading.Lock()
"""Held by whoever parses, or changes the filters of warnings for a moment; not reentrant."""


def parse_source(source: str | bytes, filename: str = "<unknown>") -> ast.Module:
    """Parse a module.

    Raises:
        SyntaxError: It is no Python.
        ValueError: It holds null bytes.
    """
    with ONE_THREAD, warnings.catch_warnings():
        # Some versions warn of what others accept, as of "\\d".
        warnings.simplefilter("ignore")
        return ast.parse(source, filename)


def without_downgrade(tree: ast.Module) -> list[ast.stmt]:
    """Return the statements of a revision that have to do with the way up: all but the function for the way down."""
    return [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "downgrade")]
