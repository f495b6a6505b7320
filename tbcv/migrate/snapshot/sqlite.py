"""The facts of a SQLite schema.

SQLite keeps the text of every CREATE statement, and no pragma tells all that stands in it: collations, CHECKs,
names of constraints, conflict clauses. So the text is read into tokens, which makes case, quotes, spaces and
comments irrelevant, and a table's is taken apart, since a constraint may stand at its column or after all columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from tbcv.migrate.snapshot.model import Fact

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<string>[xX]?'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<name>[^\W\d][\w$]*)
    | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d\w*)
    | (?P<operator>\|\||<<|>>|<=|>=|<>|!=|==|->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_schema "
    "WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND tbl_name <> 'alembic_version' AND sql IS NOT NULL"
)
_TABLE_CONSTRAINTS = {"constraint", "primary", "unique", "check", "foreign"}
_COLUMN_CONSTRAINTS = _TABLE_CONSTRAINTS - {"foreign"} | {
    "not",
    "null",
    "default",
    "collate",
    "references",
    "generated",
    "as",
}


def read_facts(connection: Connection) -> Iterator[Fact]:
    """Read the facts of a database."""
    shadows = {row[1] for row in connection.exec_driver_sql("PRAGMA table_list").all() if row[2] == "shadow"}
    for kind, name, table, sql in connection.exec_driver_sql(_OBJECTS).all():
        if name in shadows or table in shadows:
            continue
        tokens = _tokens(sql)
        if kind == "table" and tokens[1] != "virtual":
            yield from _table_facts(name.lower(), tokens)
        elif kind in ("table", "view"):
            yield Fact(f"{kind} {name.lower()}", f"{kind} {name.lower()}: {_join(tokens[1:])}")
        else:
            # CREATE INDEX and CREATE TRIGGER name their table themselves.
            yield Fact(f"table {table.lower()}", f"{kind} {table.lower()}.{name.lower()}: {_join(tokens[1:])}")


def _tokens(sql: str) -> list[str]:
    """Split a statement; words and quoted names become lower case, as SQLite compares them."""
    found = []
    for match in _TOKEN.finditer(sql):
        text = match.group()
        match match.lastgroup:
            case "space":
                continue
            case "quoted":
                found.append(_unquote(text).lower())
            case "name":
                found.append(text.lower())
            case _:
                found.append(text)
    return found


def _unquote(name: str) -> str:
    closing = "]" if name[0] == "[" else name[0]
    return name[1:-1].replace(closing * 2, closing)


def _join(tokens: Sequence[str]) -> str:
    text = ""
    for word in tokens:
        glued = not text or text[-1] in "(." or word in (")", ",", ".", "(")
        text += word if glued else f" {word}"
    return text


def _split(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Split at the commas outside of parentheses."""
    depth = 0
    part: list[str] = []
    for word in tokens:
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def _group(tokens: Sequence[str], start: int) -> int:
    """Return the position after the group of parentheses that opens at a position."""
    depth = 0
    for position in range(start, len(tokens)):
        depth += (tokens[position] == "(") - (tokens[position] == ")")
        if depth == 0:
            return position + 1
    return len(tokens)


def _bare(tokens: Sequence[str]) -> list[str]:
    """Take away the parentheses around a whole expression."""
    tokens = list(tokens)
    while tokens and tokens[0] == "(" and _group(tokens, 0) == len(tokens):
        tokens = tokens[1:-1]
    return tokens


def _table_facts(table: str, tokens: list[str]) -> Iterator[Fact]:
    subject = f"table {table}"
    start = tokens.index("(")
    end = _group(tokens, start)
    options = sorted(_join(part) for part in _split(tokens[end:]))
    yield Fact(subject, " ".join([f"table {table}", *options]))
    for part in _split(tokens[start + 1 : end - 1]):
        if part[0] in _TABLE_CONSTRAINTS:
            yield Fact(subject, _constraint(table, part))
        else:
            column = _Column(table, part)
            yield Fact(subject, column.line)
            for constraint in column.constraints:
                yield Fact(subject, _constraint(table, constraint))


def _constraint(table: str, tokens: list[str]) -> str:
    name = "unnamed"
    if tokens[0] == "constraint":
        name, tokens = tokens[1], tokens[2:]
    if tokens[0] == "check":
        end = _group(tokens, 1)
        tokens = ["check", "(", *_bare(tokens[1:end]), ")", *tokens[end:]]
    return f"constraint {table}.{name}: {_join(tokens)}"


@dataclass
class _Column:
    """One column definition, its constraints that could as well stand after all columns taken out."""

    table: str
    tokens: list[str]
    constraints: list[list[str]] = field(default_factory=list)
    line: str = ""

    def __post_init__(self) -> None:
        name = self.tokens[0]
        position = 1
        while position < len(self.tokens) and self.tokens[position] not in _COLUMN_CONSTRAINTS:
            position = _group(self.tokens, position) if self.tokens[position] == "(" else position + 1
        words = [_join(self.tokens[1:position])]
        kept: list[str] = []
        for clause in _clauses(self.tokens[position:]):
            named = clause[:2] if clause[0] == "constraint" else []
            body = clause[len(named) :]
            match body[0]:
                case "null":
                    continue
                case "primary" | "unique":
                    self.constraints.append([*named, *_keyed(name, body)])
                case "check":
                    self.constraints.append(clause)
                case "references":
                    self.constraints.append([*named, "foreign", "key", "(", name, ")", *body])
                case "default":
                    kept.append(_join(["default", *_bare(body[1:])]))
                case "generated" | "as":
                    kept.append(_generated(body))
                case _:
                    kept.append(_join(clause))
        self.line = " ".join([f"column {self.table}.{name}:", *filter(None, words), *sorted(kept)])


def _clauses(tokens: list[str]) -> Iterator[list[str]]:
    """Split what follows a column's type into its clauses."""
    clause: list[str] = []
    position = 0
    while position < len(tokens):
        word = tokens[position]
        starts = word in _COLUMN_CONSTRAINTS and not _continues(clause, word)
        if starts and clause:
            yield clause
            clause = []
        if word == "(":
            end = _group(tokens, position)
            clause += tokens[position:end]
            position = end
        else:
            clause.append(word)
            position += 1
    if clause:
        yield clause


def _continues(clause: list[str], word: str) -> bool:
    """Tell whether a word that can start a clause belongs to the one before it."""
    if not clause:
        return False
    body = clause[2:] if clause[0] == "constraint" else clause
    if not body or len(clause) == 1:
        return True  # CONSTRAINT name ...
    before = clause[-1]
    return (
        (word == "null" and before in ("not", "set", "default"))  # NOT NULL, ON DELETE SET NULL, DEFAULT NULL
        or (word == "default" and before == "set")
        or (
            (word == "not" and body[0] == "references")  # NOT DEFERRABLE
            and before != "null"
        )
        or (word == "as" and body[0] == "generated")
        or (before == "default" and word not in _TABLE_CONSTRAINTS)
        or before == "collate"
    )


def _keyed(column: str, body: list[str]) -> list[str]:
    """Write a column's PRIMARY KEY or UNIQUE as the constraint of the table that it is."""
    words = 2 if body[0] == "primary" else 1
    rest = body[words:]
    order = rest[:1] if rest[:1] in (["asc"], ["desc"]) else []
    shown = ["desc"] if order == ["desc"] else []
    return [*body[:words], "(", column, *shown, ")", *rest[len(order) :]]


def _generated(body: list[str]) -> str:
    start = body.index("(")
    end = _group(body, start)
    kind = body[end] if end < len(body) else "virtual"
    return f"generated always as ({_join(_bare(body[start:end]))}) {kind}"
