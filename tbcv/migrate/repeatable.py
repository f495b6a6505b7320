"""Statements outside of a transaction, which nothing rolls back: they follow an attempt that was cut short."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger(__name__)

_NAME = r"(?P<name>(?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))?)"
_CREATE_INDEX = re.compile(
    rf"^\s*CREATE\s+(?P<unique>UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+"
    rf"ON\s+(?:ONLY\s+)?{_NAME.replace('name', 'table')}(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_DROP_INDEX = re.compile(r"^\s*DROP\s+INDEX\s+CONCURRENTLY\s+(?!IF\s)", re.IGNORECASE)
_ADD_VALUE = re.compile(r"^\s*ALTER\s+TYPE\s+\S+\s+ADD\s+VALUE\s+(?!IF\s)", re.IGNORECASE)
_REINDEX = re.compile(rf"^\s*REINDEX\s+(?:\([^)]*\)\s*)?(?P<kind>INDEX|TABLE)\s+CONCURRENTLY\s+{_NAME}", re.IGNORECASE)
_DETACH = re.compile(
    rf"^\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?\S+\s+DETACH\s+PARTITION\s+{_NAME}\s+(?P<how>CONCURRENTLY)\b",
    re.IGNORECASE,
)
# An index is made in the schema of its table, whatever schema its name would be looked up in.
_INDEX = text(
    "SELECT i.indisvalid AS valid, i.indrelid = t.oid AS own, pg_get_indexdef(i.indexrelid) AS definition, "
    "quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, quote_ident(t.relname) AS table "
    "FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_class c ON c.relnamespace = n.oid "
    "JOIN pg_index i ON i.indexrelid = c.oid WHERE t.oid = to_regclass(:table) "
    "AND c.relname = ((parse_ident(:name))[cardinality(parse_ident(:name))])::name"
)
_PROBE = "tbcv_probe"
# Of the table or of that of the index, and of what holds its long values.
_UNFINISHED = text(
    "WITH named AS (SELECT coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(:name)), "
    "to_regclass(:name)) AS oid), tables AS (SELECT oid FROM named UNION ALL "
    "SELECT reltoastrelid FROM pg_class JOIN named USING (oid)) "
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name FROM pg_index i "
    "JOIN tables t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid "
    r"JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)\d*$'"
)
_ATTACHED = text("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(:name)")
_NOTHING = "SELECT 1"


def repeatable(connection: Connection, statement: str) -> str:
    """Clear what an earlier attempt at a statement outside of a transaction left, and return what is left to do.

    Args:
        connection: To PostgreSQL, in no transaction.
        statement: What a revision is about to execute.
    """
    for pattern, follow in _FOLLOWING:
        if match := pattern.match(statement):
            return follow(connection, match, statement)
    return statement


def _build(connection: Connection, match: re.Match[str], statement: str) -> str:
    """Drop an invalid index of the name that is to be built, keep a valid one, and leave another one alone."""
    name = match.group("name")
    found = connection.execute(_INDEX, {"name": name, "table": match.group("table")}).one_or_none()
    if found is None:
        return statement
    if found.own and not found.valid:
        _log.warning("index %s was left unfinished by an earlier attempt: it is dropped and built again", name)
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {found.name}")
        return statement
    if not found.own or _meaning(found.definition) != _meaning(_definition(connection, match, found.table)):
        _log.warning("index %s is not known to come from an earlier attempt: it is %s", name, found.definition)
        return statement
    _log.warning("index %s was built by an earlier attempt and is kept", name)
    start = match.start("name")
    return statement if match.group("exists") else f"{statement[:start]}IF NOT EXISTS {statement[start:]}"


def _definition(connection: Connection, match: re.Match[str], name: str) -> str:
    """Return how PostgreSQL writes the index of a statement, once it is built on an empty table of the same columns.

    Nothing where that cannot be built, because of the statement or of the role, which may make no temporary table.

    Args:
        connection: In no transaction.
        match: The statement.
        name: Of its table without the schema; the empty one has it too, since conditions may call it by that.
    """
    twin = f"pg_temp.{name}"
    connection.exec_driver_sql("BEGIN")
    try:
        connection.exec_driver_sql(f"CREATE TABLE {twin} (LIKE {match.group('table')})")
        connection.exec_driver_sql(f"CREATE {match.group('unique') or ''}INDEX {_PROBE} ON {twin}{match.group('rest')}")
        return str(connection.exec_driver_sql(f"SELECT pg_get_indexdef('pg_temp.{_PROBE}'::regclass)").scalar_one())
    except DBAPIError:
        return ""
    finally:
        connection.exec_driver_sql("ROLLBACK")


def _meaning(definition: str) -> tuple[bool, str]:
    """Return what a definition says beside the names of index and table."""
    return "UNIQUE" in definition.partition(" INDEX ")[0], definition.partition(" USING ")[2]


def _rebuild(connection: Connection, match: re.Match[str], statement: str) -> str:
    """Drop the copies that an earlier rebuild of indexes did not finish, or did not get to drop."""
    for name in connection.execute(_UNFINISHED, {"name": match.group("name")}).scalars().all():
        _log.warning("index %s was left unfinished by an earlier attempt: it is dropped", name)
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
    return statement


def _detach(connection: Connection, match: re.Match[str], statement: str) -> str:
    """Finish a detachment that has begun; PostgreSQL refuses to begin it again."""
    name = match.group("name")
    pending = connection.execute(_ATTACHED, {"name": name}).scalar()
    if pending is None and connection.execute(text("SELECT to_regclass(:name)"), {"name": name}).scalar() is not None:
        _log.warning("partition %s was detached by an earlier attempt", name)
        return _NOTHING
    if pending:
        _log.warning("partition %s was being detached by an earlier attempt: that is finished", name)
        start, end = match.span("how")
        return f"{statement[:start]}FINALIZE{statement[end:]}"
    return statement


def _if_exists(_connection: Connection, match: re.Match[str], statement: str) -> str:
    return f"{match[0]}IF EXISTS {statement[match.end() :]}"


def _if_not_exists(_connection: Connection, match: re.Match[str], statement: str) -> str:
    return f"{match[0]}IF NOT EXISTS {statement[match.end() :]}"


_FOLLOWING: tuple[tuple[re.Pattern[str], Callable[[Connection, re.Match[str], str], str]], ...] = (
    (_CREATE_INDEX, _build),
    (_DROP_INDEX, _if_exists),
    (_ADD_VALUE, _if_not_exists),
    (_REINDEX, _rebuild),
    (_DETACH, _detach),
)
