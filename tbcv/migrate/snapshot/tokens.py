"""The tokens of SQLite's SQL in one spelling, so that case, quotes, spaces and comments make no difference.

A token is a string that shows what it is: `'text'` a string, `"a b"` a name that has to be quoted, `"check"` a name
that would otherwise be a keyword, `check` a keyword, `name` any other name or word.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

# SQLite takes every character beyond ASCII for a letter, and five characters for spaces.
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<blob>[xX]'[0-9a-fA-F]*')
    | (?P<string>'(?:[^']|'')*')
    | (?P<doubtful>"(?:[^"]|"")*")
    | (?P<quoted>`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<name>[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*)
    | (?P<number>0[xX][0-9a-fA-F_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)
    | (?P<operator>\|\||<<|>>|<=|>=|<>|!=|==|->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[a-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*")
# Words that mean something else without quotes. Other keywords may be names as they are.
_RESERVED = frozenset(
    [
        "add",
        "all",
        "alter",
        "and",
        "as",
        "autoincrement",
        "between",
        "case",
        "check",
        "collate",
        "commit",
        "constraint",
        "create",
        "current_date",
        "current_time",
        "current_timestamp",
        "default",
        "deferrable",
        "delete",
        "distinct",
        "drop",
        "else",
        "escape",
        "except",
        "exists",
        "false",
        "foreign",
        "from",
        "group",
        "having",
        "if",
        "in",
        "index",
        "indexed",
        "insert",
        "intersect",
        "into",
        "is",
        "isnull",
        "join",
        "limit",
        "not",
        "nothing",
        "notnull",
        "null",
        "on",
        "or",
        "order",
        "primary",
        "references",
        "returning",
        "select",
        "set",
        "table",
        "then",
        "to",
        "transaction",
        "true",
        "union",
        "unique",
        "update",
        "using",
        "values",
        "when",
        "where",
    ]
)
# What may follow DEFAULT and is no string; VALUES does in the INSERT of a trigger.
_CONSTANTS = {"current_date", "current_time", "current_timestamp", "false", "null", "true", "values"}
_BEFORE_A_NAME = {"as", ".", "collate", "constraint", "references"}
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def lower(text: str) -> str:
    """Write in lower case what SQLite compares without regard to case: the letters of ASCII."""
    return text.translate(_LOWER)


def spell(name: str) -> str:
    """Write a name as a token."""
    name = lower(name)
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def as_name(token: str) -> str:
    """Return the token of a name from any token that stands where a name does; SQLite takes strings there too."""
    if token[0] in "'\"":
        return spell(token[1:-1].replace(token[0] * 2, token[0]))
    return spell(token) if _PLAIN.fullmatch(token) else token


def tokens(sql: str, names: AbstractSet[str] = frozenset()) -> list[str]:
    """Split a statement.

    Args:
        sql: The statement.
        names: Tokens of the names that it can refer to. What stands in double quotes and is none of them is a
            string to SQLite, so that its case counts.
    """
    raw = [(match.lastgroup, match.group()) for match in _TOKEN.finditer(sql) if match.lastgroup != "space"]
    known = names | {_name(kind, text) for kind, text in raw if kind in ("name", "quoted")}
    known |= {_name(kind, text) for position, (kind, text) in enumerate(raw) if _is_name(raw, position)}
    found = []
    for position, (kind, text) in enumerate(raw):
        if kind == "string":
            found.append(as_name(text) if _is_name(raw, position) else text)
        elif _is_default(raw, position) or (kind == "doubtful" and _name(kind, text) not in known):
            found.append(_string(text))
        elif kind in ("doubtful", "quoted"):
            found.append(_name(kind, text))
        else:
            found.append(lower(text))
    return found


def join(words: Sequence[str]) -> str:
    """Write tokens as text."""
    text = ""
    for word in words:
        glued = not text or text[-1] in "(." or word in (")", ",", ".", "(")
        text += word if glued else f" {word}"
    return text


def split(words: Sequence[str]) -> Iterator[list[str]]:
    """Split at the commas outside of parentheses."""
    depth = 0
    part: list[str] = []
    for word in words:
        depth += (word == "(") - (word == ")")
        if word == "," and depth == 0:
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


def group_end(words: Sequence[str], start: int) -> int:
    """Return the position after the group of parentheses that opens at a position."""
    depth = 0
    for position in range(start, len(words)):
        depth += (words[position] == "(") - (words[position] == ")")
        if depth == 0:
            return position + 1
    return len(words)


def bare(words: Sequence[str]) -> list[str]:
    """Take away the parentheses around a whole expression."""
    words = list(words)
    while words and words[0] == "(" and group_end(words, 0) == len(words):
        words = words[1:-1]
    return words


def _unquote(text: str) -> str:
    closing = "]" if text[0] == "[" else text[0]
    return text[1:-1].replace(closing * 2, closing)


def _string(word: str) -> str:
    plain = _unquote(word) if word[0] in '"`[' else word
    return "'" + plain.replace("'", "''") + "'"


def _name(kind: str | None, text: str) -> str:
    return spell(text if kind == "name" else _unquote(text))


def _is_name(raw: Sequence[tuple[str | None, str]], position: int) -> bool:
    """Tell whether a quoted text can be nothing but a name, from the words beside it."""
    if raw[position][0] not in ("string", "doubtful"):
        return False
    before = lower(raw[position - 1][1]) if position else ""
    after = raw[position + 1][1] if position + 1 < len(raw) else ""
    return before in _BEFORE_A_NAME or after == "."


def _is_default(raw: Sequence[tuple[str | None, str]], position: int) -> bool:
    """Tell whether a word is the default of a column: a string, whether quoted or not, unless it is a constant."""
    kind, text = raw[position]
    before = [lower(one) for _, one in raw[max(position - 2, 0) : position]]
    if kind not in ("name", "doubtful", "quoted") or before[-1:] != ["default"] or before[0] == "set":
        return False
    return kind != "name" or lower(text) not in _CONSTANTS
