"""What the release before reads or leaves to be done as ever, and what means or does something else since."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

from tbcv.gate.rehearsals.contents import Contents, TableRows, by_key, is_unchanged
from tbcv.gate.rehearsals.forms import Value, form_of, number_of, time_of
from tbcv.gate.rehearsals.rehearsed import Silenced
from tbcv.migrate.snapshot import Difference, Snapshot

# So many rows tell a rule from a coincidence, and so much is no mere correction.
_FEW = 5
_MUCH = Decimal(5)
_NEARLY_ALL = 0.9
_CALLS = re.compile(r"\bexecute (?:function|procedure) ([^(\s]+)\(", re.IGNORECASE)
_CHANGES = re.compile(r"\b(?:UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?([\w.\"]+)(?:\s+SET|\s+WHERE|\s*;)", re.IGNORECASE)
_WRITES = re.compile(
    rf"{_CHANGES.pattern}|(?:;|\bTHEN\b|\bBEGIN\b|\bELSE\b|^)\s*NEW\.\w+\s*:?=", re.IGNORECASE | re.MULTILINE
)
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
        for column, words in _reinterpreted(table, after[name])
    )


def find_silenced(before: Snapshot, schema: Difference) -> tuple[Silenced, ...]:
    """Return the triggers that are gone while their tables stay.

    Those that only keep a record, or only refuse, are not counted: nothing that the application reads is wrong without
    them.

    Args:
        before: The schema before an upgrade.
        schema: What it changed.
    """
    gone = {one.subject for one in schema.missing if one.line.startswith("table ")}
    replaced = {one.subject for one in schema.unexpected if _DOES_LIKEWISE.match(one.line)}
    found = []
    for fact in schema.missing:
        body = _body(fact.line, before)
        if fact.line.startswith("trigger ") and fact.subject not in gone | replaced and _WRITES.search(body):
            table = fact.subject.removeprefix("table ")
            others = {one[1].lower() for one in _CHANGES.finditer(body)} - {table.lower()}
            found.append(Silenced(table, fact.line.removeprefix("trigger ").partition(":")[0], bool(others)))
    return tuple(found)


def _body(trigger: str, schema: Snapshot) -> str:
    """Return what a trigger does: its own text, or that of its function."""
    called = _CALLS.search(trigger)
    if called is None:
        return trigger
    name = called[1].rpartition(".")[2]
    return next((one.line for one in schema.facts if re.match(rf"function (\S+\.)?{re.escape(name)}\(", one.line)), "")


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
        if sum(old[here] is not None for old, _ in found) >= _FEW:
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
        pairs = [(before, after) for before, after in values if before is not None and after is not None]
        different = [(before, after) for before, after in pairs if before != after]
        # Of a few rows it would be a correction.
        rule = 2 * len(found) > len(rows)
        factor, shift = (_factor(pairs), _shift(different)) if rule else (None, None)
        if factor is not None:
            yield name, f"{float(factor):.4g} times what it was"
        elif shift is not None:
            yield name, f"{abs(shift)} {'later' if shift > timedelta() else 'earlier'} than it was"
        else:
            yield from ((name, f"a {new} that was a {old}") for old, new in _other_forms(different))


def _other_forms(pairs: Collection[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Give of what form the values were and are, where nearly all that changed are of another one."""
    forms = Counter((form_of(before), form_of(after)) for before, after in pairs)
    for (old, new), count in forms.most_common(1):
        if old != new and (new == "digest" or "" not in (old, new)) and count >= _NEARLY_ALL * len(pairs):
            yield old or "text", new


def _shift(pairs: Collection[tuple[str, str]]) -> timedelta | None:
    """Return by how much all times were moved, if it is the same for all but for summer time."""
    times = [(time_of(old), time_of(new)) for old, new in pairs if form_of(old) == form_of(new) == "time"]
    moved = Counter(new - old for old, new in times if old and new and (old.tzinfo is None) is (new.tzinfo is None))
    if moved.total() < _FEW or len(moved) > 2 or max(moved) - min(moved) > timedelta(hours=1):
        return None
    return moved.most_common(1)[0][0] or None


def _factor(pairs: Iterable[tuple[Value, Value]]) -> Decimal | None:
    """Return by what all numbers were multiplied, if it is much and the same for all."""
    numbers = [(number_of(old), number_of(new)) for old, new in pairs if old is not None and new is not None]
    finite = [(old, new) for old, new in numbers if old and new is not None and old.is_finite() and new.is_finite()]
    ratios = [(old, new, new / old) for old, new in finite]
    if len(ratios) < _FEW or len(ratios) < len([one for one, _ in numbers if one != 0]):
        return None
    # The largest number says it best: the others may have been rounded.
    _, _, factor = max(ratios, key=lambda one: abs(one[0]))
    if not (factor.is_finite() and (factor >= _MUCH or 0 < factor <= 1 / _MUCH)):
        return None
    near = [abs(new - old * factor) <= 1 + abs(old * factor) / 50 for old, new, _ in ratios]
    return factor if all(near) else None
