"""Statements outside of a transaction, which nothing rolls back: they follow an attempt that was cut short."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from sqlalchemy import Connection, text

_log = logging.getLogger(__name__)

_NAME = r"(?P<name>(?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))?)"
_CREATE_INDEX = re.compile(
    rf"^\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?{_NAME}\s+ON\b",
    re.IGNORECASE,
)
_DROP_INDEX = re.compile(r"^\s*DROP\s+INDEX\s+CONCURRENTLY\s+(?!IF\s)", re.IGNORECASE)
_ADD_VALUE = re.compile(r"^\s*ALTER\s+TYPE\s+\S+\s+ADD\s+VALUE\s+(?!IF\s)", re.IGNORECASE)
_REINDEX = re.compile(rf"^\s*REINDEX\s+(?:\([^)]*\)\s*)?(?P<kind>INDEX|TABLE)\s+CONCURRENTLY\s+{_NAME}", re.IGNORECASE)
_DETACH = re.compile(
    rf"^\s*ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?\S+\s+DETACH\s+PARTITION\s+{_NAME}\s+(?P<how>CONCURRENTLY)\b",
    re.IGNORECASE,
)
_VALIDITY = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
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
    """Drop an invalid index of the name that is to be built, and keep a valid one."""
    name = match.group("name")
    valid = connection.execute(_VALIDITY, {"name": name}).scalar()
    if valid is None:
        return statement
    if valid:
        _log.warning("index %s was built by an earlier attempt and is kept", name)
        start = match.start("name")
        return statement if match.group("exists") else f"{statement[:start]}IF NOT EXISTS {statement[start:]}"
    _log.warning("index %s was left unfinished by an earlier attempt: it is dropped and built again", name)
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
    return statement


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
