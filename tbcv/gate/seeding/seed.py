"""Fills a scratch database with rows, so that a rehearsal sees what a revision does to them.

The rows satisfy every constraint that the database has: values are made from types, names and the constants in
CHECKs, and the engine itself sorts out those that it would not accept. What cannot be filled stays as it is and is
reported: a foreign schema may ask for what nobody can guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import cycle
from math import gcd
from types import MappingProxyType

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tbcv.engine.failures import reason
from tbcv.engine.scratch import worked
from tbcv.engine.url import DatabaseURL
from tbcv.gate.seeding.documents import ANY, Document, Documents
from tbcv.gate.seeding.enumerations import Labels
from tbcv.gate.seeding.named import ANYWHERE, Named
from tbcv.gate.seeding.tables import Reference, SeedTable, read_tables
from tbcv.gate.seeding.values import (
    CYCLE,
    Kind,
    SeedColumn,
    even_value_of,
    fits,
    is_repeated,
    is_telling,
    is_typed_by_people,
    plain_value_of,
    tame_value_of,
    value_of,
)

_ENOUGH_ALREADY = 20
_BUDGET = 60_000
_ATTEMPTS = 4
_MOST_PARTS = 100
_ALIKE = 40
# Few enough that what is done to them alone is not done to a large part of a table.
_NAMED = 13
_TWIN = 11
_GAP = 19
_ORPHAN = 23
_NOWHERE = 20_000

Row = dict[str, object]


class Manner(Enum):
    """What rows are like.

    Attributes:
        WILD: As in production, where anything is that nothing forbids.
        TAME: Without what is most likely to be in the way of a stricter schema: nothing is empty, long, twice there
            or far from the rest.
        SPARSE: Empty wherever that is allowed.
        PLAIN: Tame, and written as whoever reads more out of a text wants it: a code in digits, a name of two words.
        CHILDLESS: As in production, with no row that refers to a table that is named.
        EVEN: As in production, with nothing that is odd, or there twice and need not be.
    """

    WILD = auto()
    TAME = auto()
    SPARSE = auto()
    PLAIN = auto()
    CHILDLESS = auto()
    EVEN = auto()


# How values are made for rows without what is in the way of many a revision.
_MAKERS = {
    Manner.TAME: tame_value_of,
    Manner.SPARSE: tame_value_of,
    Manner.PLAIN: plain_value_of,
    Manner.EVEN: even_value_of,
}
_TAME = {Manner.TAME, Manner.SPARSE, Manner.PLAIN}


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a database was filled with.

    Attributes:
        rows: Rows of each table, those that were there before included.
        unfilled: Tables that stayed empty, with the reason.
    """

    rows: Mapping[str, int]
    unfilled: Mapping[str, str]


async def seed(
    address: DatabaseURL,
    rows: int = 2000,
    *,
    manner: Manner = Manner.WILD,
    named: Named = MappingProxyType({}),
    labels: Labels = MappingProxyType({}),
    documents: Documents = MappingProxyType({}),
    parent: str = "",
) -> Seeded:
    """Fill all tables of a scratch database.

    A table in which the history itself has put a fair number of rows is left as it is: nobody knows better what
    its rows look like.

    Args:
        address: A scratch database.
        rows: How many rows each table is to have.
        manner: What they are like.
        named: Values of which some rows are to have one.
        labels: Of columns that hold nothing else, though the engine does not know it.
        documents: What the documents of columns look like.
        parent: The table, without its schema, to which no row refers where rows are childless.
    """

    def work(connection: Connection) -> Seeded:
        tables = [_labelled(_with_documents(one, documents), labels) for one in read_tables(connection)]
        if manner is Manner.CHILDLESS:
            tables = [one for one in tables if not _is_child(one, parent)]
        return _seed(connection, tables, rows, manner, named)

    return await worked(address, work)


def _seed(connection: Connection, tables: Sequence[SeedTable], rows: int, manner: Manner, named: Named) -> Seeded:
    wanted = max(min(rows, _BUDGET // max(len(tables), 1)), min(rows, 50))
    without_triggers(connection)
    counts: dict[str, int] = {}
    unfilled: dict[str, str] = {}
    for table in tables:
        writer = _Writer(connection, table, wanted, manner=manner, named=named)
        counts[table.name], why = writer.fill()
        if counts[table.name] == 0:
            unfilled[table.name] = why or "no row satisfies its constraints"
    return Seeded(counts, unfilled)


def _is_child(table: SeedTable, parent: str) -> bool:
    others = {one.table for one in table.references} - {table.name}
    return any(one.rpartition(".")[2].strip('"') == parent for one in others)


def _labelled(table: SeedTable, labels: Labels) -> SeedTable:
    """Give columns the labels of their enumerations."""
    name = table.name.rpartition(".")[2].strip('"').lower()

    def known(column: SeedColumn) -> tuple[str, ...]:
        found = labels.get((name, column.name.lower())) or labels.get(("", column.name.lower())) or ()
        return found if column.kind is Kind.TEXT else ()

    return replace(table, columns=tuple(replace(one, known=known(one)) for one in table.columns))


def _with_documents(table: SeedTable, documents: Documents) -> SeedTable:
    """Let the columns of documents know what these look like; one that is named holds some, whatever its type."""

    def document(column: SeedColumn) -> Document | None:
        found = documents.get(column.name.lower())
        if column.kind is Kind.JSON:
            found = found or documents.get(ANY)
        return found if column.kind in (Kind.JSON, Kind.TEXT) else None

    return replace(table, columns=tuple(replace(one, document=document(one)) for one in table.columns))


def without_triggers(connection: Connection) -> None:
    """Keep PostgreSQL's triggers, those of foreign keys too, out of what is written from now on, where this role may.

    Args:
        connection: In a transaction.
    """
    if connection.dialect.name == "postgresql":
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql("SET session_replication_role = replica")


class _Writer:
    """Fills one table.

    Args:
        connection: In a transaction.
        table: The table.
        wanted: How many rows it is to have.
        manner: As for `seed`.
        named: As for `seed`.
    """

    def __init__(self, connection: Connection, table: SeedTable, wanted: int, *, manner: Manner, named: Named) -> None:
        self._connection = connection
        self._named = named
        self._tame = manner in _TAME
        self._make = _MAKERS.get(manner, value_of)
        self._sparse = manner is Manner.SPARSE
        self._single = self._tame or manner is Manner.EVEN
        self._wanted = wanted
        self._sqlite = connection.dialect.name == "sqlite"
        self._numbered = next((one.name for one in table.columns if one.automatic and (one.name,) in table.keys), None)
        self._table = replace(
            table, columns=tuple(one for one in table.columns if not one.automatic or _is_referring(table, one))
        )
        self._unique = {name for key in table.keys if len(key) == 1 for name in key} | self._telling_apart(table)
        self._keys = {name for key in table.keys for name in key}
        self._parents: dict[Reference, list[tuple[object, ...]]] = {}
        self._references = tuple(enumerate(sorted(table.references, key=lambda one: -len(one.columns))))
        self._ordinals = dict(self._positions())

    def fill(self) -> tuple[int, str]:
        """Insert rows; returns how many the table has, and what went wrong if it has none."""
        count = self._count()
        if count >= _ENOUGH_ALREADY:
            return count, ""
        if count:
            self._table = replace(self._table, columns=tuple(self._with_known(one) for one in self._table.columns))
        self._read_parents()
        why = ""
        number = 0
        for attempt in range(_ATTEMPTS):
            missing = self._wanted - count
            if missing <= self._wanted // 5:
                break
            rows = self._rows(range(number, number + missing), attempt)
            number += missing
            try:
                self._insert(rows)
            except DBAPIError as error:
                why = reason(error)
            count = self._count()
        self._leave_gaps()
        self._write_closer()
        self._refer_to_itself()
        return self._count(), why

    def _write_closer(self) -> None:
        """Leave out the spaces of some documents, where the engine keeps them as they are written."""
        for column in () if self._sqlite or self._tame else self._table.columns:
            if column.base == "json":
                name = _quoted(column.name)
                self._connection.exec_driver_sql(
                    f"UPDATE {self._table.name} SET {name} = replace({name}::text, ': ', ':')::json "
                    f"WHERE {name}::text LIKE '%1}}'"
                )

    def _leave_gaps(self) -> None:
        """Delete rows here and there where the database numbers them: in production some numbers are missing."""
        if self._numbered is not None:
            name = _quoted(self._numbered)
            self._connection.exec_driver_sql(f"DELETE FROM {self._table.name} WHERE {name} % {_GAP} = {_GAP // 2}")

    @staticmethod
    def _telling_apart(table: SeedTable) -> set[str]:
        """Return, for each key of several columns, one that makes it unique by itself."""
        referring = {name for one in table.references for name in one.columns}
        found: set[str] = set()
        for key in table.keys:
            if len(key) > 1:
                free = [name for name in key if name not in referring and table.column(name) is not None]
                kinds = {name: column.kind for name in free if (column := table.column(name)) is not None}
                telling = [name for name in free if kinds[name] not in (Kind.BOOLEAN, Kind.ENUM)]
                found |= set(telling[-1:])
        return found

    def _positions(self) -> Iterator[tuple[str, Reference]]:
        """Give the columns that count the rows of a parent, as positions do: of each, the next one is taken."""
        first = next((one for place, one in self._references if place == 0), None)
        if first is None or len(first.columns) > 1 or first.table == self._table.name:
            return
        for key in self._table.keys:
            rest = [name for name in key if name != first.columns[0]]
            column = self._table.column(rest[0]) if len(key) == 2 and len(rest) == 1 else None
            if column is not None and column.kind is Kind.INTEGER and not _is_referring(self._table, column):
                yield column.name, first

    def _count(self) -> int:
        return int(self._connection.exec_driver_sql(f"SELECT count(*) FROM {self._table.name}").scalar_one())

    def _with_known(self, column: SeedColumn) -> SeedColumn:
        """Let a column have the values that rows of the history have."""
        if column.kind is not Kind.TEXT or column.name in self._unique:
            return column
        found = self._connection.exec_driver_sql(
            f"SELECT DISTINCT {_quoted(column.name)} FROM {self._table.name} WHERE {_quoted(column.name)} IS NOT NULL"
        )
        return replace(column, known=tuple(sorted(str(row[0]) for row in found)))

    def _read_parents(self) -> None:
        cast = "" if self._sqlite else "::text"
        for reference in self._table.references:
            if reference.table == self._table.name:
                continue
            names = ", ".join(f"{_quoted(name)}{cast}" for name in reference.others)
            present = " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in reference.others)
            found = self._connection.exec_driver_sql(
                f"SELECT {names} FROM {reference.table} WHERE {present} LIMIT {self._wanted}"
            )
            self._parents[reference] = [tuple(row) for row in found]

    def _rows(self, numbers: range, attempt: int) -> list[Row]:
        names = [column.name for column in self._table.columns]
        if not names:
            return [{} for _ in numbers]
        columns = [self._values_of(column, numbers, attempt) for column in self._table.columns]
        found: list[Row] = []
        for number, values in zip(numbers, zip(*columns, strict=True), strict=True):
            referred: Row = {}
            if all(self._refer(referred, reference, number, place) for place, reference in self._references):
                row = dict(zip(names, values, strict=True)) | referred
                if found and not self._tame:
                    row |= self._beside(found[-1], row)
                found.append(row if self._single or number % _TWIN or not found else found[-1] | self._own(row))
        return found

    def _beside(self, before: Row, row: Row) -> Row:
        """Return the rest of a key of a row whose text in it is that of the row before in another case."""
        for key in self._table.keys:
            for name in key if len(key) > 1 else ():
                old, new = before.get(name), row.get(name)
                if isinstance(old, str) and isinstance(new, str) and old != new and old.lower() == new.lower():
                    return {one: before[one] for one in key if one != name and one in before}
        return {}

    def _own(self, row: Row) -> Row:
        """Return of a row that is to be like another what cannot be: its keys, and what is never there twice."""
        return {
            name: value
            for name, value in row.items()
            if name in self._keys or ((column := self._table.column(name)) and not is_repeated(column))
        }

    def _values_of(self, column: SeedColumn, numbers: range, attempt: int) -> list[object]:
        """Return the values of a column, which repeat unless they have to differ: making one takes long."""
        if self._sparse and column.nullable and not (attempt and _is_checked(self._table, column)):
            return [None for _ in numbers]
        unique = column.name in self._unique
        cycle = not (unique or self._tame or is_telling(column))
        # Of another length for each column: else one would seem to be made out of the other.
        length = CYCLE + column.place
        different = range(min(length, numbers.stop)) if cycle else numbers
        make, given = self._maker(column, attempt)
        values = [make(given, number, attempt, unique=unique) for number in different]
        if not cycle and not self._single:
            values = [_alike(column, values, place, unique=unique) for place in range(len(values))]
        parents = len(self._parents.get(self._ordinals[column.name], ())) if column.name in self._ordinals else 0
        if parents and not self._tame and attempt == 0:
            # After so many rows the same parents have their turn again.
            turn = parents // gcd(parents, 2)
            values = [number // turn + 1 for number in different]
        self._name(column, values, unique=column.name in self._keys)
        if self._sqlite and column.kind is not Kind.TEXT:
            values = [_written(column, value) for value in values]
        return [values[number % length] for number in numbers] if cycle else values

    def _maker(self, column: SeedColumn, attempt: int) -> tuple[Callable[..., object], SeedColumn]:
        """Return what makes values; what was refused is made otherwise, of tame rows only what CHECKs are about."""
        if not attempt or (self._tame and attempt < _ATTEMPTS - 1 and not _is_checked(self._table, column)):
            return self._make, column
        return value_of, replace(column, nullable=False) if self._tame and not self._sparse else column

    def _name(self, column: SeedColumn, values: list[object], *, unique: bool) -> None:
        """Put the values that are named for a column in places of others, each once where they must differ."""
        known = self._named.get(column.name.lower(), ())
        anywhere = (Kind.TEXT, Kind.ENUM, Kind.DATE, Kind.TIMESTAMP)
        if not known and not unique and not self._tame and column.kind in anywhere:
            known = self._named.get(ANYWHERE, ())
        if self._tame:
            # What rows are chosen by, none of them has; what a CHECK wants, all do.
            kinds = (Kind.TEXT, Kind.ENUM, Kind.INTEGER, Kind.NUMERIC)
            known = tuple(one for one in known if not one.changing and one.exact and column.kind in kinds)
        fitting = [one.text for one in known if fits(column, one.text) and (one.changing or not unique)]
        places = range(len(values)) if self._tame else range(_NAMED // 2, len(values), _NAMED)
        for place, text in zip(places, fitting if unique else cycle(fitting), strict=False):
            values[place] = json.loads(text) if column.kind is Kind.JSON else text

    def _refer(self, row: Row, reference: Reference, number: int, place: int) -> bool:
        """Choose what a row refers to; returns whether the row is possible."""
        columns = [self._table.column(name) for name in reference.columns]
        if not reference.declared and not self._tame and number % _ORPHAN == 5:
            row.update({one.name: _NOWHERE + number for one in columns if one and one.kind is Kind.INTEGER})
            return True
        optional = any(column is not None and column.nullable for column in columns)
        absent = optional and (self._sparse or (not self._tame and number % 7 == (place * 3 + 2) % 7))
        if reference.table == self._table.name or absent:
            if optional:
                row.update({name: None for name in reference.columns if name not in row})
            return optional or self._refers_to_own_row(reference)
        parents = self._parents.get(reference, [])
        pairs = zip(reference.columns, reference.others, strict=True)
        fixed = {other: row[name] for name, other in pairs if name in row}
        if fixed:
            places = [(reference.others.index(other), value) for other, value in fixed.items()]
            parents = [one for one in parents if all(one[at] == value for at, value in places)]
        if not parents:
            row.update({name: None for name in reference.columns if optional and name not in row})
            return optional
        # Steps of different lengths, so that two references of a row meet in every combination.
        chosen = parents[(number // (len(parents) if place else 1) + number * (place + 1)) % len(parents)]
        row.update(zip(reference.columns, chosen, strict=True))
        return True

    def _refers_to_own_row(self, reference: Reference) -> bool:
        """Tell whether a required reference of a table to itself can point at its own row."""
        return all(name in self._unique for name in reference.others)

    def _insert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        if not self._table.columns:
            self._insert_defaults(len(rows))
        elif self._sqlite:
            names = list(rows[0])
            marks = ", ".join("?" for _ in names)
            self._connection.exec_driver_sql(
                f"INSERT OR IGNORE INTO {self._table.name} ({', '.join(map(_quoted, names))}) VALUES ({marks})",
                [tuple(row.get(name) for name in names) for row in rows],
            )
        else:
            self._insert_parts(rows)

    def _insert_defaults(self, rows: int) -> None:
        for _ in range(rows):
            self._connection.exec_driver_sql(f"INSERT INTO {self._table.name} DEFAULT VALUES")

    def _attempt(self, rows: Sequence[Row]) -> bool:
        """Insert rows at once, those that the CHECKs admit."""
        names = [column for column in self._table.columns if column.name in rows[0]]
        listed = ", ".join(_quoted(column.name) for column in names)
        types = ", ".join(f"{_quoted(column.name)} {column.type}" for column in names)
        admitted = " AND ".join(f"(({check}) IS NOT FALSE)" for check in self._table.checks) or "true"
        document = json.dumps(rows, ensure_ascii=False).replace("\\u0000", "")
        savepoint = self._connection.begin_nested()
        try:
            self._connection.exec_driver_sql(
                f"INSERT INTO {self._table.name} ({listed}) OVERRIDING SYSTEM VALUE SELECT {listed} "
                f"FROM jsonb_to_recordset($1::text::jsonb) AS given({types}) WHERE {admitted} ON CONFLICT DO NOTHING",
                (document,),
            )
            savepoint.commit()
        except DBAPIError:
            savepoint.rollback()
            return False
        return True

    def _insert_parts(self, rows: Sequence[Row]) -> None:
        """Insert what goes in, where some rows cannot even be tried together with others."""
        parts = [rows]
        for _ in range(_MOST_PARTS):
            if not parts:
                break
            part = parts.pop()
            if not self._attempt(part) and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]

    def _refer_to_itself(self) -> None:
        """Let most rows of a table refer to others of it, once these are there."""
        for reference in self._table.references:
            columns = [self._table.column(name) for name in reference.columns]
            if reference.table != self._table.name or len(columns) > 1 or not columns[0] or not columns[0].nullable:
                continue
            name, other, table = _quoted(reference.columns[0]), _quoted(reference.others[0]), self._table.name
            savepoint = self._connection.begin_nested()
            try:
                self._connection.exec_driver_sql(
                    f"UPDATE {table} SET {name} = (SELECT min({other}) FROM {table}) "
                    f"WHERE {other} <> (SELECT min({other}) FROM {table}) AND {name} IS NULL"
                )
                savepoint.commit()
            except DBAPIError:
                savepoint.rollback()


def _alike(column: SeedColumn, values: Sequence[object], place: int, *, unique: bool) -> object:
    """Return, here and there, what production has as well: a value twice, in another case, or before a space."""
    before, value = values[place - 1], values[place]
    if before is None or value is None or not is_repeated(column):
        return value
    turn = place % _ALIKE
    if turn == 1 and not unique:
        return before
    typed = is_typed_by_people(column) or (unique and column.kind is Kind.TEXT and not column.patterns)
    if turn in (2, 4) and isinstance(before, str) and isinstance(value, str) and typed:
        return (before if turn == 2 else value).swapcase()
    if turn == 6 and isinstance(value, str) and typed and fits(column, f"{value} "):
        return f"{value} "
    return value


def _written(column: SeedColumn, value: object) -> object:
    """Return a value as SQLite's driver takes it."""
    if value is None:
        return None
    if column.kind is Kind.BYTES:
        return bytes.fromhex(str(value)[2:])
    if column.kind is Kind.NUMERIC:
        return float(str(value))
    if column.kind is Kind.OTHER:
        return str(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _is_checked(table: SeedTable, column: SeedColumn) -> bool:
    return any(re.search(rf"\b{re.escape(column.name)}\b", one, re.IGNORECASE) for one in table.checks)


def _is_referring(table: SeedTable, column: SeedColumn) -> bool:
    return any(column.name in one.columns for one in table.references)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
