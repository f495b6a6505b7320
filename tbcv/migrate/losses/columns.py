"""The columns of a database between two steps, and whether a column's new type keeps its values."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sqlalchemy import Connection, inspect

from tbcv.migrate.bookkeeping import BOOKKEEPING

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


def read_columns(connection: Connection) -> dict[str, Columns]:
    """Return the columns of every table that can be named without its schema, with their types."""
    inspector = inspect(connection)
    names = sorted(set(inspector.get_table_names()) - BOOKKEEPING)
    return {name: {one["name"]: str(one["type"]) for one in inspector.get_columns(name)} for name in names}


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
