"""What the release before reads or leaves to be done as ever, and what means or does something else since."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

from tbcv.gate.rehearsals.contents import Contents, TableRows, by_key, is_unchanged
from tbcv.gate.rehearsals.forms import FEW, Value, factor_of, form_of, number_of, time_of
from tbcv.gate.rehearsals.rehearsed import Silenced
from tbcv.gate.releases.triggers import body_of
from tbcv.migrate.snapshot import Difference, Snapshot

# So much is no mere correction.
_MUCH = Decimal("1.5")
_NEARLY_ALL = 0.9
_CHANGES = re.compile(
    r"\b(?:UPDATE|DELETE\s+FROM|(?:INSERT\s+OR\s+)?REPLACE\s+INTO)\s+(?:ONLY\s+)?([\w.\"]+)"
    r"(?:\s+SET|\s+WHERE|\s*[;(]|\s+VALUES|\s+SELECT)",
    re.IGNORECASE,
)
_WRITES = re.compile(
    rf"{_CHANGES.pattern}|\bINSERT\s+INTO\b|(?:;|\bTHEN\b|\bBEGIN\b|\bELSE\b|^)\s*NEW\.\w+\s*:?=",
    re.IGNORECASE | re.MULTILINE,
)
_TEXTUAL = re.compile("char|text|clob", re.IGNORECASE)
_NUMERIC = re.compile("int|num|dec|real|floa|doub", re.IGNORECASE)
_UNIQUE = re.compile(r"(index|constraint) .*\bunique\b", re.IGNORECASE | re.DOTALL)
_DOES_LIKEWISE = re.compile(r"trigger |rule |column .*\bgenerated\b", re.IGNORECASE | re.DOTALL)


def find_reinterpreted(before: Contents, after: Contents) -> tuple[tuple[str, str, str], ...]:
    """Return the columns whose values mean something else under the same name, as table, column and what they are now.

    Either columns of a table have exchanged their values, or all numbers of one were multiplied, or all times moved, or
    what were times are numbers, or the like.
    """
    return tuple(
        (name, column, words)
        for name, table in before.items()
        if name in after and not is_unchanged(table, after[name])
        for column, words in (*_reinterpreted(table, after[name]), *_numbered(table, after[name]))
    )


def find_silenced(before: Snapshot, schema: Difference) -> tuple[Silenced, ...]:
    """Return the triggers that are gone while their tables stay.

    Those that only refuse are not counted: nothing that the application reads is wrong without them.

    Args:
        before: The schema before an upgrade.
        schema: What it changed.
    """
    gone = {one.subject for one in schema.missing if one.line.startswith("table ")}
    replaced = {one.subject for one in schema.unexpected if _DOES_LIKEWISE.match(one.line)}
    found = []
    for fact in schema.missing:
        body = body_of(fact.line, before)
        if fact.line.startswith("trigger ") and fact.subject not in gone | replaced and _WRITES.search(body):
            table = fact.subject.removeprefix("table ")
            others = {one[1].lower() for one in _CHANGES.finditer(body)} - {table.lower()}
            found.append(Silenced(table, fact.line.removeprefix("trigger ").partition(":")[0], bool(others)))
    return tuple(found)


def find_collided(before: Contents, after: Contents, schema: Difference) -> tuple[str, ...]:
    """Return what is unique since an upgrade, as lines, where rows were alike before it and some of the table stay."""
    return tuple(
        fact.line
        for fact in schema.unexpected
        if _UNIQUE.match(fact.line)
        and (name := fact.subject.removeprefix("table ")) in before
        and name in after
        and after[name].rows
        and _are_alike(before[name], after[name], fact.line.partition(":")[2])
    )


def _are_alike(table: TableRows, now: TableRows, definition: str) -> bool:
    """Tell whether some rows of a table have the same in all columns that a definition names."""
    named = [one for one in now.positions if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", definition)]
    if not named or not set(named) <= table.positions.keys():
        return False
    places = [table.positions[one] for one in named]
    rows = Counter(tuple((row[place] or "").casefold() for place in places) for row in table.rows)
    return max(rows.values(), default=0) > 1


def _reinterpreted(table: TableRows, now: TableRows) -> Iterator[tuple[str, str]]:
    keys = [one.name for one in table.columns if one.is_key]
    if not keys or not set(keys) <= now.positions.keys():
        return
    earlier, later = by_key(table, keys), by_key(now, keys)
    rows = [(row, later[key]) for key, row in earlier.items() if key in later]
    shared = [(name, table.positions[name], now.positions[name]) for name in table.positions if name in now.positions]
    changed: dict[str, list[tuple[tuple[Value, ...], tuple[Value, ...]]]] = {}
    for name, here, there in shared:
        found = [(old, new) for old, new in rows if old[here] != new[there]]
        if sum(old[here] is not None for old, _ in found) >= FEW:
            changed[name] = found

    def holds(name: str, other: str) -> bool:
        """Tell whether a column now has what another one had, wherever it changed."""
        here, there = table.positions[other], now.positions[name]
        return name != other and all(old[here] == new[there] for old, new in changed[name])

    for name, found in changed.items():
        other = next((one for one in changed if holds(name, one)), None)
        if other is not None and any(holds(one, name) for one in changed):
            yield name, f"what {other} was"
            continue
        here, there = table.positions[name], now.positions[name]
        values = [(old[here], new[there]) for old, new in rows]
        # Of a few rows it would be a correction.
        rule = _rule([(old, new) for old, new in values if old is not None and new is not None])
        if rule and 2 * len(found) > len(rows):
            yield name, rule
        else:
            different = [(old, new) for old, new in values if old is not None and new is not None and old != new]
            yield from ((name, f"a {new} that was a {old}") for old, new in _other_forms(different))


def _rule(pairs: Collection[tuple[str, str]]) -> str:
    """Say what became of all values alike; nothing where there is no such rule."""
    different = [(before, after) for before, after in pairs if before != after]
    if (factor := _factor(pairs)) is not None:
        return f"{float(factor):.4g} times what it was"
    if (total := _turned(different)) is not None:
        return f"{total:.4g} less what it was"
    if mark := _mark(different):
        return f"what it was with {mark!r} added to it"
    if _is_recased(different):
        return "what it was in another case"
    if (shift := _shift(different)) is not None:
        return f"{abs(shift)} {'later' if shift > timedelta() else 'earlier'} than it was"
    return ""


def _is_recased(pairs: Collection[tuple[str, str]]) -> bool:
    """Tell whether words by which rows are found are spelled otherwise; addresses are looked for in any case."""
    words = {old for old, _ in pairs if "@" not in old}
    return 4 * len(words) >= 3 * len(pairs) > 3 * FEW and all(old.lower() == new.lower() for old, new in pairs)


def _mark(pairs: Collection[tuple[str, str]]) -> str:
    """Return what was put before or behind all that changed, where each is a word of its own, by which it is found."""
    words = {old for old, _ in pairs if " " not in old.strip()}
    if len(pairs) < FEW or 4 * len(words) < 3 * len(pairs) or any(not old or old not in new for old, new in pairs):
        return ""
    marks = {tuple(new.split(old, 1)) for old, new in pairs}
    return "".join(next(iter(marks))) if len(marks) == 1 else ""


def _numbered(table: TableRows, now: TableRows) -> Iterator[tuple[str, str]]:
    """Give the columns of SQLite that held texts and take what looks like a number for one since."""
    for column in table.columns:
        place = now.positions.get(column.name)
        if place is None or table.lasting or not _TEXTUAL.search(column.type):
            continue
        if _NUMERIC.search(now.columns[place].type) and any(map(number_of, now.present(column.name))):
            yield column.name, "a number that was a text"


def _other_forms(pairs: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Give of what form the values were and are, where nearly all that changed are of another one."""
    forms = Counter((form_of(before), form_of(after)) for before, after in pairs)
    for (old, new), count in forms.most_common(1):
        if old != new and (new == "digest" or "" not in (old, new)) and count >= _NEARLY_ALL * len(pairs):
            yield old or "text", new


def _shift(pairs: Collection[tuple[str, str]]) -> timedelta | None:
    """Return by how much all times were moved, if it is the same for all but for summer time and lost fractions."""
    times = [(time_of(old), time_of(new)) for old, new in pairs if form_of(old) == form_of(new) == "time"]
    zoned = [(old, new) for old, new in times if old and new and (old.tzinfo is None) is (new.tzinfo is None)]
    moved = Counter(new - old.replace(microsecond=0 if not new.microsecond else old.microsecond) for old, new in zoned)
    if moved.total() < FEW or len(moved) > 2 or max(moved) - min(moved) > timedelta(hours=1):
        return None
    shift = moved.most_common(1)[0][0]
    # Less is what rounding leaves.
    return shift if abs(shift) >= timedelta(minutes=1) else None


def _turned(pairs: Collection[tuple[str, str]]) -> Decimal | None:
    """Return what all numbers were taken from, as those of a scale are that is turned round."""
    numbers = [(number_of(old), number_of(new)) for old, new in pairs]
    totals = {old + new for old, new in numbers if old is not None and new is not None}
    values = {old for old, _ in numbers}
    return totals.pop() if len(totals) == 1 and len(values) > 1 and None not in values else None


def _factor(pairs: Iterable[tuple[Value, Value]]) -> Decimal | None:
    """Return by what all numbers were multiplied, if it is much, or turns their sign, and the same for all."""
    factor = factor_of((old, new) for old, new in pairs if old is not None and new is not None)
    much = factor is not None and (factor >= _MUCH or factor < 0 or 0 < factor <= 1 / _MUCH)
    return factor if much else None
