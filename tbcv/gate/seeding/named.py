"""The values that the conditions of a revision name, so that there are rows which they are about.

``DELETE FROM orders WHERE state = 'void'`` does nothing to orders of which none is void, and production has some. What
is read here is only ever a value to be put into a row: one that is not understood is one row less to be tried.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tbcv.migrate.syntax import parse_source, without_downgrade


@dataclass(frozen=True, slots=True)
class NamedValue:
    """A value that a column is compared with.

    Attributes:
        text: The value.
        changing: Whether that chooses rows to be changed; what is looked for may as well be about to be inserted.
        exact: Whether it is the value itself, and not one on either side of it.
    """

    text: str
    changing: bool
    exact: bool = True


Named = Mapping[str, tuple[NamedValue, ...]]
"""Values by the lower-case names of the columns that are compared with them, or by `ANYWHERE`."""
ANYWHERE = "*"
"""Stands for every column: a function or a partition is given a value, and nobody knows what that is compared with."""

_MOST = 12
_COLUMN = r'"?\b(?P<column>[a-z_]\w*)"?(?:\s*::\s*\w+)?\s*\)?\s*'
_LITERAL = r"E?'(?:[^']|'')*'|-?\d+(?:\.\d+)?\b|:\w+|%\(\w+\)s"
_COMPARED = re.compile(
    rf"{_COLUMN}(?P<sign><>|!=|<=|>=|=|<|>|(?:NOT\s+)?I?LIKE\b|BETWEEN\b|IS\s+(?:NOT\s+)?DISTINCT\s+FROM\b)\s*"
    rf"(?:ANY\s*\(\s*)?(?:DATE|TIMESTAMP|TIMESTAMPTZ)?\s*(?P<value>{_LITERAL})",
    re.IGNORECASE,
)
_LISTED = re.compile(
    rf"{_COLUMN}(?:NOT\s+)?(?:IN|=\s*ANY|<>\s*ALL)\s*\(\s*(?:ARRAY\s*\[)?\s*(?P<values>(?:{_LITERAL})[^()\]]*)",
    re.IGNORECASE,
)
_CASES = re.compile(rf"\bCASE\s+{_COLUMN}(?P<values>WHEN\b.*?)(?:\bEND\b|$)", re.IGNORECASE | re.DOTALL)
_WHEN = re.compile(rf"\bWHEN\s+({_LITERAL})", re.IGNORECASE)
_SET = re.compile(r"\bSET\b(.*?)(?=\bWHERE\b|\bFROM\b|;|$)", re.IGNORECASE | re.DOTALL)
_CONDITIONAL = re.compile(r"\b(?:WHEN\b.*?\bTHEN|CASE\s+\w+\s+WHEN\b.*?\bEND)\b", re.IGNORECASE | re.DOTALL)
_ABSENT = re.compile(r"\bNOT\s+EXISTS\s*\([^()]*\)", re.IGNORECASE)
_CHANGES = re.compile(r"\b(?:DELETE|UPDATE)\b", re.IGNORECASE)
_CALLED = re.compile(r"^\s*(?:SELECT|CALL)\s+[\w.]+\s*\((?P<values>[^()]*)\)\s*;?\s*$", re.IGNORECASE)
_BOUNDS = re.compile(r"\bFOR\s+VALUES\s+(?:FROM|IN)\b(?P<values>[^;]*)", re.IGNORECASE)
_REMOVED = re.compile(
    r"(?:\bjson_remove\s*\(\s*\"?(?P<argument>[a-z_]\w*)\"?\s*,\s*'\$\."
    r"|\"?\b(?P<operand>[a-z_]\w*)\"?(?:\s*::\s*jsonb)?\s*#?-\s*'\{?)(?P<key>[a-z_]\w*)\}?'",
    re.IGNORECASE,
)
# Telling enough to be found again in another column.
_IN_DOCUMENTS = (7411, 7412)
_EXECUTES = {"execute", "scalar", "scalars"}
_METHODS = {"in_", "not_in", "notin_", "like", "ilike", "startswith", "endswith", "contains", "is_distinct_from"}
_SIGNS: Mapping[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def values_named(path: Path) -> Named:
    """Return the values that the upgrade of a revision compares columns with, as far as they are written literally."""
    try:
        tree = parse_source(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return {}
    nodes = [node for top in without_downgrade(tree) for node in ast.walk(top)]
    constants: dict[str, list[object]] = {}
    for name, value in _constants(nodes):
        constants.setdefault(name, []).append(value)
    found: dict[str, dict[str, NamedValue]] = {}
    for comparison in _comparisons(nodes, constants):
        exact = not comparison.unequal
        for text in _around(comparison):
            known = found.setdefault(comparison.column.lower(), {})
            one = known.get(text, NamedValue(text, changing=False, exact=False))
            known[text] = NamedValue(text, one.changing or comparison.changing, one.exact or exact)
    return {column: tuple(islice(values.values(), _MOST)) for column, values in found.items()}


class _Comparison(NamedTuple):
    column: str
    sign: str
    value: object
    changing: bool = True

    @property
    def unequal(self) -> bool:
        """Whether values on either side of that one are told from each other."""
        return "<" in self.sign or ">" in self.sign


def _constants(nodes: list[ast.AST]) -> Iterator[tuple[str, object]]:
    """Give what names stand for: assigned, gone through in a loop, or given as a parameter."""
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from _bound(target, _literal(node.value))
        elif isinstance(node, ast.For | ast.comprehension):
            values = _literal(node.iter)
            for value in values if isinstance(values, list | tuple | set | dict) else ():
                yield from _bound(node.target, value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield str(key.value), _literal(value)
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg, _literal(node.value)


def _bound(target: ast.expr, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, list | tuple):
        for one, part in zip(target.elts, value, strict=False):
            yield from _bound(one, part)


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None


def _comparisons(nodes: list[ast.AST], constants: Mapping[str, list[object]]) -> Iterator[_Comparison]:
    inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            yield from _of_sql(_joined(node, constants), constants)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield from _of_sql(node.value, constants)
        elif isinstance(node, ast.Compare) and len(node.comparators) == 1:
            sign = _SIGNS.get(type(node.ops[0]), "=")
            for value in _values(node.comparators[0], constants):
                yield _Comparison(_named_by(node.left), sign, value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _of_call(node, node.func, constants)


def _of_call(node: ast.Call, method: ast.Attribute, constants: Mapping[str, list[object]]) -> Iterator[_Comparison]:
    if method.attr in _METHODS and node.args:
        sign = "LIKE" if "like" in method.attr else "="
        for value in _values(node.args[0], constants):
            yield _Comparison(_named_by(method.value), sign, value)
    elif method.attr in _EXECUTES and len(node.args) > 1 and isinstance(node.args[1], ast.Dict):
        # What a parameter is called, the column often is called as well: that of a function that deletes.
        for key, part in zip(node.args[1].keys, node.args[1].values, strict=True):
            if isinstance(key, ast.Constant):
                yield from (_Comparison(str(key.value), "=", one, changing=False) for one in _values(part, constants))


def _joined(node: ast.JoinedStr, constants: Mapping[str, list[object]]) -> str:
    """Return a text with the first value of each name in it."""
    parts = []
    for one in node.values:
        if isinstance(one, ast.Constant):
            parts.append(str(one.value))
        elif isinstance(one, ast.FormattedValue):
            parts.append(str(next(iter(_values(one.value, constants)), "")))
    return "".join(parts)


def _named_by(node: ast.expr) -> str:
    """Return the name of a column in an expression: ``t.c.state``, ``t.c["state"]``, ``sa.column("state")``."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Subscript):
        return _named_by(node.slice)
    return _named_by(node.args[0]) if isinstance(node, ast.Call) and node.args else ""


def _values(node: ast.expr, constants: Mapping[str, list[object]]) -> Iterator[object]:
    known = constants.get(node.id, []) if isinstance(node, ast.Name) else [_literal(node)]
    for value in known:
        yield from value if isinstance(value, list | tuple | set) else [value]


def _of_sql(text: str, constants: Mapping[str, list[object]]) -> Iterator[_Comparison]:
    """Give the comparisons in a statement; what it assigns is none, but the conditions of a CASE in there are."""
    changing = _CHANGES.search(text) is not None
    removed = list(_REMOVED.finditer(text)) if changing else []
    text = _SET.sub(lambda match: " ".join(_CONDITIONAL.findall(match[1])), _ABSENT.sub(" ", text))
    found = [(match["column"], match["sign"].upper(), match["value"]) for match in _COMPARED.finditer(text)]
    for match in _LISTED.finditer(text):
        found += [(match["column"], "=", part) for part in re.findall(_LITERAL, match["values"])]
    for match in _CASES.finditer(text):
        found += [(match["column"], "=", part) for part in _WHEN.findall(match["values"])]
    for match in removed:
        found += [(match["argument"] or match["operand"], "=", _document(match["key"], one)) for one in _IN_DOCUMENTS]
    for called in (_CALLED.match(text), _BOUNDS.search(text)):
        found += [(ANYWHERE, "=", part) for part in re.findall(_LITERAL, called["values"] if called else "")]
    for column, sign, part in found:
        yield from (_Comparison(column, sign, one, changing) for one in _read(part, constants))


def _document(key: str, number: int) -> str:
    """Return a JSON document with a key that is about to be removed, as a literal."""
    return "'" + json.dumps({key: number, "kept": True}) + "'"


def _read(literal: str, constants: Mapping[str, list[object]]) -> Iterator[object]:
    if literal.startswith((":", "%(")):
        for value in constants.get(literal.lstrip(":%(").removesuffix(")s"), []):
            yield from value if isinstance(value, list | tuple | set) else [value]
    elif literal.endswith("'"):
        yield literal.lstrip("Ee")[1:-1].replace("''", "'")
    else:
        yield float(literal) if "." in literal else int(literal)


def _around(comparison: _Comparison) -> Iterator[str]:
    """Give the values that a comparison tells from others."""
    sign, value = comparison.sign, comparison.value
    unequal = comparison.unequal
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield str(value)
        if unequal:
            yield from (str(value - 1), str(value + 1))
    elif isinstance(value, str):
        if "LIKE" in sign:
            yield value.strip("%").replace("%", "x").replace("_", "x")
        else:
            yield from _days_around(value) if unequal else (value,)


def _days_around(value: str) -> Iterator[str]:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        yield value
        return
    form = "%Y-%m-%d" if len(value) == len("2020-01-01") else "%Y-%m-%d %H:%M:%S"
    for days in (-1, 0, 1):
        yield f"{moment + timedelta(days=days):{form}}"
