"""Values for the columns of a schema that nobody has described but the engine: candidates, as SQL literals.

What a CHECK, a trigger or a domain accepts is found out by trying; here is what is worth trying, the most ordinary
value first. Literals instead of bound parameters: the engine reads them as the column wants them, as it does for
most drivers, and a statement can be shown as it was run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tbcv.gate.releases.shape import Column

_INTEGERS = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"(?<![\w.'])-?\d+(?:\.\d+)?(?![\w.'])")
# As long as fits into an index of PostgreSQL's, which takes a third of a page.
_LONG = 2000
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def quoted(value: object) -> str:
    """Return a value, as a driver gives it, as a literal."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return str(value)
        case bytes():
            return f"X'{value.hex()}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def candidates(column: Column, serial: int, checks: Iterable[str], dialect: str) -> list[str]:
    """Return literals that a column may take, the most ordinary first.

    Args:
        column: What they are for.
        serial: Gives distinct values where the type has enough of them.
        checks: Conditions that name the column; what they name may be what they want.
        dialect: The engine.
    """
    wanted = declared(column, checks)
    numbers = [number for check in checks for number in _NUMBER.findall(check)]
    if column.kind in _INTEGERS | {"numeric": 0, "float": 0}:
        near = [str(int(float(one)) + step) for one in numbers for step in (1, -1)]
        given = [*_numbers(column, serial), *numbers, *near]
    elif column.kind == "enum":
        given = [quoted(label) for label in column.labels]
    else:
        given = _ORDINARY.get(column.kind, _others)(column, serial, dialect)
    return list(dict.fromkeys([*given, *wanted]))


def declared(column: Column, checks: Iterable[str]) -> list[str]:
    """Return the values that a schema names for a column: labels, and the strings in its CHECKs."""
    if column.kind == "enum":
        return [quoted(label) for label in column.labels]
    if column.kind != "text":
        return []
    found = [one.replace("''", "'") for check in checks for one in _QUOTED.findall(check)]
    return [quoted(one) for one in dict.fromkeys(found) if column.length is None or len(one) <= column.length]


def extremes(column: Column) -> dict[str, str]:
    """Return the values at the limits of a column's type, by what they are."""
    if column.kind == "text":
        return {"of a value at the limit": quoted("x" * (column.length or _LONG)), "of an empty text": "''"}
    if column.kind in _INTEGERS:
        most = str(_INTEGERS[column.kind])
    elif column.kind == "numeric" and column.precision:
        scale = column.scale or 0
        whole = "9" * (column.precision - scale) or "0"
        most = f"{whole}.{'9' * scale}" if scale else whole
    else:
        return {}
    return {"of a value at the limit": most, "of a negative value": f"-{most}", "of zero": "0"}


def _numbers(column: Column, serial: int) -> list[str]:
    if column.kind == "numeric":
        scale = column.scale if column.scale is not None else 2
        digits = (column.precision or 12) - scale
        whole = serial % 10**digits if digits > 0 else 0
        exact = f"{whole}.{'125678912345'[:scale]}" if scale else str(whole)
        return [exact, str(min(whole, 1)), "0"]
    if column.kind == "float":
        return [f"{serial}.5", "0.5", "1", "0"]
    return [str(900 + serial), str(serial), "1", "0"]


def _text(column: Column, serial: int, _dialect: str) -> list[str]:
    length = column.length or 60
    word = f"word{serial}"
    if length < len(word):
        word = (chr(ord("a") + serial % 26) * length)[:length]
    date = _EPOCH + timedelta(days=serial)
    more = [f"w{serial}@example.org", f"https://example.org/{serial}", "{}", f"{date:%Y-%m-%d}", str(serial), "A", "a"]
    return [quoted(one) for one in (word, *more) if len(one) <= length] + ["''"]


def _moments(column: Column, serial: int, dialect: str) -> list[str]:
    form = {"date": "%Y-%m-%d", "time": "%H:%M:%S"}.get(column.kind, "%Y-%m-%d %H:%M:%S")
    if dialect == "sqlite" and column.kind == "timestamp":
        form += ".000000"
    return [f"'{_EPOCH + timedelta(days=days + serial, seconds=serial):{form}}'" for days in (0, 400, -4000)]


def _booleans(_column: Column, _serial: int, _dialect: str) -> list[str]:
    return ["TRUE", "FALSE"]


def _uuids(_column: Column, serial: int, dialect: str) -> list[str]:
    value = UUID(int=(0x7B << 120) | serial)
    return [quoted(value.hex if dialect == "sqlite" else value)]


def _documents(_column: Column, serial: int, _dialect: str) -> list[str]:
    return [f"'{{\"a\": {serial}}}'", "'[]'", "'{}'", "'\"a\"'", "'1'"]


def _bytes(_column: Column, serial: int, dialect: str) -> list[str]:
    digits = f"{serial % 256:02x}"
    return [f"'\\x{digits}'" if dialect == "postgresql" else f"X'{digits}'"]


def _others(_column: Column, serial: int, dialect: str) -> list[str]:
    if dialect == "sqlite":
        return [str(serial), f"'word{serial}'"]
    words = (
        f"word{serial}",
        f"10.0.0.{serial % 250}",
        f"08:00:2b:01:02:{serial % 90 + 10}",
        str(serial),
        "{}",
        "empty",
    )
    return [quoted(one) for one in (*words, "(1,1)", "((0,0),(1,1))", "1 day", "101", "[1,2,3]", "<a/>", "")]


_ORDINARY: dict[str, Callable[[Column, int, str], list[str]]] = {
    "text": _text,
    "boolean": _booleans,
    "timestamp": _moments,
    "date": _moments,
    "time": _moments,
    "interval": lambda _column, serial, _dialect: [f"'{serial} days'"],
    "uuid": _uuids,
    "json": _documents,
    "binary": _bytes,
    "array": lambda _column, _serial, _dialect: ["'{}'", "'{1}'", "'{a}'"],
}
