"""What a revision reads out of documents of JSON, so that there are documents which it can read.

Nothing but the code knows what the documents of an application look like, and a revision that takes them apart is code
that does. What is read here is only ever put into rows: what is not understood is one entry less to be tried.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tbcv.migrate.syntax import parse_source, without_downgrade

ANY = "*"
"""Stands for the documents that a revision reads without saying whose they are."""


@dataclass(frozen=True, slots=True)
class Document:
    """What the documents of a column look like.

    Attributes:
        entries: What is read out of one, or out of each of several: by the key, the type that it is made, or nothing.
        listed: Whether there are several of them in a list.
    """

    entries: Mapping[str, str] = field(default_factory=dict)
    listed: bool = False


Documents = Mapping[str, Document]
"""Documents by the lower-case names of their columns, or by `ANY`."""

_TYPE = r"(?:\s*\)?\s*::\s*(?P<cast>\w+)|\s+AS\s+(?P<made>\w+))?"
_ARROW = re.compile(
    rf"\"?(?P<operand>\b[a-z_]\w*)\"?(?:\s*::\s*jsonb?)?\s*\)?\s*->>?\s*'(?:\$\.)?(?P<key>[a-z_]\w*)'{_TYPE}",
    re.IGNORECASE,
)
_EXTRACTED = re.compile(
    rf"\bjson_(?:extract|type)\s*\(\s*(?:\w+\.)?\"?(?P<operand>[a-z_]\w*)\"?\s*,\s*'\$\.(?P<key>[a-z_]\w*)'\s*\){_TYPE}",
    re.IGNORECASE,
)
_RECORDS = re.compile(
    r"\bjsonb?_to_record(?P<set>set)?\s*\(\s*(?:\w+\.)?\"?(?P<operand>[a-z_]\w*)\"?[^)]*\)\s*"
    r"(?:AS\s+)?\w*\s*\((?P<columns>[^)]*)\)",
    re.IGNORECASE,
)
_LISTS = re.compile(
    r"\b(?:jsonb?_array_elements(?:_text)?|jsonb?_to_recordset|json_each)\s*\(\s*(?:\w+\.)?\"?(?P<operand>[a-z_]\w*)",
    re.IGNORECASE,
)


def documents_read(path: Path) -> Documents:
    """Return what the upgrade of a revision reads out of documents, as far as it is written literally."""
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return {}
    nodes = [node for top in without_downgrade(tree) for node in ast.walk(top)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    found: dict[str, dict[str, str]] = {}
    for operand, key, kind in (*_of_sql("\n".join(texts)), *_of_python(nodes)):
        entries = found.setdefault(operand.lower(), {})
        entries[key] = kind or entries.get(key, "")
    lists = {one["operand"].lower() for text in texts for one in _LISTS.finditer(text)}
    # What is read of an element is read by a name of its own.
    elements = {
        key: kind for operand, entries in found.items() if operand not in lists for key, kind in entries.items()
    }
    single = {operand: Document(entries) for operand, entries in found.items() if operand not in lists}
    return {**single, **{one: Document(elements, listed=True) for one in lists}}


def _of_sql(text: str) -> Iterator[tuple[str, str, str]]:
    for pattern in (_ARROW, _EXTRACTED):
        for match in pattern.finditer(text):
            yield match["operand"], match["key"], (match["cast"] or match["made"] or "").lower()
    for match in _RECORDS.finditer(text):
        for column in match["columns"].split(","):
            name, _, kind = column.strip().partition(" ")
            # Of a set each element is read, under whatever name.
            yield ANY if match["set"] else match["operand"], name.strip('"'), kind.split("(")[0].strip().lower()


def _of_python(nodes: list[ast.AST]) -> Iterator[tuple[str, str, str]]:
    """Give the keys that are asked of what `json.loads` or the driver made, where JSON is spoken of at all."""
    if not any(isinstance(node, ast.Name) and node.id == "json" for node in nodes):
        return
    for node in nodes:
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            key = node.slice.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        else:
            continue
        if isinstance(key, str):
            yield ANY, key, ""
