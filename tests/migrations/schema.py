"""What a database says about its own schema, as values that can be compared: every name, every text, every default.

Neither Alembic's comparison nor SQLAlchemy's reflection will do: both overlook CHECK texts, collations and more.
"""

from __future__ import annotations

import re
from typing import Any

from tests.migrations.chain import TABLES, Chain, Row

Facts = dict[str, Any]
"""What is known about tables, by table and name."""


async def schema(chain: Chain, tables: tuple[str, ...] = TABLES) -> dict[str, Facts]:
    """Return the facts about some tables; the order of columns is not among them."""
    facts = await (_sqlite if chain.sqlite else _postgresql)(chain, tables)
    assert set(facts["columns"]) == set(tables)
    return facts


async def objects(chain: Chain) -> set[str]:
    """Return the names of everything that somebody made in a database."""
    query = (
        "SELECT name FROM sqlite_schema"
        if chain.sqlite
        else "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        "UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace "
        "UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    return {row["name"] for row in await chain.fetch(query)}


async def _sqlite(chain: Chain, tables: tuple[str, ...]) -> dict[str, Facts]:
    of_tables = f"FROM sqlite_schema s JOIN {{}} x WHERE s.type = 'table' AND s.name IN {_sql(tables)}"
    columns = "s.name AS of_table, x.name, x.type, x.[notnull], x.dflt_value, x.pk, x.hidden"
    keys = "s.name AS of_table, x.[from], x.[table], x.[to], x.on_update, x.on_delete, x.match"
    indexes = "s.name AS of_table, x.name, x.[unique], x.origin, x.partial"
    entries = "i.name AS of_index, x.seqno, x.name, x.[desc], x.coll, x.key"
    of_indexes = "FROM sqlite_schema i JOIN pragma_index_xinfo(i.name) x WHERE i.type = 'index' AND i.tbl_name IN"
    texts = f"SELECT tbl_name AS of_table, name, sql FROM sqlite_schema WHERE tbl_name IN {_sql(tables)}"
    return {
        "columns": _grouped(
            await chain.fetch(f"SELECT {columns} {of_tables.format('pragma_table_xinfo(s.name)')}"), "name"
        ),
        "foreign keys": _grouped(
            await chain.fetch(f"SELECT {keys} {of_tables.format('pragma_foreign_key_list(s.name)')}"), "from"
        ),
        "indexes": _grouped(
            await chain.fetch(f"SELECT {indexes} {of_tables.format('pragma_index_list(s.name)')}"), "name"
        ),
        "index columns": _grouped(
            await chain.fetch(f"SELECT {entries} {of_indexes} {_sql(tables)}"), "seqno", group="of_index"
        ),
        "texts": _grouped([row | {"sql": _clauses(row["sql"])} for row in await chain.fetch(texts)], "name"),
    }


async def _postgresql(chain: Chain, tables: tuple[str, ...]) -> dict[str, Facts]:
    of_tables = f"t.relname IN {_sql(tables)} AND t.relnamespace = 'public'::regnamespace"
    columns = await chain.fetch(
        "SELECT t.relname AS of_table, attname, format_type(atttypid, atttypmod) AS type, attnotnull, attidentity, "
        "attgenerated, attcollation, pg_get_expr(adbin, adrelid) AS expression "
        "FROM pg_class t JOIN pg_attribute ON attrelid = t.oid "
        "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
        f"WHERE {of_tables} AND attnum > 0 AND NOT attisdropped"
    )
    constraints = await chain.fetch(
        "SELECT t.relname AS of_table, conname, contype, convalidated, condeferrable, "
        "pg_get_constraintdef(c.oid) AS definition "
        f"FROM pg_class t JOIN pg_constraint c ON conrelid = t.oid WHERE {of_tables}"
    )
    indexes = await chain.fetch(
        "SELECT t.relname AS of_table, i.relname, indisvalid, pg_get_indexdef(indexrelid) AS definition "
        "FROM pg_class t JOIN pg_index ON indrelid = t.oid JOIN pg_class i ON i.oid = indexrelid "
        f"WHERE {of_tables}"
    )
    return {
        "columns": _grouped(columns, "attname"),
        "constraints": _grouped(constraints, "conname"),
        "indexes": _grouped(indexes, "relname"),
    }


def _grouped(rows: list[Row], name: str, group: str = "of_table") -> Facts:
    """Arrange rows by the table they belong to and by their names."""
    groups: Facts = {}
    for row in rows:
        members = groups.setdefault(row[group], {})
        assert row[name] not in members, "two of one name"
        members[row[name]] = row
    return groups


def _sql(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{name}'" for name in names) + ")"


def _clauses(sql: str | None) -> list[str]:
    """Split a CREATE statement into its clauses, without quotation marks, line breaks and order."""
    if sql is None:
        return []
    words = re.sub(r"\s+", " ", sql.replace('"', ""))
    # A batch rebuild writes the same default in parentheses.
    words = re.sub(r"DEFAULT \((\w+)\)", r"DEFAULT \1", words)
    head, _, body = words.partition("(")
    depth, clauses = 0, [""]
    for character in body.strip().removesuffix(")"):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            clauses.append("")
        else:
            clauses[-1] += character
    return [head.strip(), *sorted(re.sub(r" ?([()]) ?", r"\1", clause).strip() for clause in clauses)]
