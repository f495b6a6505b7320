"""What is lost, as values; and the schema between two steps, as far as losses show in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Columns = Mapping[str, str]
"""The types of a table's columns by name."""

_TYPE = re.compile(r"^(?P<base>[a-z ]+)(?:\((?P<length>\d+)(?:,\s*(?P<scale>-?\d+))?\)(?P<rest>[a-z ]*))?$")
# Each holds every value of those before it.
_WIDER = (
    ("smallint", "integer", "bigint"),
    ("real", "double precision"),
    ("character varying", "text"),
    ("varchar", "text"),
)


class How(StrEnum):
    """What becomes of it: dropped for certain; deleted or changed where a statement meets rows that fit."""

    DROPPED = "dropped"
    DELETED = "deleted"
    CHANGED = "changed"


class Taken(NamedTuple):
    """What one step takes away of a table.

    Attributes:
        table: The table, by the name that it had before the plan.
        column: The column, likewise; None where it is the whole table, or rows of it.
        how: What becomes of it.
    """

    table: str
    column: str | None
    how: How


@dataclass(frozen=True, slots=True)
class Loss:
    """A table, a column, rows or values that will be gone.

    Attributes:
        table: The table.
        column: The column; None where it is the whole table, or rows of it.
        rows: How many rows the table has now, or how many of them hold a value in the column. So many go if it is
            dropped, and no more than so many if it is not.
        revision: The step that takes it away.
        how: What becomes of it.
    """

    table: str
    column: str | None
    rows: int
    revision: str = ""
    how: How = How.DROPPED


@dataclass(frozen=True, slots=True)
class Losses:
    """What a plan takes away, as far as that can be found out.

    Attributes:
        found: What it takes.
        unknown: Why there may be more; empty where the whole plan could be tried.
        tried_on: The engine that it was tried on, where that is not the database's own; else empty.
    """

    found: tuple[Loss, ...] = ()
    unknown: str = ""
    tried_on: str = ""


def widens(old: str, new: str) -> bool:
    """Whether a column of one type keeps every value when it becomes one of another.

    Args:
        old: As the engine prints it, as in ``character varying(20)``.
        new: Likewise.
    """
    if old.lower() == new.lower():
        return True
    before, after = _TYPE.match(old.lower()), _TYPE.match(new.lower())
    if before is None or after is None:
        return False
    kinds = [one["base"] + (one["rest"] or "") for one in (before, after)]
    if kinds[0] != kinds[1]:
        ranks = [one for one in _WIDER if set(kinds) <= set(one)]
        return after["length"] is None and any(one.index(kinds[0]) < one.index(kinds[1]) for one in ranks)
    if after["length"] is None:
        return True
    if before["length"] is None:
        return False
    scales = int(before["scale"] or 0), int(after["scale"] or 0)
    whole = int(before["length"]) - scales[0], int(after["length"]) - scales[1]
    return scales[0] <= scales[1] and whole[0] <= whole[1]


def once(found: Iterable[Taken]) -> list[Taken]:
    """Leave out what goes with something larger, and what is said twice."""
    found = list(dict.fromkeys(found))
    gone = {one.table for one in found if one.column is None and one.how is How.DROPPED}
    columns = {(one.table, one.column) for one in found if one.how is How.DROPPED}
    return [
        one
        for one in found
        if (one.how is How.DROPPED and (one.column is None or one.table not in gone))
        or (one.how is not How.DROPPED and one.table not in gone and (one.table, one.column) not in columns)
    ]
