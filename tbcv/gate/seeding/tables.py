"""What a table demands of its rows, as the engine has it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from tbcv.gate.seeding.patterns import patterns_in, without_patterns
from tbcv.gate.seeding.values import Kind, SeedColumn, kind_of


@dataclass(frozen=True)
class Reference:
    """A foreign key, or columns that look like one.

    Attributes:
        columns: Of the table itself.
        table: The other table.
        others: Its columns.
        declared: Whether the engine keeps to it: where it does not, some rows point at nothing.
    """

    columns: tuple[str, ...]
    table: str
    others: tuple[str, ...]
    declared: bool = True


@dataclass(frozen=True)
class SeedTable:
    """A table to be filled.

    Attributes:
        name: As it is written in SQL.
        columns: Those that can be given a value.
        keys: Column sets that must not repeat; the primary key first, where there is one.
        references: Foreign keys.
        checks: The expressions of CHECKs.
    """

    name: str
    columns: tuple[SeedColumn, ...]
    keys: tuple[tuple[str, ...], ...] = ()
    references: tuple[Reference, ...] = ()
    checks: tuple[str, ...] = ()

    def column(self, name: str) -> SeedColumn | None:
        """Return a column by its name."""
        return next((column for column in self.columns if column.name == name), None)


def read_tables(connection: Connection) -> tuple[SeedTable, ...]:
    """Read all tables, those that are referred to before those that refer to them."""
    read = _read_sqlite if connection.dialect.name == "sqlite" else _read_postgresql
    return _ordered([_with_pools(one) for one in _with_guesses([_at_home(one) for one in read(connection)])])


def _at_home(table: SeedTable) -> SeedTable:
    """Let the columns know their table."""
    return replace(table, columns=tuple(replace(one, table=table.name) for one in table.columns))


def _ordered(tables: Sequence[SeedTable]) -> tuple[SeedTable, ...]:
    by_name = {table.name: table for table in tables}
    graph = {
        table.name: {one.table for one in table.references if one.table in by_name and one.table != table.name}
        for table in tables
    }
    while True:
        try:
            return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
        except CycleError as error:
            # Each table of the cycle stands behind one that it refers to: whoever need not refer is filled first.
            circle = list(pairwise(error.args[1]))
            target, table = next((one for one in circle if _may_wait(by_name[one[1]], one[0])), circle[0])
            graph[table].discard(target)


def _may_wait(table: SeedTable, target: str) -> bool:
    """Tell whether rows of a table need not refer to another one."""
    references = [one for one in table.references if one.table == target]
    return all(any((column := table.column(name)) and column.nullable for name in one.columns) for one in references)


def _with_guesses(tables: list[SeedTable]) -> Iterator[SeedTable]:
    """Add references that no foreign key declares and a name gives away.

    As ``customer_id`` where there are customers, or ``currency_code`` where currencies have a code for their key.
    """
    keys = {
        table.name.replace('"', "").lower(): (table.name, table.keys[0][0])
        for table in tables
        if table.keys and len(table.keys[0]) == 1
    }
    kinds = {(table.name, column.name): column.kind for table in tables for column in table.columns}
    for table in tables:
        declared = {name for one in table.references for name in one.columns}
        guessed = []
        for column in table.columns:
            stem, _, key = column.name.lower().rpartition("_")
            if column.name in declared or not stem:
                continue
            plurals = (stem, f"{stem}s", f"{stem}es", f"{stem[:-1]}ies")
            found = next((keys[one] for one in plurals if one in keys), None)
            named = found is not None and key in ("id", found[1].lower())
            if found and named and found[0] != table.name and kinds.get(found, column.kind) == column.kind:
                guessed.append(Reference((column.name,), found[0], (found[1],), declared=False))
        yield replace(table, references=(*table.references, *guessed))


def _with_pools(table: SeedTable) -> SeedTable:
    """Give columns the values that CHECKs name."""
    columns = []
    for column in table.columns:
        about = [check for check in table.checks if re.search(rf"\b{re.escape(column.name)}\b", check, re.IGNORECASE)]
        about.append(column.domain)
        plain = [without_patterns(check) for check in about]
        texts = [text.replace("''", "'") for check in plain for text in re.findall(r"'((?:[^']|'')*)'", check)]
        bare = [re.sub(r"'(?:[^']|'')*'", "", check) for check in about]
        numbers = [number for check in bare for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", check)]
        named = [(check, column.name) for check in about] + [(column.domain, "VALUE")]
        patterns = tuple(found for check, name in named for found in patterns_in(check, name, tuple(numbers)))
        known = tuple(dict.fromkeys(texts))
        columns.append(replace(column, texts=known, numbers=tuple(dict.fromkeys(numbers)), patterns=patterns))
    return replace(table, columns=tuple(columns))


_POSTGRES_COLUMNS = """
    SELECT a.attrelid::int8, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
        format_type(coalesce(nullif(t.typbasetype, 0), t.oid),
            CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END),
        a.attnotnull OR t.typnotnull, a.attgenerated::text <> '', a.attidentity::text <> '',
        pg_get_expr(d.adbin, d.adrelid),
        (SELECT array_to_json(array_agg(l.enumlabel ORDER BY l.enumsortorder))::text FROM pg_enum l
         WHERE l.enumtypid = CASE WHEN t.typcategory = 'A' THEN t.typelem
            ELSE coalesce(nullif(t.typbasetype, 0), t.oid) END),
        (SELECT string_agg(pg_get_constraintdef(k.oid), ' ') FROM pg_constraint k WHERE k.contypid = t.oid)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND c.relname <> 'alembic_version'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
        AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.deptype = 'e' AND e.objid = c.oid)
    ORDER BY 1, 2
"""
_POSTGRES_KEYS = """
    SELECT i.indrelid::int8, (SELECT array_to_json(array_agg(a.attname ORDER BY k.place))::text
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number)
    FROM pg_index i WHERE i.indisunique AND i.indrelid >= 16384 ORDER BY i.indisprimary DESC
"""
_POSTGRES_CONSTRAINTS = """
    SELECT k.conrelid::int8, k.contype::text, pg_get_expr(k.conbin, k.conrelid), k.confrelid::regclass::text,
        (SELECT array_to_json(array_agg(a.attname ORDER BY p.place))::text
         FROM unnest(k.conkey) WITH ORDINALITY p(number, place)
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number),
        (SELECT array_to_json(array_agg(a.attname ORDER BY p.place))::text
         FROM unnest(k.confkey) WITH ORDINALITY p(number, place)
         JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = p.number)
    FROM pg_constraint k WHERE k.contype IN ('c', 'f') AND k.conrelid >= 16384
    UNION ALL
    SELECT c.oid::int8, 'c', pg_get_partition_constraintdef(c.oid), NULL, NULL, NULL
    FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'
"""


@dataclass
class _Parts:
    columns: list[SeedColumn] = field(default_factory=list)
    keys: list[tuple[str, ...]] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)


def _read_postgresql(connection: Connection) -> Iterator[SeedTable]:
    found: dict[int, _Parts] = {}
    for row in connection.exec_driver_sql(_POSTGRES_COLUMNS):
        parts = found.setdefault(row[0], _Parts())
        if not row[6]:
            parts.columns.append(_postgres_column(row))
    for oid, names in connection.exec_driver_sql(_POSTGRES_KEYS):
        if oid in found and names:
            found[oid].keys.append(tuple(_json(names)))
    for oid, kind, expression, other, names, others in connection.exec_driver_sql(_POSTGRES_CONSTRAINTS):
        if oid not in found:
            continue
        if kind == "f":
            found[oid].references.append(Reference(tuple(_json(names)), other, tuple(_json(others))))
        elif expression:
            found[oid].checks.append(expression)
    names_of: Mapping[int, str] = {
        row[0]: row[1] for row in connection.exec_driver_sql("SELECT oid::int8, oid::regclass::text FROM pg_class")
    }
    for oid, parts in found.items():
        yield SeedTable(
            names_of[oid], tuple(parts.columns), tuple(parts.keys), tuple(parts.references), tuple(parts.checks)
        )


def _postgres_column(row: Any) -> SeedColumn:  # noqa: ANN401  # a row of the catalog
    _, number, name, kind, base, required, _, identity, default, labels, domain = row
    return SeedColumn(
        name=name,
        place=number,
        type=kind,
        kind=Kind.ENUM if labels and not base.endswith("[]") else kind_of(base),
        base=base,
        nullable=not required,
        automatic=identity or str(default or "").startswith("nextval("),
        default=str(default or ""),
        labels=tuple(_json(labels)) if labels else (),
        domain=str(domain or ""),
    )


def _json(text: str) -> list[str]:
    return [str(one) for one in json.loads(text)]


def _read_sqlite(connection: Connection) -> Iterator[SeedTable]:
    listed = connection.exec_driver_sql("PRAGMA table_list").all()
    for row in listed:
        name = row[1]
        if row[0] != "main" or row[2] != "table" or name == "alembic_version" or name.startswith("sqlite_"):
            continue
        yield _sqlite_table(connection, name)


def _sqlite_table(connection: Connection, name: str) -> SeedTable:
    quoted = '"' + name.replace('"', '""') + '"'
    text: str = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,)
    ).scalar_one()
    info = connection.exec_driver_sql(f"PRAGMA table_xinfo({quoted})").all()
    primary = [row for row in sorted(info, key=lambda row: row[5]) if row[5]]
    columns = tuple(
        SeedColumn(
            name=row[1],
            place=row[0],
            type=row[2],
            kind=kind_of(row[2]),
            base=row[2],
            nullable=not row[3] and not row[5],
            automatic=len(primary) == 1 and bool(row[5]) and row[2].upper() == "INTEGER",
            default=str(row[4] or ""),
        )
        for row in info
        if row[6] == 0
    )
    keys = [tuple(row[1] for row in primary)] if primary else []
    for index in connection.exec_driver_sql(f"PRAGMA index_list({quoted})").all():
        if index[2] and index[3] != "pk":
            members = connection.exec_driver_sql(f"PRAGMA index_info('{index[1]}')").all()
            keys.append(tuple(row[2] for row in members if row[2] is not None))
    return SeedTable(quoted, columns, tuple(keys), tuple(_sqlite_references(connection, quoted)), tuple(_checks(text)))


def _sqlite_references(connection: Connection, quoted: str) -> Iterator[Reference]:
    grouped: dict[int, list[Any]] = {}
    for row in connection.exec_driver_sql(f"PRAGMA foreign_key_list({quoted})").all():
        grouped.setdefault(row[0], []).append(row)
    for rows in grouped.values():
        other = '"' + rows[0][2].replace('"', '""') + '"'
        names = tuple(row[3] for row in sorted(rows, key=lambda row: row[1]))
        others = tuple(row[4] for row in sorted(rows, key=lambda row: row[1]))
        if None in others:
            info = connection.exec_driver_sql(f"PRAGMA table_info({other})").all()
            others = tuple(row[1] for row in sorted(info, key=lambda row: row[5]) if row[5])
        if len(names) == len(others):
            yield Reference(names, other, others)


def _checks(text: str) -> Iterator[str]:
    """Give the expressions of CHECKs in the text of a CREATE TABLE."""
    for match in re.finditer(r"\bCHECK\s*\(", text, re.IGNORECASE):
        depth, quoted = 1, False
        for place in range(match.end(), len(text)):
            character = text[place]
            quoted ^= character == "'"
            if not quoted:
                depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0:
                yield text[match.end() : place]
                break
