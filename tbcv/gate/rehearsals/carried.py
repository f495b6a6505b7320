"""What the rows of a table that is gone have taken with them to where they are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from tbcv.gate.rehearsals.contents import Column, Contents, TableRows, by_key
from tbcv.gate.rehearsals.forms import FEW, Value

# A column of no more values tells few rows from others.
_FEW_VALUES = 6
Row = tuple[Value, ...]


def left_behind(table: TableRows, before: Contents, after: Contents) -> Iterator[str]:
    """Give the columns of few values that the rows of a table which is gone have not where they went.

    Such values stand in many a column, so that to find them somewhere tells nothing.

    Args:
        table: What it was.
        before: All that was there.
        after: All that is.
    """
    few = [one for one in table.columns if not one.is_key and len(set(table.values(one.name))) in range(2, _FEW_VALUES)]
    grown = [one for one in after.values() if len(one.rows) > len(before[one.name].rows if one.name in before else ())]
    if len(grown) != 1 or not few:
        return
    telling = [one for one in table.columns if not one.is_key and one not in few]
    pairs = _followed(table, _grown(grown[0], before), telling)
    if 2 * len(pairs) < len(table.rows) or len(pairs) < FEW:
        return
    for column in few:
        place = table.positions[column.name]
        if not any(_tells([(new[there], old[place]) for old, new in pairs]) for there in grown[0].positions.values()):
            yield column.name


def _grown(table: TableRows, before: Contents) -> TableRows:
    """Return a table with its new rows alone."""
    known, keys = before.get(table.name), [one.name for one in table.columns if one.is_key]
    if known is None or not keys or not set(keys) <= known.positions.keys():
        return table
    earlier = by_key(known, keys)
    return replace(table, rows=tuple(row for key, row in by_key(table, keys).items() if key not in earlier))


def _followed(table: TableRows, other: TableRows, columns: Collection[Column]) -> list[tuple[Row, Row]]:
    """Return the rows of a table with what became of them in another one, where their values tell them apart."""
    places: dict[int, int] = {}
    # Those that kept their names first, for no other to take their places.
    for column in sorted(columns, key=lambda one: one.name not in other.positions):
        values = table.present(column.name).keys()
        free = [one for one, place in other.positions.items() if place not in places.values()]
        names = sorted(free, key=lambda one: one != column.name)
        found = next((one for one in names if values <= other.present(one).keys()), None)
        if found is not None:
            places[table.positions[column.name]] = other.positions[found]
    earlier, later = (
        {row: rows[0] for row, rows in _by_values(one, list(sides)).items() if len(rows) == 1}
        for one, sides in ((table, places.keys()), (other, places.values()))
    )
    return [(row, later[values]) for values, row in earlier.items() if values in later]


def _by_values(table: TableRows, places: Collection[int]) -> Mapping[Row, list[Row]]:
    found: dict[Row, list[Row]] = {}
    for row in table.rows:
        found.setdefault(tuple(row[place] for place in places), []).append(row)
    return found


def _tells(pairs: Collection[tuple[Value, Value]]) -> bool:
    """Tell whether the second ones follow from the first ones, of which there are few, or from their absence."""
    absences = {(one is None, other) for one, other in pairs}
    if len({absent for absent, _ in absences}) == len(absences):
        return True
    known = {one for one, _ in pairs}
    return 4 * len(known) <= len(pairs) and len(known) == len(set(pairs))
