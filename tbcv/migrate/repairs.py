"""Changes that a revision makes to rows which do not fit a stricter schema: each recorded, counted and undoable.

Part of the interface for revision files: what is here keeps its meaning, since released revisions call it.
The record of a repair is a row of ``audit_logs`` with the value before and after, written by the same statement
on both engines, so that `upgrade --sql` prints all of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
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
        self._hexadecimal = False
        if self._sqlite:
            moment = op.get_bind().execute(text("SELECT CURRENT_TIMESTAMP")).scalar_one()
            self._now = f"'{moment}'"
            # Built into SQLite since 3.41. Where nothing is recorded in hexadecimal it is not used, so that a
            # script of the statements runs in older clients too.
            op.get_bind().connection.create_function("unhex", 1, _unhex)
            self._hexadecimal = bool(op.get_bind().execute(text(self._any_hexadecimal())).scalar())
        else:
            # What the clock says goes into columns without a time zone, too, and those hold UTC.
            self._execute("SET LOCAL timezone TO 'UTC'")

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
        before, after = self._document({column: column}), self._document({column: to})
        source = f"{table} WHERE {where}"
        count = self._record(
            "repaired", table, column, key=key, before=before, after=after, reason=reason, source=source
        )
        self._execute(f"UPDATE {table} SET {column} = {to} WHERE {where}")
        if count:
            _log.warning("revision %s: repaired %s.%s in %d rows: %s", self._revision, table, column, count, reason)

    def undo(self, table: str, column: str) -> None:
        """Put back what `change` replaced, wherever the row still holds what `change` put there."""
        key = _KEYS.get(table, "id")
        record = (
            f"SELECT {self._key()} AS repaired_key, {self._value('before_state', table, column)} AS old_value, "
            f"{self._value('after_state', table, column)} AS new_value FROM audit_logs "
            f"WHERE {self._mine('repaired', table)} AND {self._extract('metadata', 'column')} = '{column}'"
        )
        self._execute(
            f"UPDATE {table} SET {column} = record.old_value FROM ({record}) AS record "
            f"WHERE {table}.{key} = record.repaired_key AND {table}.{column} {self._same} record.new_value"
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
        values = {name: value.replace("CURRENT_TIMESTAMP", self._now) for name, value in values.items()}
        empty, present = self._document({"id": "NULL"}), self._document({"id": "id", **values})
        source = f"({missing}) AS missing"
        count = self._record(
            "recovered", parent, "id", key="id", before=empty, after=present, reason=reason, source=source
        )
        names, expressions = ", ".join(values), ", ".join(values.values())
        self._execute(f"INSERT INTO {parent} (id, {names}) SELECT id, {expressions} FROM ({missing}) AS missing")
        if count:
            _log.warning("revision %s: recovered %d rows of %s: %s", self._revision, count, parent, reason)

    def unrecover(self, parent: str, values: Iterable[str]) -> None:
        """Delete the placeholders that `recover` inserted, except those that somebody has changed since.

        Args:
            parent: The table that holds them.
            values: The columns for which `recover` was given values.
        """
        columns = tuple(values)
        inserted = ", ".join(f"{self._value('after_state', parent, name)} AS {name}" for name in columns)
        record = (
            f"SELECT {self._key()} AS recovered_key, {inserted} FROM audit_logs WHERE {self._mine('recovered', parent)}"
        )
        unchanged = " AND ".join(f"{parent}.{name} {self._same} record.{name}" for name in columns)
        self._execute(
            f"DELETE FROM {parent} WHERE id IN (SELECT {parent}.id FROM ({record}) AS record "
            f"JOIN {parent} ON {parent}.id = record.recovered_key AND {unchanged})"
        )

    def forget(self) -> None:
        """Delete the records of this revision, once everything is undone."""
        self._execute(f"DELETE FROM audit_logs WHERE {self._mine()}")

    def _record(
        self,
        action: str,
        table: str,
        column: str,
        *,
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
        notes = f"{table}.{column}: {reason}".replace("'", "''")
        return self._execute(
            "INSERT INTO audit_logs "
            "(id, action, actor, actor_type, before_state, after_state, notes, created_at, metadata) "
            f"SELECT {identifier}, '{action}', '{self._actor}', 'system', {before}, {after}, "
            f"'{notes}', CURRENT_TIMESTAMP, {self._document(about)} FROM {source}"
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

    def _document(self, values: Mapping[str, str]) -> str:
        """Return SQL for the JSON document that holds some values exactly."""
        if not self._sqlite:
            pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
            return f"CAST(json_build_object({pairs}) AS text)"
        pairs = " || ', ' || ".join(f"'\"{name}\": ' || {_exact(value)}" for name, value in values.items())
        return f"'{{' || {pairs} || '}}'"

    def _value(self, document: str, table: str, column: str) -> str:
        """Return SQL for a value in a document of `_document`, in the type of its column."""
        if not self._sqlite:
            return f"(json_populate_record(NULL::{table}, CAST({document} AS json))).{column}"
        return self._read(document, column)

    def _key(self) -> str:
        """Return SQL for the key of the row that a record is about."""
        return self._read("metadata", "key") if self._sqlite else self._extract("metadata", "key")

    def _read(self, document: str, name: str) -> str:
        """Return SQLite's SQL for a value that `_exact` wrote."""
        plain = f"json_extract({document}, '$.{name}')"
        return _read_hexadecimal(document, name, plain) if self._hexadecimal else plain

    def _any_hexadecimal(self) -> str:
        """Return SQL that tells whether a record of this revision holds a value in hexadecimal."""
        columns = ("before_state", "after_state", "metadata")
        found = " OR ".join(f"{name} LIKE '%{{\"{kind}\":%'" for name in columns for kind in ("blob", "text"))
        return f"SELECT EXISTS (SELECT 1 FROM audit_logs WHERE {self._mine()} AND ({found}))".replace(":", r"\:")

    @property
    def _same(self) -> str:
        return "IS" if self._sqlite else "IS NOT DISTINCT FROM"

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


def _exact(value: str) -> str:
    """Return SQLite's SQL for the JSON of a value from which `Repairs` reads the same value again.

    What JSON cannot hold stands as an object, in hexadecimal: blobs, and text with NUL, after which SQLite stops
    reading. A double needs 18 digits, where json_quote writes 15, and an infinity is spelled as an overflow.
    """
    return (
        f"CASE WHEN typeof({value}) = 'blob' OR instr({value}, char(0)) "
        f"THEN json_object(typeof({value}), hex({value})) "
        # What a JSON function returned would be taken for JSON, not for its text.
        f"WHEN typeof({value}) = 'text' THEN json_quote('' || {value}) "
        f"WHEN typeof({value}) <> 'real' THEN json_quote({value}) "
        f"WHEN {value} IN (9e999, -9e999) THEN iif({value} > 0, '9e999', '-9e999') "
        f"ELSE printf('%!.18g', {value}) END"
    )


def _read_hexadecimal(document: str, name: str, plain: str) -> str:
    return (
        f"CASE json_type({document}, '$.{name}') WHEN 'object' "
        f"THEN coalesce(unhex(json_extract({document}, '$.{name}.blob')), "
        f"CAST(unhex(json_extract({document}, '$.{name}.text')) AS TEXT)) "
        f"ELSE {plain} END"
    )


def _unhex(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)
