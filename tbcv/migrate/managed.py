"""Which objects of a database are the application's: those that its models or its revisions name.

A database may hold tables of somebody else. They are left alone, and count neither as drift nor against adoption.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from tbcv.migrate.history import History
from tbcv.migrate.syntax import parse_source

# Calls whose arguments name what they make, in op.create_table("x") as in sa.Enum(name="x").
_MAKERS = {"create_table", "rename_table", "Table", "Enum", "ENUM", "Sequence", "create_sequence"}
_CREATES = re.compile(
    r"\b(?:CREATE|RENAME)\b[^;(]*?\b(?:TABLE|VIEW|SEQUENCE|TYPE|DOMAIN|FUNCTION|PROCEDURE|AGGREGATE|COLLATION|EXTENSION"
    r"|SCHEMA|SERVER|EVENT\s+TRIGGER|CONFIGURATION|DICTIONARY|TO)\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"(?:(?:\w+|\"[^\"]+\")\s*\.\s*)?(\w+|\"(?:[^\"]|\"\")+\"|`[^`]+`|\[[^\]]+\])",
    re.IGNORECASE,
)
# The name at the end of a subject, before the arguments of a function: t of `table s.t`, f of `function f(integer)`.
_LAST_NAME = re.compile(r'("(?:[^"]|"")*"|[^\s."(]+)(?=\(|$)')


class Managed:
    """The names of what the application has made and may have made in the past.

    Args:
        history: The revisions, whose files are searched.
        tables: The tables of the models.
    """

    def __init__(self, history: History, tables: AbstractSet[str] = frozenset()) -> None:
        found = set(tables)
        for revision in history.revisions.values():
            found.update(_names(parse_source(revision.path.read_bytes())))
        self.names = frozenset(_plain(name) for name in found)

    def __call__(self, subject: str) -> bool:
        """Tell whether the subject of a fact, as in ``table workflows``, is the application's."""
        found = _LAST_NAME.search(subject)
        plain = _plain(found[1]) if found else subject
        # A serial column's sequence is named after its table.
        return plain in self.names or any(plain.startswith(f"{one}_") and plain.endswith("_seq") for one in self.names)


def _plain(name: str) -> str:
    """Return a name without quotes, as both engines compare those that have none."""
    if name[:1] in '"`[' and name:
        name = name[1:-1].replace('""', '"')
    return name.lower()


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in _MAKERS:
            words = [*node.args[:2], *(one.value for one in node.keywords if one.arg == "name")]
            yield from (one.value for one in words if isinstance(one, ast.Constant) and isinstance(one.value, str))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _CREATES.findall(node.value)


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
