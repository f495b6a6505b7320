"""Values for a column: what its type allows, what its name promises, what lies at the edges.

They are ordinary on purpose, as a production's would be: an address is an address and unlike the next one, a status
is one of a few words, a count is not negative, every column that may be empty is so now and then, some texts are as
long as their type allows and some are in other scripts. What fails on them would fail in production. The same
number always gives the same value.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Final
from uuid import UUID

from tbcv.gate.seeding.documents import Document
from tbcv.gate.seeding.patterns import text_like

_BEGIN = datetime(2018, 1, 1, 8, tzinfo=UTC)
_STEP = 197
# The numbers, of fifty, of texts and lists that are hard to take apart; those two further on are not.
_NOW_AND_THEN = {16, 21, 22}
_LATER = tuple(timedelta(days=days, seconds=seconds) for days, seconds in ((0, 1), (0, 61), (1, 1), (0, 3601), (3, 1)))
_PUT_FORWARD = (datetime(2024, 3, 31, 2, 20, tzinfo=UTC), datetime(2024, 3, 10, 2, 20, tzinfo=UTC))
_LATELY = datetime(2025, 2, 1, 8, tzinfo=UTC)
_APART = 8
_LONG_AGO = datetime(1970, 1, 2, tzinfo=UTC)
_WORDS = ("draft", "active", "pending", "closed", "archived")
_SCRIPTS = ("Zoë", "Ærø", "漢字", "Привет", "🙂 ok", "O'Neil", 'a "b"')
_UNIQUE_NAMES = {
    *("email", "mail", "slug", "username", "login", "handle", "sku", "code", "token", "key", "uuid", "guid", "hash"),
    *("number", "reference", "ref", "isbn", "url", "path", "name", "phone", "identifier", "external", "id", "domain"),
    *("serial", "checksum", "digest", "fingerprint", "nickname"),
}
_TYPED_NAMES = {
    *("email", "mail", "username", "login", "handle", "name", "nickname", "slug", "code", "domain"),
    *("sku", "tag", "label", "title", "city", "reference", "serial", "plate", "barcode", "licence", "license"),
    *("path", "file", "filename", "url", "key", "brand", "model", "category"),
}
_PEOPLE_NAMES = {"name", "author", "owner", "person", "contact", "customer", "guest", "assignee", "reviewer", "speaker"}
_NUMERIC_NAMES = {
    *("amount", "price", "quantity", "qty", "count", "total", "age", "year", "size", "weight", "score", "rate", "cost"),
    *("balance", "rank", "position", "duration", "length", "width", "height", "percent", "cents", "zip", "port"),
}
_JSON_NAMES = {"json", "payload", "metadata", "meta", "data", "settings", "extra", "attributes", "config", "options"}
_TIME_NAMES = {
    *("at", "date", "time", "timestamp", "on", "until", "since", "begins", "starts", "ends", "expires", "expiry"),
    *("due", "deadline", "when", "day", "born", "birthday"),
}
_PHONE_NAMES = {"phone", "mobile", "telephone", "tel", "fax"}
_FLAG_NAMES = {"is", "has", "can", "enabled", "active", "deleted", "flag", "visible", "verified"}
_NEVER_ZERO = {"year", "month", "day", "week", "port", "id"}
_LONGEST = 1200
_LONGEST_ADDRESS = 254
_FRACTION = "2534" * 10

CYCLE = 7 * 50
"""After so many rows values may come again where they need not differ: one of every sort has been among them."""


class Kind(StrEnum):
    """What values of a type look like."""

    INTEGER = "integer"
    NUMERIC = "numeric"
    FLOAT = "float"
    TEXT = "text"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    INTERVAL = "interval"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    ENUM = "enum"
    ARRAY = "array"
    OTHER = "other"


@dataclass(frozen=True)
class SeedColumn:
    """A column to be filled.

    Attributes:
        name: Its name.
        place: Its number in the table.
        type: Its type, as the engine prints it.
        kind: What values of the type look like.
        base: The type below a domain.
        nullable: Whether it may be empty.
        automatic: Whether the engine numbers it.
        default: The expression of its default.
        labels: The labels of its enumeration.
        texts: Texts that its CHECKs name.
        numbers: Numbers that its CHECKs name.
        patterns: What its CHECKs want it to match, as regular expressions.
        domain: The constraints of its domain.
        known: Values that rows of the history have in it.
        table: Its table, as it is written in SQL.
        document: What its documents look like, where they are known.
    """

    name: str
    place: int
    type: str
    kind: Kind
    base: str
    nullable: bool
    automatic: bool = False
    default: str = ""
    labels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    domain: str = ""
    known: tuple[str, ...] = ()
    table: str = ""
    document: Document | None = None

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its name."""
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.name).lower()
        return frozenset(re.split(r"[^a-z0-9]+", spaced))

    @cached_property
    def moments(self) -> tuple[str, ...]:
        """Those of the texts that are days or times, where it holds such."""
        return tuple(one for one in self.texts if fits(self, one)) if self.kind in (Kind.DATE, Kind.TIMESTAMP) else ()

    @cached_property
    def limits(self) -> tuple[int, ...]:
        """The numbers in the parentheses of its type."""
        match = re.search(r"\(([\d\s,]+)\)", self.base)
        return tuple(int(one) for one in match[1].split(",")) if match else ()


_KINDS = (
    (r"\[\]$", Kind.ARRAY),
    (r"range$|^point$", Kind.OTHER),
    (r"\bbool", Kind.BOOLEAN),
    (r"interval", Kind.INTERVAL),
    (r"\w*int\w*|\bserial|\boid\b", Kind.INTEGER),
    (r"numeric|decimal|money", Kind.NUMERIC),
    (r"float|double|real", Kind.FLOAT),
    (r"timestamp|datetime", Kind.TIMESTAMP),
    (r"^date$", Kind.DATE),
    (r"^time\b", Kind.TIME),
    (r"uuid", Kind.UUID),
    (r"json", Kind.JSON),
    (r"bytea|blob|binary", Kind.BYTES),
    (r"char|text|clob|string|citext|^name$|enum", Kind.TEXT),
)
_OTHERS = {
    "inet": "10.0.{}.{}/32",
    "cidr": "10.0.{}.{}/32",
    "macaddr": "08:00:2b:01:{:02x}:{:02x}",
    "tsvector": "word{} other{}",
    "int4range": "[{2},{3})",
    "int8range": "[{2},{3})",
    "numrange": "[{2},{3})",
    "daterange": "[2024-01-01,2024-01-03)",
    "tsrange": "[2024-01-01,2024-01-03)",
    "tstzrange": "[2024-01-01,2024-01-03)",
    "xml": "<a>{}{}</a>",
    "point": "({},{})",
    "bit": "1",
}


def kind_of(declared: str) -> Kind:
    """Return what values of a declared type look like."""
    lowered = declared.lower().strip()
    for pattern, kind in _KINDS:
        if re.search(pattern, lowered):
            return kind
    return Kind.OTHER if lowered else Kind.TEXT


def is_telling(column: SeedColumn) -> bool:
    """Tell whether people expect the values of a column to differ, though nothing demands it."""
    return column.kind is Kind.UUID or bool(column.words & _UNIQUE_NAMES)


def is_repeated(column: SeedColumn) -> bool:
    """Tell whether values that people expect to differ are the same here and there, as nothing keeps them from it."""
    return column.kind is not Kind.UUID and not _holds_uuids(column)


def is_typed_by_people(column: SeedColumn) -> bool:
    """Tell whether values may differ in nothing but their case."""
    return column.kind is Kind.TEXT and bool(column.words & _TYPED_NAMES)


def _holds_uuids(column: SeedColumn) -> bool:
    return column.limits in ((36,), (32,)) and bool(column.words & {"id", "uuid", "guid"})


def fits(column: SeedColumn, text: str) -> bool:
    """Tell whether a column may hold a text that was written for it, as far as its type tells."""
    read = _READERS.get(column.kind)
    if read is None:
        return column.kind is Kind.TEXT and (not column.limits or len(text) <= column.limits[0])
    try:
        read(text)
    except (ValueError, TypeError):
        return False
    return column.kind is not Kind.ENUM or text in column.labels


def value_of(column: SeedColumn, number: int, attempt: int, *, unique: bool) -> object:
    """Return a value for a column.

    Args:
        column: The column.
        number: The row's.
        attempt: How many rounds of rows the table's CHECKs have refused mostly.
        unique: Whether it must differ from that of every other number.

    Returns:
        None where it is empty; a text where the engine converts it.
    """
    if column.nullable and number % 7 == (column.place * 3) % 7:
        return None
    if column.kind is Kind.TEXT:
        return _text(column, number, attempt, unique=unique)
    if column.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT):
        if column.numbers and attempt:
            return _near(column, number, attempt)
        return _integer(column, number, unique=unique) if column.kind is Kind.INTEGER else _fraction(column, number)
    if column.moments:
        return column.moments[number % len(column.moments)]
    return _MAKERS[column.kind](column, number)


def tame_value_of(column: SeedColumn, number: int, attempt: int, *, unique: bool) -> object:
    """Return a value for a column that differs from others, is not empty, and fits where any value fits."""
    if column.kind is Kind.TEXT and not _holds_uuids(column):
        return _tame_text(column, number, unique=unique)
    if column.kind is Kind.JSON and column.document is not None:
        return _read_document(column.document, number, odd=False)
    if column.kind is Kind.ENUM and not unique:
        return next((one for one in column.labels if column.default.startswith(f"'{one}'")), column.labels[0])
    if column.kind in (Kind.DATE, Kind.TIMESTAMP):
        # Before all that a partition or a CHECK names, or else when most rows are from; what lasts is over before the
        # next begins.
        if column.kind is Kind.DATE:
            since = timedelta(days=_APART * number + column.place % _APART)
        else:
            since = timedelta(minutes=37 * number + column.place % 37)
        return _written(column.kind, (_LONG_AGO if column.moments else _LATELY) + since)
    if column.kind in (Kind.INTEGER, Kind.NUMERIC) or (column.kind is Kind.FLOAT and not column.numbers):
        return _tame_number(column, number, unique=unique)
    return even_value_of(replace(column, nullable=False), number, attempt, unique=unique)


def _tame_number(column: SeedColumn, number: int, *, unique: bool) -> object:
    if column.kind is Kind.FLOAT:
        return number % 10**5 + 0.375
    precision, scale = (*column.limits, 0)[:2] if column.limits else (9, 0)
    # Where a CHECK names numbers, few and small ones are the likeliest to be between them.
    several = 97 if column.numbers and not unique else 10 ** max(precision - scale, 1)
    whole = 1 + number % several if column.numbers else (1 + number) % several
    # Short of what rounds up to another number of digits, and of no use to a column of fewer.
    return f"{whole}.{_FRACTION[:scale]}" if column.kind is Kind.NUMERIC and scale else whole


def even_value_of(column: SeedColumn, number: int, attempt: int, *, unique: bool) -> object:
    """Return a value as in production, and none of those that only now and then are there."""
    odd = column.kind in (Kind.TEXT, Kind.ARRAY) and not unique and number % 50 in _NOW_AND_THEN
    return value_of(column, number + 2 if odd else number, attempt, unique=unique)


def plain_value_of(column: SeedColumn, number: int, attempt: int, *, unique: bool) -> object:
    """Return a value that may be read as something else: a code as a number, a name as two, a time as a time."""
    few = column.texts or column.known
    if column.kind is not Kind.TEXT or _holds_uuids(column) or (few and not unique):
        return tame_value_of(column, number, attempt, unique=unique)
    limit = column.limits[0] if column.limits else _LONGEST
    for words, maker in _PLAIN:
        made = maker(column, number) if column.words & words else ""
        if 0 < len(made) <= limit:
            return made
    return f"{number:06d}"[-limit:]


def _matching(column: SeedColumn, number: int, limit: int) -> str | None:
    """Return a text that its CHECK wants, where that names a pattern; one of several, if they are alternatives."""
    if not column.patterns:
        return None
    return text_like(column.patterns[number % len(column.patterns)], number, limit)


def _tame_text(column: SeedColumn, number: int, *, unique: bool) -> str:
    limit = column.limits[0] if column.limits else _LONGEST
    if (matching := _matching(column, number, limit)) is not None:
        return matching
    default = re.match(r"'([^']+)'", column.default)
    few = ((default[1],) if default else ()) + column.texts + column.known
    if few and not unique:
        return few[0]
    if is_typed_by_people(column):
        made = f"u{number}@a.io" if column.words & {"email", "mail"} else f"u{number}"
        return (made.capitalize() if number % 5 == 0 else made)[:limit]
    if column.document is not None:
        made = json.dumps(_read_document(column.document, number, odd=False))
        if len(made) <= limit:
            return made
    if column.words & _JSON_NAMES and limit > 20:
        return f'{{"a":{number}}}'
    # A number reads as one, and as JSON.
    return str(number % 10 ** min(limit, 9))


def _moment(column: SeedColumn, number: int) -> datetime:
    if number % 50 == 17 and "with time zone" not in column.base:
        # Clocks were put forward over it: in one half of the world it is no time at all.
        return _PUT_FORWARD[number // 50 % 2] + timedelta(seconds=number % 1800)
    # Some years, so that a day which somebody names has rows before it and behind it.
    since = timedelta(hours=_STEP * (number % CYCLE), minutes=number // CYCLE)
    # What comes later in a row mostly happens later, and not always after the same time.
    later = column.place * _LATER[number % len(_LATER)]
    return _BEGIN + since + later + timedelta(microseconds=number % 10 * 104_729)


def _written(kind: Kind, moment: datetime) -> str:
    """Write a moment as a date, or as a time without a zone."""
    return (
        moment.date().isoformat() if kind is Kind.DATE else moment.replace(tzinfo=None).isoformat(" ", "microseconds")
    )


def _own_uuid(column: SeedColumn, number: int) -> str:
    """Return a UUID that no other table has: a revision may put the rows of two of them together."""
    return _uuid(f"{column.table} {column.name} {number}")


def _uuid(seed: str) -> str:
    """Return a UUID that is always the same for a text."""
    digits = hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _other(column: SeedColumn, number: int) -> str | None:
    pattern = next((one for name, one in _OTHERS.items() if column.base.startswith(name)), None)
    return pattern.format(number // 250 % 250, number % 250, number, number + 1) if pattern else None


def _json(column: SeedColumn, number: int) -> object:
    if column.document is not None and number % 7 != 2:
        return _read_document(column.document, number, odd=True)
    if "array" in column.texts:
        return [{"a": number}, {"a": number + 1}]
    if number % 5 == 2:
        return {"a": number, "tags": ["x", "漢字"], "nested": {"b": None}}
    return {"a": number}


def _read_document(document: Document, number: int, *, odd: bool) -> object:
    """Return a document with what is read out of such, and something besides.

    Args:
        document: What is read.
        number: The row's.
        odd: Whether now and then something is missing, nothing, or not of its type.
    """
    made: dict[str, object] = {key: _entry(key, kind, number) for key, kind in document.entries.items()}
    if odd and made and number % 13 in (3, 5, 8):
        key = list(made)[number // 13 % len(made)]
        match number % 13:
            case 3:
                del made[key]
            case 5:
                made[key] = None
            case _:
                made[key] = "many"
    made["a"] = number
    return [made, {**made, "a": number + 1}] if document.listed else made


def _entry(key: str, kind: str, number: int) -> object:
    """Return the value of an entry that is made another type when it is read."""
    column = SeedColumn(key, 1, kind or "text", kind_of(kind or "text"), kind or "text", nullable=False)
    if column.kind in (Kind.INTEGER, Kind.NUMERIC, Kind.FLOAT, Kind.OTHER):
        return 1 + number % 97
    return (
        str(_named(column, number, unique=False)) if column.kind is Kind.TEXT else _MAKERS[column.kind](column, number)
    )


def _array(column: SeedColumn, number: int) -> object:
    element = column.base.removesuffix("[]")
    if column.labels:
        return [column.labels[number % len(column.labels)]]
    inner = SeedColumn(column.name, column.place, element, kind_of(element), element, nullable=False)
    first, second = (value_of(inner, one, 0, unique=False) for one in (number, number + 1))
    # Now and then one of them is missing, or there twice.
    return [first, {21: None, 22: first}.get(number % 50, second)]


_MAKERS: Final[Mapping[Kind, Callable[[SeedColumn, int], object]]] = {
    Kind.BOOLEAN: lambda _, number: number % 3 != 0,
    Kind.DATE: lambda column, number: _written(Kind.DATE, _moment(column, number)),
    Kind.TIME: lambda column, number: _moment(column, number).time().isoformat(),
    Kind.TIMESTAMP: lambda column, number: _written(Kind.TIMESTAMP, _moment(column, number)),
    Kind.INTERVAL: lambda _, number: f"{number} minutes",
    Kind.UUID: _own_uuid,
    Kind.JSON: _json,
    Kind.BYTES: lambda _, number: f"\\x{number:08x}",
    Kind.ENUM: lambda column, number: column.labels[number % len(column.labels)],
    Kind.ARRAY: _array,
    Kind.OTHER: _other,
}


def _document(text: str) -> object:
    read = json.loads(text)
    if not isinstance(read, dict):
        raise TypeError(text)
    return read


_READERS: Final[Mapping[Kind, Callable[[str], object]]] = {
    Kind.INTEGER: int,
    Kind.NUMERIC: float,
    Kind.FLOAT: float,
    Kind.DATE: date.fromisoformat,
    Kind.TIMESTAMP: datetime.fromisoformat,
    Kind.UUID: UUID,
    Kind.ENUM: str,
    Kind.JSON: _document,
}


def _is_none(column: SeedColumn, number: int) -> bool:
    """Tell whether a count or an amount is zero here."""
    return number % 50 == 23 and not column.words & _NEVER_ZERO


def _integer(column: SeedColumn, number: int, *, unique: bool) -> int:
    if column.words & _FLAG_NAMES and not unique:
        return 2 if number % 50 == 11 and not column.numbers else number % 2
    if unique or column.words & _UNIQUE_NAMES:
        return number + 1
    if (
        number % 50 == 11
        and column.base not in ("smallint", "SMALLINT", "TINYINT")
        and not column.numbers
        and not column.words & {"year", "month", "day", "age", "percent", "port"}
    ):
        return 2**33 + number if column.base.lower() in ("bigint", "int8") else 100_000 + number
    return 0 if _is_none(column, number) else 1 + number % 97


def _fraction(column: SeedColumn, number: int) -> object:
    if _is_none(column, number):
        return "0"
    if column.kind is Kind.FLOAT:
        # Larger than most columns of digits have room for, and whole still where floats are short.
        return 2.0**45 + number if number % 50 == 11 else number * 1.37 + 0.25
    precision, scale = (*column.limits, 0)[:2] if column.limits else (12, 4)
    if number % 50 == 11 and column.limits:
        return "9" * (precision - scale) + ("." + "9" * scale if scale else "")
    whole = 1 + number % min(997, max(10 ** (precision - scale) - 1, 1))
    return f"{whole}.{str(number * 7919 % 10**scale).zfill(scale)}" if scale else str(whole)


def _near(column: SeedColumn, number: int, attempt: int) -> object:
    """Return a number near those that a CHECK names."""
    base = float(column.numbers[number % len(column.numbers)])
    moved = base + (number // len(column.numbers)) % (3 if attempt == 1 else 1000) * (-1 if attempt == 3 else 1)
    return int(moved) if column.kind is Kind.INTEGER else str(moved)


def _text(column: SeedColumn, number: int, attempt: int, *, unique: bool) -> str:
    limit = column.limits[0] if column.limits else _LONGEST
    if attempt == 3:
        return _shaped(number, limit)
    if attempt < 2 and (matching := _matching(column, number, limit)) is not None:
        return matching
    if attempt == 2 and column.numbers:
        length = max(int(float(column.numbers[number % len(column.numbers)])), 1)
        return f"{number:x}".rjust(length, "a")[-length:]
    few = column.texts or column.known
    if few and not unique:
        return few[number % len(few)]
    made = _named(column, number, unique=unique)
    if unique or column.words & _UNIQUE_NAMES or len(made) > limit:
        return _fitted(_stretched(made, column, limit) if number % 50 == 13 else made, number, limit)
    return _odd(made, number, limit)


def _stretched(made: str, column: SeedColumn, limit: int) -> str:
    """Return a text that is as long as its type allows, and begins or ends as it did."""
    if limit <= 20 or column.words & _PHONE_NAMES or _holds_uuids(column):
        return made
    if "@" in made:
        return made.rjust(min(limit, _LONGEST_ADDRESS), "x")
    return made.ljust(limit, "x")


def _odd(made: str, number: int, limit: int) -> str:
    """Return, now and then, a text as long as its type allows, of another kind, a version, or one before a space."""
    if number % 50 == 13 and limit > 20:
        return (f"{made} {number} " + "lorem ipsum " * (limit // 12 + 1))[:limit]
    if number % 50 == 14:
        return _WORDS[0][:limit]
    if number % 50 == 16:
        # Nothing but digits and points, and no number; or a number, and not as numbers are written.
        return (f"{number % 10}.4.2" if number % 100 == 16 else f"00{number % 100}")[:limit]
    return f"{made} " if number % 50 == 15 and len(made) < limit else made


def _named(column: SeedColumn, number: int, *, unique: bool) -> str:
    """Return a text such as the name of its column promises."""
    if _holds_uuids(column):
        made = _own_uuid(column, number)
        return made if column.limits == (36,) else made.replace("-", "")
    if column.document is not None and number % 7 != 2:
        return json.dumps(_read_document(column.document, number, odd=True))
    # The first ones differ from number to number.
    for words, maker in _NAMED[:4] if unique else _NAMED:
        if column.words & words:
            return maker(column, number)
    if unique:
        return _told_apart(column, number)
    default = re.match(r"'([^']+)'", column.default)
    if default and number % 3:
        return default[1]
    return _SCRIPTS[number % len(_SCRIPTS)] if number % 9 == 4 else _WORDS[number % len(_WORDS)]


def _name(column: SeedColumn, number: int) -> str:
    script = f" {_SCRIPTS[number % len(_SCRIPTS)]}" if number % 9 == 4 and "name" in column.words else ""
    return f"{_told_apart(column, number)}{script}"


def _told_apart(column: SeedColumn, number: int) -> str:
    """Return a word of its own, written as some people write it."""
    return f"{column.name.capitalize() if number % 3 == 1 else column.name}-{number}"


def _email(_column: SeedColumn, number: int) -> str:
    """Return an address, written as some people write them."""
    return f"User{number}@Example.com" if number % 3 == 1 else f"user{number}@example.com"


def _phone(_column: SeedColumn, number: int) -> str:
    """Return a telephone number in one of the ways in which people write them."""
    area, line = 150 + number % 40, f"{number * 7919 % 10**7:07d}"
    ways = (f"+49 {area} {line}", f"0{area}/{line}", f"+49 ({area}) {line[:3]}-{line[3:]}", f"+49{area}{line}")
    return ways[number % len(ways)]


_NAMED: Final[tuple[tuple[AbstractSet[str], Callable[[SeedColumn, int], str]], ...]] = (
    ({"email", "mail"}, _email),
    ({"url", "uri"}, lambda _, number: f"https://example.com/{number}"),
    (_PHONE_NAMES, _phone),
    (_UNIQUE_NAMES, _name),
    (_NUMERIC_NAMES, lambda _, number: str(1 + number % 97)),
    (_JSON_NAMES, lambda _, number: f'{{"a":{number}}}' if number % 5 == 1 else f'{{"a": {number}}}'),
    (_TIME_NAMES, lambda _, number: (_BEGIN + timedelta(minutes=number)).replace(tzinfo=None).isoformat(" ")),
    (_FLAG_NAMES, lambda _, number: "true" if number % 2 else "false"),
)
_PLAIN: Final = (
    *(row for row in _NAMED if row[0] in ({"email", "mail"}, _JSON_NAMES, _TIME_NAMES)),
    (_PEOPLE_NAMES, lambda _, number: f"Ada{number} Byron{number}"),
)


def _fitted(text: str, number: int, limit: int) -> str:
    """Shorten a text and keep it different from others."""
    if len(text) <= limit:
        return text
    mark = _base36(number)
    return (text[: max(limit - len(mark), 0)] + mark)[-limit:]


def _base36(number: int) -> str:
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
        if number == 0:
            return digits


def _shaped(number: int, limit: int) -> str:
    """Return texts of the shapes that patterns usually ask for."""
    letters = "".join(chr(65 + number // 26**place % 26) for place in range(3))
    shapes = (
        f"user{number}@example.com",
        letters,
        letters[:2],
        f"{letters}-{number:04d}",
        f"{number:05d}",
        f"+4912345{number:05d}",
        f"https://example.com/{number}",
        letters.lower(),
        f"2024-01-{number % 28 + 1:02d}",
        f"#{number % 0xFFFFFF:06x}",
        _uuid(str(number)),
    )
    return shapes[number % len(shapes)][:limit]
