"""What a schema makes slow or somebody else's affair without being wrong: indexes missing or double, privileges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import Connection

Privileges = Mapping[str, frozenset[str]]


class Index(NamedTuple):
    """An index on plain columns of all rows."""

    name: str
    columns: tuple[str, ...]
    unique: bool


class Upkeep(NamedTuple):
    """What was found in one database.

    Attributes:
        unindexed: Foreign keys, as ``orders(customer_id)``, that no index begins with.
        redundant: Indexes that another one makes superfluous, with the name of that one.
        privileges: Of each table, who owns it and who may do what with it, as ``reader: SELECT``.
        behind: Columns, as ``orders.id``, whose sequence next gives a number that a row has already, with the sequence.
        partitions: What belongs to each partitioned table, as table, partition and bounds.
    """

    unindexed: frozenset[str]
    redundant: frozenset[tuple[str, str]]
    privileges: Privileges
    behind: Mapping[str, str] = MappingProxyType({})
    partitions: frozenset[tuple[str, str, str]] = frozenset()


_INDEXES = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text, i.indisunique,
        (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY k.place)
         FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number WHERE k.place <= i.indnkeyatts)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
    WHERE i.indrelid >= 16384 AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid AND m.amname = 'btree'
"""
_REFERENCES = """
    SELECT k.conrelid::regclass::text, (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY p.place)
        FROM unnest(k.conkey) WITH ORDINALITY p(number, place)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number)
    FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid >= 16384
"""
_PRIVILEGES = """
    SELECT c.oid::regclass::text, array_agg(coalesce(r.rolname::text, 'everybody') || ': ' || p.privilege_type)
        || (pg_get_userbyid(c.relowner)::text || ': ownership')
    FROM pg_class c
    CROSS JOIN LATERAL aclexplode(
        coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, c.relowner))) p
    LEFT JOIN pg_roles r ON r.oid = p.grantee
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.oid >= 16384 AND c.relname <> 'alembic_version'
    GROUP BY c.oid
"""
_NEXT = 10
_SEQUENCES = """
    SELECT c.oid::regclass::text, quote_ident(a.attname), s.seqrelid::regclass::text, s.seqincrement
    FROM pg_sequence s JOIN pg_depend d ON d.refobjid = s.seqrelid OR d.objid = s.seqrelid
    LEFT JOIN pg_attrdef e ON d.classid = 'pg_attrdef'::regclass AND e.oid = d.objid
    JOIN pg_class c ON c.oid = coalesce(e.adrelid, CASE WHEN d.deptype = 'i' THEN d.refobjid END)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = coalesce(e.adnum, d.refobjsubid)
    WHERE s.seqincrement > 0 AND NOT s.seqcycle AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype)
"""
_PARTITIONS = """
    SELECT i.inhparent::regclass::text, c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f')
"""


def read_upkeep(connection: Connection) -> Upkeep:
    """Look at the indexes and privileges of a database."""
    if connection.dialect.name == "sqlite":
        indexes, references = _of_sqlite(connection)
        privileges: Privileges = {}
        behind: Mapping[str, str] = {}
        partitions: frozenset[tuple[str, str, str]] = frozenset()
    else:
        behind = _behind(connection)
        partitions = frozenset((row[0], row[1], row[2]) for row in connection.exec_driver_sql(_PARTITIONS))
        indexes, references = _of_postgresql(connection)
        privileges = {row[0]: frozenset(row[1]) for row in connection.exec_driver_sql(_PRIVILEGES)}
    unindexed = frozenset(
        f"{table}({', '.join(columns)})"
        for table, columns in references
        if not any(set(columns) == set(one.columns[: len(columns)]) for one in indexes.get(table, ()))
    )
    redundant = frozenset(pair for listed in indexes.values() for pair in _redundant(listed))
    return Upkeep(unindexed, redundant, privileges, behind, partitions)


def _behind(connection: Connection) -> dict[str, str]:
    """Find the columns of which the next number is taken already, or soon will be."""
    listed = connection.exec_driver_sql(_SEQUENCES).all()
    looks = [
        f"SELECT {place}, EXISTS (SELECT 1 FROM {table} WHERE {column} BETWEEN last_value + is_called::int * {step} "
        f"AND last_value + {_NEXT} * {step}) FROM {name}"
        for place, (table, column, name, step) in enumerate(listed)
    ]
    taken = connection.exec_driver_sql(" UNION ALL ".join(looks)).all() if looks else []
    return {f"{listed[place][0]}.{listed[place][1]}": listed[place][2] for place, is_taken in taken if is_taken}


def _redundant(indexes: list[Index]) -> Iterator[tuple[str, str]]:
    for one in indexes:
        for other in indexes:
            if one is other or one.columns != other.columns[: len(one.columns)]:
                continue
            longer = len(other.columns) > len(one.columns)
            twin = not longer and (other.unique > one.unique or (other.unique == one.unique and other.name < one.name))
            if (longer and not one.unique) or twin:
                yield one.name, other.name
                break


def _of_postgresql(connection: Connection) -> tuple[dict[str, list[Index]], set[tuple[str, tuple[str, ...]]]]:
    indexes: dict[str, list[Index]] = {}
    for table, name, unique, columns in connection.exec_driver_sql(_INDEXES):
        indexes.setdefault(table, []).append(Index(name, tuple((columns or "").split(",")), unique))
    rows = connection.exec_driver_sql(_REFERENCES).all()
    return indexes, {(row[0], tuple(row[1].split(","))) for row in rows}


def _of_sqlite(connection: Connection) -> tuple[dict[str, list[Index]], set[tuple[str, tuple[str, ...]]]]:
    indexes: dict[str, list[Index]] = {}
    references: set[tuple[str, tuple[str, ...]]] = set()
    for row in connection.exec_driver_sql("PRAGMA table_list").all():
        table = row[1]
        if row[0] != "main" or row[2] != "table" or table.startswith("sqlite_") or table == "alembic_version":
            continue
        quoted = '"' + table.replace('"', '""') + '"'
        keys: dict[int, list[tuple[int, str]]] = {}
        for key in connection.exec_driver_sql(f"PRAGMA foreign_key_list({quoted})").all():
            keys.setdefault(key[0], []).append((key[1], key[3]))
        references |= {(table, tuple(name for _, name in sorted(columns))) for columns in keys.values()}
        info = connection.exec_driver_sql(f"PRAGMA table_info({quoted})").all()
        primary = tuple(one[1] for one in sorted(info, key=lambda one: one[5]) if one[5])
        listed = [Index("the primary key", primary, unique=True)] if primary else []
        for index in connection.exec_driver_sql(f"PRAGMA index_list({quoted})").all():
            members = connection.exec_driver_sql(f"PRAGMA index_info('{index[1]}')").all()
            if not index[4] and index[3] != "pk" and all(one[2] for one in members):
                listed.append(Index(index[1], tuple(one[2] for one in members), bool(index[2])))
        indexes[table] = listed
    return indexes, references
