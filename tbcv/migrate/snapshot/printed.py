"""One text for expressions that PostgreSQL prints differently before and after a dump that is restored.

It keeps an expression as it was parsed. Parsed again from what it prints, a list of strings is cast one by one
instead of at once, and a conjunction within a conjunction, as of BETWEEN, becomes part of it.
"""

from __future__ import annotations

import re
from typing import TypeAlias

_PIECE = re.compile(
    r"""E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]|\ AND\ |\ OR\ |[a-z0-9_]+|.""", re.DOTALL | re.VERBOSE
)
_CAST = re.compile(r"\((E?'(?:[^']|'')*'::character varying)\)::text")
_CAST_ONE_BY_ONE = re.compile(rf"ARRAY\[{_CAST.pattern}(?:, {_CAST.pattern})*\]")

Group: TypeAlias = "list[str | Group]"


def canonical(line: str) -> str:
    """Return a line that PostgreSQL has printed with its expressions as they are after a restore."""
    line = _CAST_ONE_BY_ONE.sub(lambda found: f"({_CAST.sub(lambda one: one[1], found[0])})::text[]", line)
    return _flatten(line) if " AND " in line or " OR " in line else line


def _flatten(line: str) -> str:
    groups: list[Group] = [[]]
    for piece in _PIECE.findall(line):
        if piece == "(":
            groups.append([])
        elif piece == ")" and len(groups) > 1:
            group = groups.pop()
            groups[-1].append(group)
        else:
            groups[-1].append(piece)
    return _text(groups[0]) if len(groups) == 1 else line


def _text(group: Group) -> str:
    operator = _operator(group)
    text = ""
    for position, part in enumerate(group):
        if isinstance(part, str):
            text += part
            continue
        beside = (*group[max(position - 1, 0) : position], *group[position + 1 : position + 2])
        operand = operator is not None and all(one == operator for one in beside)
        text += _text(part) if operand and _operator(part) == operator else f"({_text(part)})"
    return text


def _operator(group: Group) -> str | None:
    """Return AND or OR, if a group consists of operands of that alone."""
    found = {part for part in group if part in (" AND ", " OR ") and isinstance(part, str)}
    return found.pop() if len(found) == 1 else None
