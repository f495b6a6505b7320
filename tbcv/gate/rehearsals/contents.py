"""The rows of a whole scratch database, and how two moments of it differ.

Rows are held as text, as the engine spells each value, so that a column can be followed through a change of its type.
A table and a column are recognised by the engine's own numbers where it has any, so that a rename is no loss; else
by their names, else by what they hold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import NoneType
from typing import Any, cast

from sqlalchemy import Connection, Row
from sqlalchemy.exc import DBAPIError

from tbcv.gate.rehearsals.forms import Value, form_of

_TABLES = """
    SELECT c.oid::int8, c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'alembic_version'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.deptype = 'e' AND e.objid = c.oid)
    ORDER BY 2
"""
# How SQLite lists columns that cannot be seen, and those that are computed when they are read.
_HIDDEN, _VIRTUAL = 1, 2
_COLUMNS = """
    SELECT a.attrelid::int8, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), coalesce(k.key, false),
        a.attgenerated::text = 'v'
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN LATERAL (SELECT a.attnum = ANY(i.indkey) AS key FROM pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisprimary) k ON true
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2
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


def read_contents(connection: Connection) -> Contents:
    """Read all rows of all tables, the version table excepted."""
    read = _read_sqlite if connection.dialect.name == "sqlite" else _read_postgresql
    return {table.name: table for table in read(connection)}


def find_replaced(before: Contents, after: Contents) -> tuple[str, ...]:
    """Return the tables in whose place another one stands, with rows of theirs in it."""
    return tuple(
        name
        for name, table in before.items()
        if name in after
        and table.lasting
        and after[name].identity != table.identity
        and is_alike(replace(table, lasting=False), after[name])
        and 2 * len(after[name].rows) > len(table.rows) > 0
    )


def find_unrestored(
    before: Contents,
    after: Contents,
    sound: Contents | None = None,
    retyped: Collection[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """Say how the rows after a downgrade differ from those before the upgrade.

    A NULL in whose place there is a value is a difference as well: nobody can tell any more what was not known.

    Args:
        before: What was there before the upgrade.
        after: What is there after the downgrade.
        sound: The former, with NULL for what nobody misses; None where all of it is to be there.
        retyped: Columns, as table and column, that had another type meanwhile. How a document is written counts there.
    """
    return tuple(
        words
        for table in before.values()
        if table.name in after
        for words in _unrestored(
            table,
            after[table.name],
            (sound or before)[table.name],
            {column for name, column in retyped if name == table.name},
        )
    )


def find_changes(before: Contents, after: Contents) -> tuple[str, ...]:
    """Return the tables whose rows differ at all."""
    names = sorted(before.keys() & after.keys())
    return tuple(name for name in names if not agree(before[name], after[name]))


def is_alike(table: TableRows, other: TableRows) -> bool:
    """Tell whether two tables share most of their columns."""
    return table.lasting or 2 * len(table.positions.keys() & other.positions.keys()) > len(table.columns)


def agree(table: TableRows, other: TableRows) -> bool:
    """Tell whether two tables hold the same in the columns that both have."""
    if is_unchanged(table, other):
        return True
    return len(table.rows) == len(other.rows) and _shared(table, other) == _shared(other, table)


def is_unchanged(table: TableRows, other: TableRows) -> bool:
    """Tell whether not even the order differs, which is quick to find out and mostly so."""
    return table.columns == other.columns and table.rows == other.rows


def _shared(table: TableRows, other: TableRows) -> Counter[tuple[Value, ...]]:
    places = [table.positions[name] for name in sorted(table.positions.keys() & other.positions.keys())]
    return Counter(tuple(row[place] for place in places) for row in table.rows)


def _unrestored(table: TableRows, now: TableRows, sound: TableRows, retyped: Collection[str]) -> Iterator[str]:
    if agree(table, now) or agree(sound, now):
        return
    keys = [column.name for column in table.columns if column.is_key]
    if not keys or not set(keys) <= now.positions.keys():
        yield f"the rows of {table.name} differ"
        return
    earlier, later, wanted = by_key(table, keys), by_key(now, keys), by_key(sound, keys)
    gone, added = earlier.keys() - later.keys(), later.keys() - earlier.keys()
    if gone:
        yield f"{len(gone)} rows of {table.name} are gone"
    if added:
        yield f"{len(added)} rows of {table.name} were not there before"
    for name in sorted(table.positions.keys() & now.positions.keys()):
        here, there = table.positions[name], now.positions[name]
        pairs = [
            (earlier[key][here], later[key][there])
            for key in earlier.keys() & later.keys()
            if not (wanted[key][here] is None and earlier[key][here] is not None)
        ]
        spelled = name in retyped or "json" not in table.columns[here].type.lower()
        yield from _changed(f"{table.name}.{name}", pairs, spelled=spelled)


def _changed(name: str, pairs: Iterable[tuple[Value, Value]], *, spelled: bool) -> Iterator[str]:
    """Say of a column how its values have changed; how documents are written counts if they are to be spelled alike."""
    different = [pair for pair in pairs if pair[0] != pair[1]]
    others = sum(1 for pair in different if not _is_written_alike(*pair))
    if others:
        yield f"{name} has another value in {others} rows"
    elif different and spelled:
        yield f"the documents of {name} are written otherwise in {len(different)} rows"


def _is_written_alike(old: Value, new: Value) -> bool:
    """Tell whether two values are the same but for how a document is written: its spaces, and the order of its keys."""
    if old is None or new is None or not form_of(old) == form_of(new) == "document":
        return old == new
    try:
        # Not as Python compares, to which true is 1.
        return json.dumps(json.loads(old), sort_keys=True) == json.dumps(json.loads(new), sort_keys=True)
    except ValueError:
        return old == new


def by_key(table: TableRows, keys: Iterable[str]) -> Mapping[tuple[Value, ...], tuple[Value, ...]]:
    """Return the rows of a table by their values in some columns."""
    places = [table.positions[name] for name in keys]
    return {tuple(row[place] for place in places): row for row in table.rows}


def _read_postgresql(connection: Connection) -> Iterator[TableRows]:
    columns: dict[int, list[Column]] = {}
    virtual: set[tuple[int, str]] = set()
    quote = connection.dialect.identifier_preparer.quote_identifier
    for oid, number, name, kind, is_key, is_virtual in connection.exec_driver_sql(_COLUMNS).all():
        columns.setdefault(oid, []).append(Column(str(number), name, kind, is_key))
        if is_virtual:
            virtual.add((oid, name))
    for oid, name in connection.exec_driver_sql(_TABLES).all():
        listed = columns.get(oid, [])
        # With one collation for all: a prepared question is not answered once its columns have another one.
        written = {column: f'{quote(column.name)}::text COLLATE "C"' for column in listed}
        lasting = {column for column in listed if (oid, column.name) not in virtual}
        read, rows = _rows(connection, name, written, lasting)
        yield TableRows(str(oid), name, read, tuple(tuple(row) for row in rows))


def _read_sqlite(connection: Connection) -> Iterator[TableRows]:
    listed = connection.exec_driver_sql("PRAGMA table_list").all()
    roots = {row[0]: row[1] for row in connection.exec_driver_sql("SELECT name, rootpage FROM sqlite_schema")}
    names = [row[1] for row in listed if row[0] == "main" and row[2] == "table" and row[1] != "alembic_version"]
    quote = connection.dialect.identifier_preparer.quote_identifier
    for name in sorted(one for one in names if not one.startswith("sqlite_")):
        info = connection.exec_driver_sql(f"PRAGMA table_xinfo({quote(name)})").all()
        kinds = {Column(row[1], row[1], row[2], bool(row[5])): row[6] for row in info if row[6] != _HIDDEN}
        written = {column: quote(column.name) for column in kinds}
        lasting = {column for column, kind in kinds.items() if kind != _VIRTUAL}
        read, rows = _rows(connection, quote(name), written, lasting)
        texts = [_texts(values) for values in zip(*rows, strict=True)]
        root = roots.get(name, name)
        yield TableRows(str(root), name, read, tuple(zip(*texts, strict=True)), lasting=False)


def _rows(
    connection: Connection, table: str, written: Mapping[Column, str], lasting: Collection[Column]
) -> tuple[tuple[Column, ...], Sequence[Row[Any]]]:
    """Read a table, without what is computed when it is read where that fails on some row: nobody can read it then.

    Args:
        connection: In a transaction.
        table: As it is written in SQL.
        written: Its columns, as they are selected.
        lasting: Those that are not computed when they are read.
    """

    def selected(columns: Iterable[Column]) -> Sequence[Row[Any]]:
        return connection.exec_driver_sql(
            f"SELECT {', '.join(written[one] for one in columns) or 'NULL'} FROM {table}"
        ).all()

    columns = tuple(written)
    if len(lasting) < len(columns):
        try:
            with connection.begin_nested():
                return columns, selected(columns)
        except DBAPIError:
            columns = tuple(one for one in columns if one in lasting)
    return columns, selected(columns)


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
