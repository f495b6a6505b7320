"""What a value looks like as a text, and whether another one is the same, the same in another form, or less."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

Value = str | None
"""A value as the engine spells it; None where there is none."""

FEW = 5
"""So many rows tell a rule from a coincidence."""

_DIGESTS = {32, 40, 56, 64, 96, 128}
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d|$)")
_BETWEEN_WORDS = re.compile(r"[\s,;/]+")
_PADDED = re.compile(r"0\d")
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}


def form_of(value: str) -> str:
    """Say what a value looks like: ``number``, ``time``, ``document``, ``digest``; empty where it is any text."""
    if number_of(value) is not None:
        return "number"
    if len(value) in _DIGESTS and _HEXADECIMAL.fullmatch(value):
        return "digest"
    return "time" if _MOMENT.match(value) else "document" if value[:1] in ("{", "[") else ""


def number_of(text: str) -> Decimal | None:
    """Return a value as a number; None where it is none."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def time_of(value: str) -> datetime | None:
    """Return a value as a time; None where it is none."""
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def is_same(old: str, new: str) -> bool:
    """Tell whether two texts are the same value, however its type writes it."""
    if old == new or (old in _BOOLEANS and _BOOLEANS[old] is _BOOLEANS.get(new)):
        return True
    number = number_of(old)
    if number is not None:
        # A code of digits is another one without the zeros in front.
        return number == number_of(new) and not (_PADDED.match(old) and not _PADDED.match(new))
    times = [time_of(one) for one in (old, new) if form_of(one) == "time"]
    return len(times) == 2 and None not in times and _in_utc(times[0]) == _in_utc(times[1])


def _in_utc(time: datetime | None) -> datetime | None:
    """Return a time without its zone; one that has none is taken as it is."""
    return time.astimezone(UTC).replace(tzinfo=None) if time is not None and time.tzinfo else time


def are_bound(pairs: Iterable[tuple[Value, Value]]) -> bool:
    """Tell whether times or numbers are as far from others as every one of them is."""
    present = [(one or "", other or "") for one, other in pairs]
    times = [(_in_utc(time_of(one)), _in_utc(time_of(other))) for one, other in present]
    if all(one is not None and other is not None for one, other in times):
        return len({other - one for one, other in times if one is not None and other is not None}) == 1
    numbers = [(number_of(one), number_of(other)) for one, other in present]
    if all(one is not None and other is not None for one, other in numbers):
        return len({other - one for one, other in numbers if one is not None and other is not None}) == 1
    return False


def is_spread(old: str, new: str, elsewhere: Collection[str]) -> bool:
    """Tell whether a document only gave up what now stands in other columns."""
    if form_of(old) != "document" or form_of(new) != "document":
        return False
    try:
        before, after = json.loads(old), json.loads(new)
    except ValueError:
        return False
    if not isinstance(before, dict) or not isinstance(after, dict):
        return False
    if any(key not in before or json.dumps(before[key]) != json.dumps(value) for key, value in after.items()):
        return False
    gone = [before[key] for key in before.keys() - after.keys()]
    return all(str(one) in elsewhere for one in gone)


def is_rewritten(pairs: Collection[tuple[Value, Value]]) -> bool:
    """Tell whether values are others in a new form, from which these could be read again.

    As numbers of another unit, texts with the same before or behind each, entries of documents, or words of which each
    has its own.

    Args:
        pairs: Of each row, what was there and what is.
    """
    present = [(old, new or "") for old, new in pairs if old is not None]
    forms = set(present)
    if not present or any(new == "" != old for old, new in present):
        return False
    if all(old in new for old, new in forms) and len({tuple(new.split(old, 1)) for old, new in forms if old}) == 1:
        return True
    if all(form_of(new) == "document" and old in _entries(new) for old, new in forms):
        return True
    numbers = [(number_of(old), number_of(new)) for old, new in forms]
    ratios = {new / old for old, new in numbers if old and new is not None and old.is_finite()}
    if len(ratios) == 1 and all(old is not None and new is not None for old, new in numbers):
        return True
    # Each of few values having one of its own is no coincidence, as it would be of many.
    olds, news = ({pair[side] for pair in forms} for side in (0, 1))
    return 1 < len(olds) == len(news) == len(forms) <= len(present) // 4


def _entries(document: str) -> set[str]:
    """Return the values of a document as texts."""
    try:
        read = json.loads(document)
    except ValueError:
        return set()
    values = read.values() if isinstance(read, dict) else read
    return {one if isinstance(one, str) else json.dumps(one) for one in values}


def words_of(value: Value) -> Counter[str]:
    """Return the words of a text, counted."""
    return Counter(filter(None, _BETWEEN_WORDS.split(value or "")))


def thinned(moved: Collection[tuple[str, str]]) -> set[str]:
    """Return the values out of which characters were taken, unless it was the same beginning or end everywhere."""
    # A number with its point elsewhere is another number, and no less of one.
    texts = [(old, new) for old, new in moved if form_of(old) != "number" or form_of(new) != "number"]
    shorter = [(old, new) for old, new in texts if len(new) < len(old) and _is_within(new, old)]
    if 2 * len(shorter) < len(moved):
        return set()
    fronts = {old.removesuffix(new) if old.endswith(new) else None for old, new in shorter}
    backs = {old.removeprefix(new) if old.startswith(new) else None for old, new in shorter}
    return set() if any(len(one) == 1 and None not in one for one in (fronts, backs)) else {old for old, _ in shorter}


def _is_within(part: str, whole: str) -> bool:
    """Tell whether a text is what is left of another one without some characters."""
    characters = iter(whole)
    return bool(part) and all(one in characters for one in part)


def factor_of(pairs: Iterable[tuple[str, str]]) -> Decimal | None:
    """Return by what all numbers were multiplied, if it is the same for all, whether or not they were rounded then."""
    numbers = [(number_of(old), number_of(new)) for old, new in pairs]
    finite = [(old, new) for old, new in numbers if old and new is not None and old.is_finite() and new.is_finite()]
    if len(finite) < FEW or len(finite) < len([one for one, _ in numbers if one != 0]):
        return None
    # The largest number says it best: the others may have been rounded.
    largest, its = max(finite, key=lambda one: abs(one[0]))
    factor = its / largest
    near = [abs(new - old * factor) <= 1 + abs(old * factor) / 50 for old, new in finite]
    return factor if factor.is_finite() and all(near) else None


def rounded(moved: Collection[tuple[str, str]]) -> set[str]:
    """Return the numbers that were multiplied, all by the same, and then lost digits."""
    factor = factor_of(moved)
    if not factor or factor == 1:
        return set()
    numbers = [(old, number_of(old), number_of(new)) for old, new in moved]
    return {
        old
        for old, number, other in numbers
        if number is not None and other is not None and abs(other - number * factor) > abs(number * factor) / 10**6
    }


def is_mangled(old: str, new: str, *, converted: bool) -> bool:
    """Tell whether a value that has changed was cut off, rounded, folded to one case, or is a mere digest now."""
    if form_of(new) == "digest" != form_of(old) and old.replace("-", "").casefold() != new.casefold():
        return True
    if old.casefold() == new.casefold() or (len(new) < len(old) and old.startswith(new)):
        return True
    number, other = number_of(old), number_of(new)
    if form_of(old) == form_of(new) == "time":
        before, after = time_of(old), time_of(new)
        return before is not None and after is not None and before.microsecond > 0 == after.microsecond
    if form_of(old) == "time" and other is not None:
        return _is_without_fraction(time_of(old), other)
    return converted and number is not None and other is not None


def _is_without_fraction(time: datetime | None, seconds: Decimal) -> bool:
    """Tell whether a time became the seconds since 1970 and lost what is less than one."""
    if time is None or not time.microsecond or seconds != seconds.to_integral_value():
        return False
    return abs((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - float(seconds)) < 1
