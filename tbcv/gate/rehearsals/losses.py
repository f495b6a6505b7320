"""What was in a database and is not any more: rows and values that no other place took in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tbcv.gate.rehearsals.carried import left_behind
from tbcv.gate.rehearsals.contents import Column, Contents, TableRows, agree, by_key, is_alike, is_unchanged
from tbcv.gate.rehearsals.forms import (
    FEW,
    Value,
    are_bound,
    is_mangled,
    is_rewritten,
    is_same,
    is_spread,
    rounded,
    thinned,
    words_of,
)
from tbcv.migrate.snapshot import Difference

_REFERENCE = re.compile(
    r"constraint [^:]+: foreign key\s*\((?P<column>[^,)]+)\) references (?P<table>[^(]+)\((?P<key>[^,)]+)\)",
    re.IGNORECASE,
)
_TIMES = re.compile(r"timestamp|date", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RowsLost:
    """Something that was in the database and is not any more.

    Attributes:
        table: Where it was.
        column: The column; None where whole rows went.
        rows: How many.
        how: ``dropped``, ``deleted``, ``emptied``, ``narrowed`` or ``overwritten``.
    """

    table: str
    column: str | None
    rows: int
    how: str


class NewReference(NamedTuple):
    """A foreign key of one column: which, of which table, and which column of which other one it points at."""

    table: str
    column: str
    target: str
    key: str


def find_losses(before: Contents, after: Contents) -> tuple[RowsLost, ...]:
    """Find out what an upgrade lost; what it moved elsewhere, renamed or converted without a loss is not lost."""
    matched = _matched(before, after)
    found: list[RowsLost] = []
    for table in before.values():
        if not table.rows:
            continue
        now = matched.get(table.name)
        if now is None:
            if not _kept_elsewhere(table, before, after):
                found.append(RowsLost(table.name, None, len(table.rows), "dropped"))
            elif merged := _merged(table, before, after):
                found.append(RowsLost(table.name, None, merged, "deleted"))
            else:
                found += (
                    RowsLost(table.name, name, table.present(name).total(), "dropped")
                    for name in left_behind(table, before, after)
                )
            continue
        if is_unchanged(table, now):
            continue
        missing = len(table.rows) - len(now.rows)
        if missing > 0 and not _moved_rows(table, now, before, after):
            found.append(RowsLost(table.name, None, missing, "deleted"))
        found += _column_losses(table, now, before, after)
    return tuple(found)


def find_moved(before: Contents, after: Contents) -> tuple[tuple[str, int], ...]:
    """Return the tables that gave rows to others, and how many; those that are gone altogether are not among them."""
    return tuple(
        (name, missing)
        for name, table in before.items()
        if name in after
        and (missing := len(table.rows) - len(after[name].rows)) > 0
        and _moved_rows(table, after[name], before, after)
    )


def is_restored(loss: RowsLost, before: Contents, back: Contents) -> bool:
    """Tell whether what an upgrade took away is there again after the downgrade, all of it and nothing else."""
    table, now = before.get(loss.table), back.get(loss.table)
    if table is None or now is None:
        return False
    if loss.column is None:
        return agree(table, now)
    keys = [one.name for one in table.columns if one.is_key]
    if not keys or not {*keys, loss.column} <= now.positions.keys():
        return False
    here, there = table.positions[loss.column], now.positions[loss.column]
    earlier, later = by_key(table, keys), by_key(now, keys)
    pairs = [(row[here], later[key][there]) for key, row in earlier.items() if key in later]
    return len(pairs) == len(earlier) and all(
        old is None or (new is not None and is_same(old, new)) for old, new in pairs
    )


def without_dangling(before: Contents, schema: Difference) -> Contents:
    """Return the rows with NULL for what a new foreign key refuses: what points at nothing is nothing to lose.

    Args:
        before: What was there.
        schema: What an upgrade changed.
    """
    found = dict(before)
    for reference in new_references(schema):
        table, other = found.get(reference.table), before.get(reference.target)
        place = table.positions.get(reference.column) if table else None
        if table is None or other is None or place is None or reference.key not in other.positions:
            continue
        known = set(other.values(reference.key))
        rows = tuple(row if row[place] in known else (*row[:place], None, *row[place + 1 :]) for row in table.rows)
        found[table.name] = replace(table, rows=rows)
    return found


def new_references(schema: Difference) -> Iterator[NewReference]:
    """Give the foreign keys of one column that an upgrade made."""
    for fact in schema.unexpected:
        found = _REFERENCE.match(fact.line)
        if found:
            yield NewReference(fact.subject.removeprefix("table "), found["column"], found["table"], found["key"])


def _matched(before: Contents, after: Contents) -> Mapping[str, TableRows]:
    """Find for each table what has become of it."""
    by_identity = {table.identity: table for table in after.values()}
    same = {name: by_identity[one.identity] for name, one in before.items() if one.identity in by_identity}
    named = {name: after[name] for name in before if name in after}
    lasting = all(table.lasting for table in before.values())
    found: dict[str, TableRows] = {}
    for candidates in (same, named) if lasting else (named, same):
        taken = {table.name for table in found.values()}
        found |= {
            name: table
            for name, table in candidates.items()
            if name not in found and table.name not in taken and (table.name == name or is_alike(before[name], table))
        }
    taken = {table.name for table in found.values()}
    fresh = [table for table in after.values() if table.name not in taken]
    for name, table in before.items():
        if name not in found and (alike := next((one for one in fresh if _holds(one, table)), None)) is not None:
            found[name] = alike
    return found


def _holds(table: TableRows, wanted: TableRows) -> bool:
    """Tell whether a table has at least the columns of another and the same rows in them."""
    return wanted.positions.keys() <= table.positions.keys() and agree(table, wanted)


def _kept_elsewhere(table: TableRows, before: Contents, after: Contents) -> bool:
    """Tell whether every column of a table that is gone is found, value by value, in something new."""
    return all(_moved_values(table.present(column.name), before, after) for column in table.columns)


def _merged(table: TableRows, before: Contents, after: Contents) -> int:
    """Count the rows of a table that is gone which became one with others of its own where they went."""
    free = [column.name for column in table.columns if not column.is_key]
    for other in after.values():
        if other.name in before or not free or not set(free) <= other.positions.keys():
            continue
        # The table that took it in may have taken in more like it: all of them want their room.
        alike = [one for one in before.values() if one.name not in after and set(free) <= one.positions.keys()]
        wanted = sum((Counter(_projected(one, free)) for one in alike), Counter[tuple[Value, ...]]())
        missing = wanted - Counter(_projected(other, free))
        own = Counter(_projected(table, free))
        return sum(min(count, own[row] - 1) for row, count in missing.items() if own[row] > 1)
    return 0


def _projected(table: TableRows, names: Collection[str]) -> Iterator[tuple[Value, ...]]:
    places = [table.positions[name] for name in names]
    return (tuple(row[place] for place in places) for row in table.rows)


def _moved_rows(table: TableRows, now: TableRows, before: Contents, after: Contents) -> bool:
    """Tell whether as many rows as are missing came into another table that can hold them, or holds their values."""
    missing = len(table.rows) - len(now.rows)
    gone = [table.present(one.name) - now.present(one.name) for one in table.columns if one.name in now.positions]
    for other in after.values():
        if other.name == table.name:
            continue
        grown = len(other.rows) - (len(before[other.name].rows) if other.name in before else 0)
        fits = table.positions.keys() <= other.positions.keys() or _took_in(other, gone)
        if grown >= missing and fits:
            return True
    return False


def _took_in(other: TableRows, gone: Collection[Counter[str]]) -> bool:
    """Tell whether every value of rows that are gone stands in another table, whatever its columns are called."""
    held = [other.present(one.name) for one in other.columns]
    return any(gone) and all(any(values <= here for here in held) for values in gone)


def _moved_values(values: Counter[str], before: Contents, after: Contents) -> bool:
    """Tell whether values stand in a column that is new or held something else before."""
    if not values:
        return True
    for table in after.values():
        for column in table.columns:
            earlier = before.get(table.name)
            known = earlier is not None and column.name in earlier.positions
            now = table.present(column.name)
            if known and earlier is not None and earlier.present(column.name) == now:
                continue
            if now == values or (set(values) <= set(now) and now.total() >= values.total()):
                return True
            if earlier is None and set(values) == set(now):
                # A lookup table: each value once, and references to it in place of the values.
                return True
    return False


def _column_losses(table: TableRows, now: TableRows, before: Contents, after: Contents) -> Iterator[RowsLost]:
    missing = max(len(table.rows) - len(now.rows), 0)
    for column in table.columns:
        values, same = table.present(column.name), _counterpart(column, table, now)
        if same is not None and now.present(same.name) == values:
            continue
        if same is None or (column.is_key and table.lasting and same.identity != column.identity):
            # Where another column took the name of a key, what others knew the rows by is gone all the same.
            if not (_moved_values(values, before, after) or _stands_rewritten(column, table, now)):
                yield RowsLost(table.name, column.name, values.total(), "dropped")
            continue
        moved = _moved_values(values, before, after)
        gone = values.total() - now.present(same.name).total() - missing
        fewer = len(values) - len(now.present(same.name))
        if gone > 0 and not moved:
            yield RowsLost(table.name, column.name, gone, "emptied")
        elif missing == 0 and same.type != column.type and fewer > 0:
            yield RowsLost(table.name, column.name, fewer, "narrowed")
        elif missing == 0 and not moved and (rows := _overwritten(table, now, column, same)):
            yield RowsLost(table.name, column.name, rows, "overwritten")


def _stands_rewritten(column: Column, table: TableRows, now: TableRows) -> bool:
    """Tell whether a column that is gone stands in new ones of its table, in another form or in parts."""
    keys = [one.name for one in table.columns if one.is_key]
    fresh = [place for name, place in now.positions.items() if name not in table.positions]
    if not keys or not fresh or not set(keys) <= now.positions.keys():
        return False
    place, later = table.positions[column.name], by_key(now, keys)
    kept = [(row[place], later[key]) for key, row in by_key(table, keys).items() if key in later]
    columns = [[(old, row[number]) for old, row in kept] for number in fresh]
    parts = [pairs for pairs in columns if all(words_of(new) <= words_of(old) for old, new in pairs)]
    whole = [sum((words_of(new) for _, new in row), Counter[str]()) for row in zip(*parts, strict=True)]
    if parts and all(words_of(old) == words for (old, _), words in zip(kept, whole, strict=True)):
        return True
    return any(is_rewritten(pairs) for pairs in columns)


def _counterpart(column: Column, table: TableRows, now: TableRows) -> Column | None:
    """Find what has become of a column: itself, where the engine tells, or one of its name."""
    if table.identity == now.identity and table.lasting:
        same = next((one for one in now.columns if one.identity == column.identity), None)
        if same is not None:
            return same
    return now.columns[now.positions[column.name]] if column.name in now.positions else None


def _overwritten(table: TableRows, now: TableRows, column: Column, same: Column) -> int:
    """Count the values of a column that were there before, cannot be told from those after, and stand nowhere else."""
    keys = [one.name for one in table.columns if one.is_key]
    if not keys or column.is_key or not set(keys) <= now.positions.keys():
        return 0
    earlier, later = by_key(table, keys), by_key(now, keys)
    here, there = table.positions[column.name], now.positions[same.name]
    pairs = {(row[here], later[key][there]) for key, row in earlier.items() if key in later}
    moved = {(old, new) for old, new in pairs if old is not None and new is not None and not is_same(old, new)}
    # Of a document only what is in no other column is gone.
    elsewhere = {value for name in now.positions if name != same.name for value in now.present(name)}
    moved = {(old, new) for old, new in moved if not is_spread(old, new, elsewhere)}
    if not moved or _is_stamp(same, moved):
        return 0
    if _is_derived(table, now, column, same):
        return len(moved)
    mangled = {old for old, new in moved if is_mangled(old, new, converted=column.type != same.type)}
    mangled |= thinned(moved) | rounded(moved)
    sources, targets = Counter(old for old, _ in moved), Counter(new for _, new in pairs)
    # Where each value became one that nothing else became or was, whoever knows the rule can go back.
    confused = {old for old, new in moved if sources[old] > 1 or targets[new] > 1}
    lost = mangled | confused
    return sum(1 for row in earlier.values() if row[here] in lost)


def _is_derived(table: TableRows, now: TableRows, column: Column, same: Column) -> bool:
    """Tell whether what changed is computed from another column of its row, with which it had nothing to do before."""
    keys = [one.name for one in table.columns if one.is_key]
    earlier, later = by_key(table, keys), by_key(now, keys)
    here, there = table.positions[column.name], now.positions[same.name]
    rows = [(row, later[key]) for key, row in earlier.items() if key in later and row[here] != later[key][there]]
    rows = [(old, new) for old, new in rows if old[here] is not None and new[there] is not None]
    others = [one for one in now.positions if one in table.positions and one not in (*keys, same.name)]
    return len(rows) >= FEW and any(
        are_bound((new[now.positions[name]], new[there]) for _, new in rows)
        and not are_bound((old[table.positions[name]], old[here]) for old, _ in rows)
        for name in others
    )


def _is_stamp(column: Column, moved: Collection[tuple[str, str]]) -> bool:
    """Tell whether rows were merely marked as changed, as a trigger or a habit does."""
    return bool(_TIMES.match(column.type)) and len({new for _, new in moved}) == 1
