"""What is lost, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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


def once(found: Iterable[Taken]) -> list[Taken]:
    """Leave out what goes with something larger, and what is said twice."""
    found = list(dict.fromkeys(found))
    tables = {one.table for one in found if one.column is None and one.how is How.DROPPED}
    columns = {(one.table, one.column) for one in found if one.how is How.DROPPED}

    def goes_with_larger(one: Taken) -> bool:
        if one.how is How.DROPPED and one.column is None:
            return False
        return one.table in tables or (one.how is not How.DROPPED and (one.table, one.column) in columns)

    return [one for one in found if not goes_with_larger(one)]
