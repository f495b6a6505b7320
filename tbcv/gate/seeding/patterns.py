"""Texts that match the patterns of CHECKs: regular expressions of PostgreSQL, GLOBs of SQLite."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from random import Random

import rstr

# A column, in whatever PostgreSQL has wrapped it, and what it is compared with.
_COLUMN = r'\b{}\b"?(?:\)|\s|::[a-z][a-z ]*(?:\(\d+\))?)*'
_MATCHES = _COLUMN + r"~\*?\s*E?'(?P<pattern>(?:[^']|'')*)'"
_GLOB = _COLUMN + r"(?P<not>\bNOT\s+)?\bGLOB\s*'(?P<pattern>(?:[^']|'')*)'"
_COMPARED = re.compile(r"(?:~\*?|\bGLOB)\s*E?'(?:[^']|'')*'", re.IGNORECASE)
# What contains none but these characters: the usual way to say it, as GLOB repeats no set.
_NOTHING_BUT = re.compile(r"\*\[\^([^\]]+)\]\*")
_GLOB_PARTS = re.compile(r"\[[^\]]*\]|.", re.DOTALL)
_CLASSES = {
    "[:digit:]": "0-9",
    "[:alpha:]": "a-zA-Z",
    "[:alnum:]": "a-zA-Z0-9",
    "[:upper:]": "A-Z",
    "[:lower:]": "a-z",
    "[:space:]": " ",
    "[:xdigit:]": "0-9a-f",
}
_TRIES = 5
# Texts of a hundred characters match as well, and few columns hold them.
_PARTS = re.compile(r"\\.|\[\^?\]?[^\]]*\]|\{\d+,\}|[+*.]", re.DOTALL)
_OFTEN = {"+": "{1,8}", "*": "{0,8}", ".": "[a-z0-9]"}
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def without_patterns(check: str) -> str:
    """Return a CHECK without the patterns that something in it is compared with: they are no values."""
    return _COMPARED.sub("", check)


def patterns_in(check: str, name: str, numbers: tuple[str, ...] = ()) -> Iterator[str]:
    """Give the patterns that a CHECK wants a column to match, as regular expressions of Python.

    Args:
        check: Its condition.
        name: The column's; VALUE in a domain.
        numbers: The numbers in it; the least is the length of a text that is described by its characters alone.
    """
    for match in re.finditer(_MATCHES.format(re.escape(name)), check, re.IGNORECASE):
        pattern = match["pattern"].replace("''", "'")
        for kind, members in _CLASSES.items():
            pattern = pattern.replace(kind, members)
        yield pattern
    lengths = [int(one) for one in numbers if one.isdigit() and int(one)]
    for match in re.finditer(_GLOB.format(re.escape(name)), check, re.IGNORECASE):
        written = match["pattern"].replace("''", "'")
        only = _NOTHING_BUT.fullmatch(written)
        if match["not"] and only:
            yield f"[{only[1]}]{{{min(lengths, default=6)}}}"
        elif not match["not"]:
            yield "".join(map(_of_glob, _GLOB_PARTS.findall(written)))


def text_like(pattern: str, number: int, limit: int) -> str | None:
    """Return a text that matches a pattern, another one for most other numbers; None where there is none so short.

    Args:
        pattern: As `patterns_in` gives it.
        number: The row's.
        limit: How many characters it may have.
    """
    for attempt in range(_TRIES):
        made = _made(pattern, number * _TRIES + attempt)
        if made is not None and len(made) <= limit:
            return made
    return None


@lru_cache(maxsize=4096)
def _made(pattern: str, seed: int) -> str | None:
    try:
        short = _PARTS.sub(_tamed, pattern)
        made = rstr.Rstr(Random(seed)).xeger(short)  # noqa: S311  # rows, no secrets
        return made if re.search(pattern, made) else None
    except (re.error, FutureWarning, KeyError, IndexError, ValueError, OverflowError, RecursionError):
        return None  # what is a pattern to PostgreSQL alone


def _tamed(part: re.Match[str]) -> str:
    """Return a part of a pattern that repeats not as often, or that names a few ordinary characters."""
    if part[0].startswith("{"):
        least = int(part[0][1:-2])
        return f"{{{least},{least + 4}}}"
    if not part[0].startswith("[^"):
        return _OFTEN.get(part[0], part[0])
    return f"[{''.join(one for one in _LETTERS if re.match(part[0], one))}]"


def _of_glob(part: str) -> str:
    if len(part) > 1:
        return part
    return {"*": "[a-z0-9]*", "?": "[a-z0-9]"}.get(part, re.escape(part))
