"""Changes that a revision makes to rows which do not fit a stricter schema: each recorded, counted and undoable.

Part of the interface for revision files: what is here keeps its meaning, since released revisions call it.
The record of a repair is a row of ``audit_logs`` with the value before and after, written by the same statement
on both engines, so that `upgrade --sql` prints all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from uuid import UUID

from alembic import op
from sqlalchemy import text

_log = logging.getLogger(__name__)

_KEYS = {"cache_entries": "cache_key"}
"""Tables whose primary key is not ``id``."""


class Repairs:
    """The repairs of one revision.

    The revision must see the JSON columns of ``audit_logs`` as text, which holds up to the revision that
    converts them.

    Args:
        revision: The revision's id; at most eight hexadecimal digits, as it becomes part of the records' ids.
    """

    def __init__(self, revision: str) -> None:
        self._revision = revision
        self._sqlite = op.get_context().dialect.name == "sqlite"
        self._calls = 0
        # On SQLite the clock moves between the statement that records a value and the one that sets it.
        self._now = "CURRENT_TIMESTAMP"
        if self._sqlite:
            moment = op.get_bind().execute(text("SELECT CURRENT_TIMESTAMP")).scalar_one()
            self._now = f"'{moment}'"

    def change(self, table: str, column: str, *, to: str, where: str, reason: str) -> None:
        """Set a column in the rows that need it.

        Args:
            table: A table whose rows are to be repaired.
            column: The column.
            to: A SQL expression over the row.
            where: A SQL condition over the row; must not hold for the repaired row.
            reason: What was wrong, for the record; an English clause.
        """
        key = _KEYS.get(table, "id")
        to = to.replace("CURRENT_TIMESTAMP", self._now)
        before, after = self._document(column, column), self._document(column, to)
        count = self._record("repaired", table, column, key, before, after, reason, f"{table} WHERE {where}")
        self._execute(f"UPDATE {table} SET {column} = {to} WHERE {where}")
        if count:
            _log.warning("revision %s: repaired %s.%s in %d rows: %s", self._revision, table, column, count, reason)

    def undo(self, table: str, column: str) -> None:
        """Put back what `change` replaced, wherever the row still holds what `change` put there."""
        key = _KEYS.get(table, "id")
        before, after, row = (
            self._extract("before_state", column),
            self._extract("after_state", column),
            self._extract("metadata", "key"),
        )
        record = (
            f"SELECT {row} AS repaired_key, {before} AS old_value, {after} AS new_value FROM audit_logs "
            f"WHERE {self._mine('repaired', table)} AND {self._extract('metadata', 'column')} = '{column}'"
        )
        if self._sqlite:
            value, same = "record.old_value", f"{table}.{column} IS record.new_value"
        else:
            # A record is text; the column's own type reads it back.
            value = f"(json_populate_record(NULL::{table}, json_build_object('{column}', record.old_value))).{column}"
            new = f"(json_populate_record(NULL::{table}, json_build_object('{column}', record.new_value))).{column}"
            same = f"{table}.{column} IS NOT DISTINCT FROM {new}"
        self._execute(
            f"UPDATE {table} SET {column} = {value} FROM ({record}) AS record "
            f"WHERE {table}.{key} = record.repaired_key AND {same}"
        )

    def recover(self, *, parent: str, child: str, column: str, values: Mapping[str, str]) -> None:
        """Insert the parents that children refer to and that do not exist.

        Args:
            parent: The table that lacks rows; its key is ``id``.
            child: The table whose rows refer to them.
            column: The reference.
            values: SQL expressions for the other columns of the placeholder.
        """
        missing = (
            f"SELECT DISTINCT {column} AS id FROM {child} WHERE {column} IS NOT NULL AND NOT EXISTS "
            f"(SELECT 1 FROM {parent} p WHERE p.id = {child}.{column})"
        )
        reason = f"rows of {child} refer to it and it was missing"
        empty = self._document("id", "NULL")
        present = self._document("id", "id")
        count = self._record("recovered", parent, "id", "id", empty, present, reason, f"({missing}) AS missing")
        names, expressions = ", ".join(values), ", ".join(values.values())
        self._execute(f"INSERT INTO {parent} (id, {names}) SELECT id, {expressions} FROM ({missing}) AS missing")
        if count:
            _log.warning("revision %s: recovered %d rows of %s: %s", self._revision, count, parent, reason)

    def unrecover(self, parent: str) -> None:
        """Delete the placeholders that `recover` inserted."""
        key = self._extract("metadata", "key")
        self._execute(
            f"DELETE FROM {parent} WHERE id IN (SELECT {key} FROM audit_logs WHERE {self._mine('recovered', parent)})"
        )

    def forget(self) -> None:
        """Delete the records of this revision, once everything is undone."""
        self._execute(f"DELETE FROM audit_logs WHERE {self._mine()}")

    def _record(
        self,
        action: str,
        table: str,
        column: str,
        key: str,
        before: str,
        after: str,
        reason: str,
        source: str,
    ) -> int:
        self._calls += 1
        # A version 8 UUID out of revision, call and row: the same run gives the same ids.
        prefix = str(UUID(hex=f"{int(self._revision, 16):08x}{self._calls:04x}80008000000000000000"))[:24]
        number = f"row_number() OVER (ORDER BY {key})"
        identifier = (
            f"printf('{prefix}%012x', {number})" if self._sqlite else f"'{prefix}' || lpad(to_hex({number}), 12, '0')"
        )
        about = {
            "revision": f"'{self._revision}'",
            "table": f"'{table}'",
            "column": f"'{column}'",
            "key": key,
        }
        build = "json_object" if self._sqlite else "json_build_object"
        pairs = ", ".join(f"'{name}', {value}" for name, value in about.items())
        metadata = f"{build}({pairs})"
        if not self._sqlite:
            metadata = f"CAST({metadata} AS text)"
        return self._execute(
            "INSERT INTO audit_logs "
            "(id, action, actor, actor_type, before_state, after_state, notes, created_at, metadata) "
            f"SELECT {identifier}, '{action}', '{self._actor}', 'system', {before}, {after}, "
            f"'{table}.{column}: {reason}', CURRENT_TIMESTAMP, {metadata} FROM {source}"
        )

    @property
    def _actor(self) -> str:
        return f"migration {self._revision}"

    def _mine(self, action: str | None = None, table: str | None = None) -> str:
        condition = f"actor = '{self._actor}' AND action IN ('repaired', 'recovered')"
        if action is not None:
            condition += f" AND action = '{action}'"
        if table is not None:
            condition += f" AND {self._extract('metadata', 'table')} = '{table}'"
        return condition

    def _document(self, name: str, value: str) -> str:
        """Return SQL for the JSON document that holds one value exactly."""
        if not self._sqlite:
            return f"CAST(json_build_object('{name}', {value}) AS text)"
        # json_quote keeps 15 digits of a REAL; a double needs 17, and infinity is spelled as an overflow.
        exact = (
            f"CASE WHEN typeof({value}) <> 'real' THEN json_quote({value}) "
            f"WHEN {value} IN (9e999, -9e999) THEN iif({value} > 0, '9e999', '-9e999') "
            f"ELSE printf('%!.17g', {value}) END"
        )
        return f"'{{\"{name}\": ' || {exact} || '}}'"

    def _extract(self, document: str, name: str) -> str:
        if self._sqlite:
            return f"json_extract({document}, '$.{name}')"
        return f"CAST({document} AS json) ->> '{name}'"

    def _execute(self, sql: str) -> int:
        """Execute a statement, or print it in offline mode; returns the number of rows, 0 where unknown."""
        # A colon in a reason or a cast is no bind parameter.
        statement = text(sql.replace(":", r"\:"))
        if op.get_context().as_sql:
            op.execute(statement)
            return 0
        return op.get_bind().execute(statement).rowcount
