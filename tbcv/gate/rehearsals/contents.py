"""The rows of a whole scratch database, and what became of them: lost, changed, not restored.

Rows are held as text, as the engine spells each value, so that a column can be followed through a change of its type.
A table and a column are recognised by the engine's own numbers where it has any, so that a rename is no loss; else
by their names, else by what they hold.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from types import NoneType
from typing import NamedTuple, cast

from sqlalchemy import Connection

from tbcv.migrate.snapshot import Difference

Value = str | None

# So many rows tell a rule from a coincidence, and so much is no mere correction.
_FEW = 5
_MUCH = Decimal(5)

_REFERENCE = re.compile(
    r"constraint [^:]+: foreign key\s*\((?P<column>[^,)]+)\) references (?P<table>[^(]+)\((?P<key>[^,)]+)\)",
    re.IGNORECASE,
)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d|$)")
_TIMES = re.compile(r"timestamp|date", re.IGNORECASE)
_BOOLEANS = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}

_TABLES = """
    SELECT c.oid::int8, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.deptype = 'e' AND e.objid = c.oid)
    ORDER BY 2
"""
_COLUMNS = """
    SELECT a.attrelid::int8, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), coalesce(k.key, false)
    FROM pg_attribute a
    LEFT JOIN LATERAL (SELECT a.attnum = ANY(i.indkey) AS key FROM pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisprimary) k ON true
    WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Column:
    """One column: what it is recognised by, its name, its type, and whether it belongs to the primary key."""

    identity: str
    name: str
    type: str
    is_key: bool


@dataclass(frozen=True)
class TableRows:
    """A table with all its rows.

    Attributes:
        identity: What it is recognised by.
        name: As it is written in SQL.
        columns: In the order of the rows' values.
        rows: In no particular order.
        lasting: Whether nothing else can ever be recognised by the same. Pages of SQLite are used again.
    """

    identity: str
    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    lasting: bool = True

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The places of columns by their names."""
        return {column.name: number for number, column in enumerate(self.columns)}

    def values(self, name: str) -> list[Value]:
        """Return one column."""
        place = self.positions[name]
        return [row[place] for row in self.rows]

    def present(self, name: str) -> Counter[str]:
        """Return the values of a column that are not NULL, counted."""
        return Counter(value for value in self.values(name) if value is not None)


Contents = Mapping[str, TableRows]
"""All tables of a database by their names."""


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


def read_contents(connection: Connection) -> Contents:
    """Read all rows of all tables, the version table excepted."""
    read = _read_sqlite if connection.dialect.name == "sqlite" else _read_postgresql
    return {table.name: table for table in read(connection)}


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
            continue
        if _unchanged(table, now):
            continue
        missing = len(table.rows) - len(now.rows)
        if missing > 0 and not _moved_rows(table, missing, before, after):
            found.append(RowsLost(table.name, None, missing, "deleted"))
        found += _column_losses(table, now, before, after)
    return tuple(found)


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


def find_reinterpreted(before: Contents, after: Contents) -> tuple[tuple[str, str, str], ...]:
    """Return the columns whose values mean something else under the same name, as table, column and what they are now.

    Either columns of a table have exchanged their values, or all numbers of one were multiplied.
    """
    return tuple(
        (name, column, words)
        for name, table in before.items()
        if name in after and not _unchanged(table, after[name])
        for column, words in _reinterpreted(table, after[name])
    )


def find_replaced(before: Contents, after: Contents) -> tuple[str, ...]:
    """Return the tables in whose place another one stands, with rows of theirs in it."""
    return tuple(
        name
        for name, table in before.items()
        if name in after
        and table.lasting
        and after[name].identity != table.identity
        and _is_alike(replace(table, lasting=False), after[name])
        and 2 * len(after[name].rows) > len(table.rows) > 0
    )


def find_unrestored(before: Contents, after: Contents) -> tuple[str, ...]:
    """Say how the rows after a downgrade differ from those before the upgrade.

    A NULL in whose place there is a value is no difference: nothing that was there is gone, and a backfill that is
    not taken back does nobody any harm.
    """
    return tuple(
        words for table in before.values() if table.name in after for words in _unrestored(table, after[table.name])
    )


def find_changes(before: Contents, after: Contents) -> tuple[str, ...]:
    """Return the tables whose rows differ at all."""
    names = sorted(before.keys() & after.keys())
    return tuple(name for name in names if not _agree(before[name], after[name]))


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
            if name not in found and table.name not in taken and (table.name == name or _is_alike(before[name], table))
        }
    taken = {table.name for table in found.values()}
    fresh = [table for table in after.values() if table.name not in taken]
    for name, table in before.items():
        if name not in found and (alike := next((one for one in fresh if _holds(one, table)), None)) is not None:
            found[name] = alike
    return found


def _is_alike(table: TableRows, other: TableRows) -> bool:
    """Tell whether two tables share most of their columns."""
    return table.lasting or 2 * len(table.positions.keys() & other.positions.keys()) > len(table.columns)


def _holds(table: TableRows, wanted: TableRows) -> bool:
    """Tell whether a table has at least the columns of another and the same rows in them."""
    return wanted.positions.keys() <= table.positions.keys() and _agree(table, wanted)


def _agree(table: TableRows, other: TableRows) -> bool:
    """Tell whether two tables hold the same in the columns that both have."""
    if _unchanged(table, other):
        return True
    return len(table.rows) == len(other.rows) and _shared(table, other) == _shared(other, table)


def _unchanged(table: TableRows, other: TableRows) -> bool:
    """Tell whether not even the order differs, which is quick to find out and mostly so."""
    return table.columns == other.columns and table.rows == other.rows


def _shared(table: TableRows, other: TableRows) -> Counter[tuple[Value, ...]]:
    places = [table.positions[name] for name in sorted(table.positions.keys() & other.positions.keys())]
    return Counter(tuple(row[place] for place in places) for row in table.rows)


def _kept_elsewhere(table: TableRows, before: Contents, after: Contents) -> bool:
    """Tell whether every column of a table that is gone is found, value by value, in something new."""
    return all(_moved_values(table.present(column.name), before, after) for column in table.columns)


def _moved_rows(table: TableRows, missing: int, before: Contents, after: Contents) -> bool:
    """Tell whether as many rows as are missing came into another table that can hold them."""
    for other in after.values():
        if other.name == table.name:
            continue
        grown = len(other.rows) - (len(before[other.name].rows) if other.name in before else 0)
        if grown >= missing and table.positions.keys() <= other.positions.keys():
            return True
    return False


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
    by_identity = {column.identity: column for column in now.columns}
    missing = max(len(table.rows) - len(now.rows), 0)
    for column in table.columns:
        values = table.present(column.name)
        same = by_identity.get(column.identity) if table.identity == now.identity and table.lasting else None
        if same is None and column.name in now.positions:
            same = now.columns[now.positions[column.name]]
        if same is None:
            if not _moved_values(values, before, after):
                yield RowsLost(table.name, column.name, values.total(), "dropped")
            continue
        present = now.present(same.name)
        if present == values:
            continue
        gone = values.total() - present.total() - missing
        if gone > 0 and not _moved_values(values, before, after):
            yield RowsLost(table.name, column.name, gone, "emptied")
        elif missing == 0 and same.type != column.type and len(present) < len(values):
            yield RowsLost(table.name, column.name, len(values) - len(present), "narrowed")
        elif missing == 0 and not _moved_values(values, before, after):
            overwritten = _overwritten(table, now, column, same)
            if overwritten:
                yield RowsLost(table.name, column.name, overwritten, "overwritten")


def _overwritten(table: TableRows, now: TableRows, column: Column, same: Column) -> int:
    """Count the values of a column that were there before, cannot be told from those after, and stand nowhere else."""
    keys = [one.name for one in table.columns if one.is_key]
    if not keys or column.is_key or not set(keys) <= now.positions.keys():
        return 0
    earlier, later = _by_key(table, keys), _by_key(now, keys)
    here, there = table.positions[column.name], now.positions[same.name]
    pairs = {(row[here], later[key][there]) for key, row in earlier.items() if key in later}
    moved = {(old, new) for old, new in pairs if old is not None and new is not None and not _is_same(old, new)}
    # Of a document only what is in no other column is gone.
    elsewhere = {value for name in now.positions if name != same.name for value in now.present(name)}
    moved = {(old, new) for old, new in moved if not _is_spread(old, new, elsewhere)}
    if not moved or _is_stamp(same, moved):
        return 0
    mangled = {old for old, new in moved if _is_mangled(old, new, converted=column.type != same.type)}
    sources, targets = Counter(old for old, _ in moved), Counter(new for _, new in pairs)
    # Where each value became one that nothing else became or was, whoever knows the rule can go back.
    confused = {old for old, new in moved if sources[old] > 1 or targets[new] > 1}
    lost = mangled | confused
    return sum(1 for row in earlier.values() if row[here] in lost)


def _reinterpreted(table: TableRows, now: TableRows) -> Iterator[tuple[str, str]]:
    keys = [one.name for one in table.columns if one.is_key]
    if not keys or not set(keys) <= now.positions.keys():
        return
    earlier, later = _by_key(table, keys), _by_key(now, keys)
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
        (_form(before), _form(after))
        for old, new in changed
        if (before := old[here]) is not None and (after := new[there]) is not None
    }
    if len(forms) == 1:
        yield from ((old, new) for old, new in forms if old != new and "" not in (old, new))


def _form(value: str) -> str:
    if _number(value) is not None:
        return "number"
    return "time" if _MOMENT.match(value) else "document" if value[:1] in ("{", "[") else ""


def _factor(pairs: Iterable[tuple[Value, Value]]) -> Decimal | None:
    """Return by what all numbers were multiplied, if it is much and the same for all."""
    numbers = [(_number(old), _number(new)) for old, new in pairs if old is not None and new is not None]
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


def _is_same(old: str, new: str) -> bool:
    if old == new or (old in _BOOLEANS and _BOOLEANS[old] is _BOOLEANS.get(new)):
        return True
    number = _number(old)
    return number is not None and number == _number(new)


def _is_stamp(column: Column, moved: Collection[tuple[str, str]]) -> bool:
    """Tell whether rows were merely marked as changed, as a trigger or a habit does."""
    return bool(_TIMES.match(column.type)) and len({new for _, new in moved}) == 1


def _is_spread(old: str, new: str, elsewhere: Collection[str]) -> bool:
    """Tell whether a document only gave up what now stands in other columns."""
    if _form(old) != "document" or _form(new) != "document":
        return False
    try:
        before, after = json.loads(old), json.loads(new)
    except ValueError:
        return False
    if not isinstance(before, dict) or not isinstance(after, dict) or not after.items() <= before.items():
        return False
    gone = [before[key] for key in before.keys() - after.keys()]
    return all(str(one) in elsewhere for one in gone)


def _is_mangled(old: str, new: str, *, converted: bool) -> bool:
    """Tell whether a value that has changed was cut off, rounded, or folded to one case."""
    if old.casefold() == new.casefold() or (len(new) < len(old) and old.startswith(new)):
        return True
    number, other = _number(old), _number(new)
    return converted and number is not None and other is not None and number != other


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _unrestored(table: TableRows, now: TableRows) -> Iterator[str]:
    if _agree(table, now):
        return
    keys = [column.name for column in table.columns if column.is_key]
    if not keys or not set(keys) <= now.positions.keys():
        yield f"the rows of {table.name} differ"
        return
    earlier, later = _by_key(table, keys), _by_key(now, keys)
    gone, added = earlier.keys() - later.keys(), later.keys() - earlier.keys()
    if gone:
        yield f"{len(gone)} rows of {table.name} are gone"
    if added:
        yield f"{len(added)} rows of {table.name} were not there before"
    for name in sorted(table.positions.keys() & now.positions.keys()):
        here, there = table.positions[name], now.positions[name]
        changed = sum(
            1
            for key in earlier.keys() & later.keys()
            if earlier[key][here] is not None and not _is_written_alike(earlier[key][here], later[key][there])
        )
        if changed:
            yield f"{table.name}.{name} has another value in {changed} rows"


def _is_written_alike(old: Value, new: Value) -> bool:
    """Tell whether two values are the same but for how a document or a time is written."""
    if old == new or old is None or new is None:
        return old == new
    read = {"document": json.loads, "time": datetime.fromisoformat}.get(_form(old))
    try:
        return read is not None and _form(old) == _form(new) and bool(read(old) == read(new))
    except (ValueError, TypeError):
        return False


def _by_key(table: TableRows, keys: Iterable[str]) -> Mapping[tuple[Value, ...], tuple[Value, ...]]:
    places = [table.positions[name] for name in keys]
    return {tuple(row[place] for place in places): row for row in table.rows}


def _read_postgresql(connection: Connection) -> Iterator[TableRows]:
    columns: dict[int, list[Column]] = {}
    for oid, number, name, kind, is_key in connection.exec_driver_sql(_COLUMNS):
        columns.setdefault(oid, []).append(Column(str(number), name, kind, is_key))
    for oid, name in connection.exec_driver_sql(_TABLES).all():
        listed = columns.get(oid, [])
        selected = ", ".join('"' + column.name.replace('"', '""') + '"::text' for column in listed) or "NULL"
        rows = connection.exec_driver_sql(f"SELECT {selected} FROM {name}").all()
        yield TableRows(str(oid), name, tuple(listed), tuple(tuple(row) for row in rows))


def _read_sqlite(connection: Connection) -> Iterator[TableRows]:
    listed = connection.exec_driver_sql("PRAGMA table_list").all()
    roots = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, rootpage FROM sqlite_schema")}
    names = [row[1] for row in listed if row[0] == "main" and row[2] == "table" and row[1] != "alembic_version"]
    for name in sorted(one for one in names if not one.startswith("sqlite_")):
        quoted = '"' + name.replace('"', '""') + '"'
        info = connection.exec_driver_sql(f"PRAGMA table_xinfo({quoted})").all()
        columns = tuple(Column(row[1], row[1], row[2], bool(row[5])) for row in info if row[6] != 1)
        selected = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
        rows = connection.exec_driver_sql(f"SELECT {selected} FROM {quoted}").all()
        root = roots.get(name, name)
        texts = [_texts(values) for values in zip(*rows, strict=True)]
        yield TableRows(str(root), name, columns, tuple(zip(*texts, strict=True)), lasting=False)


def _texts(values: Sequence[object]) -> Sequence[Value]:
    """Spell the values of a column; most columns hold nothing but texts already."""
    if {str, NoneType}.issuperset(map(type, values)):
        return cast("Sequence[Value]", values)
    return [_text(value) for value in values]


def _text(value: object) -> Value:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, float) and value.is_integer():
        # A number may change its spelling with the affinity of its column, and be the same.
        return str(int(value))
    return str(value)
