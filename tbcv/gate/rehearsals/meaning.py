"""Columns that keep their names and not what they mean, seen by what became of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from tbcv.gate.rehearsals.contents import Contents, TableRows, Value, by_key, form_of, is_unchanged, number_of

# So many rows tell a rule from a coincidence, and so much is no mere correction.
_FEW = 5
_MUCH = Decimal(5)


def find_reinterpreted(before: Contents, after: Contents) -> tuple[tuple[str, str, str], ...]:
    """Return the columns whose values mean something else under the same name, as table, column and what they are now.

    Either columns of a table have exchanged their values, or all numbers of one were multiplied, or what were times
    are numbers, or the like.
    """
    return tuple(
        (name, column, words)
        for name, table in before.items()
        if name in after and not is_unchanged(table, after[name])
        for column, words in _reinterpreted(table, after[name])
    )


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
        factor = _factor([(old[here], new[there]) for old, new in rows]) if 2 * len(found) > len(rows) else None
        if factor is not None:
            yield name, f"{factor:.4g} times what it was"
        elif table.columns[here].type == now.columns[there].type:
            yield from ((name, f"a {new} that was a {old}") for old, new in _other_forms(found, here, there))


def _other_forms(
    changed: Iterable[tuple[tuple[Value, ...], tuple[Value, ...]]], here: int, there: int
) -> Iterator[tuple[str, str]]:
    """Give of what form the values were and are, where all of them are of another one."""
    forms = {
        (form_of(before), form_of(after))
        for old, new in changed
        if (before := old[here]) is not None and (after := new[there]) is not None
    }
    if len(forms) == 1:
        yield from ((old, new) for old, new in forms if old != new and "" not in (old, new))


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
